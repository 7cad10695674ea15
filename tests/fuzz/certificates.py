"""Certificates in files that are there while the tests run.

Policies name files, and an Envoy refuses those that are not there.
"""

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Final

import trustme

FOLDER: Final = Path(tempfile.mkdtemp(prefix="xds-server-fuzz-"))
AUTHORITY: Final = FOLDER / "ca.crt"
CERTIFICATE: Final = FOLDER / "tls.crt"
KEY: Final = FOLDER / "tls.key"


def _issue() -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("fuzz.client")
    authority.cert_pem.write_to_path(AUTHORITY)
    issued.private_key_pem.write_to_path(KEY)
    for each in issued.cert_chain_pems:
        each.write_to_path(CERTIFICATE, append=True)


_issue()
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
