"""Addresses of this machine that a Pod may have.

An API server takes no 127.0.0.0/8 for a Pod's, so the loopback interface is given
others for a while. Without the right to do so, a test is skipped.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

_NETWORK: Final = "198.18.7"
"""For measurements between devices (RFC 2544): nobody's on the way."""


@contextmanager
def pod_addresses(number: int) -> Iterator[tuple[str, ...]]:
    """Yield *number* addresses, which are there inside the block."""
    if shutil.which("ip") is None:
        pytest.skip("no ip program: install iproute2")
    added: list[str] = []
    try:
        for host in range(1, number + 1):
            address = f"{_NETWORK}.{host}"
            done = _run("replace", address)
            if done.returncode:
                reason = done.stderr.strip()
                pytest.skip(f"no right to give loopback {address}: {reason}")
            added.append(address)
        yield tuple(added)
    finally:
        for address in added:
            _run("delete", address).check_returncode()


def _run(verb: str, address: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - of our own
        ["ip", "address", verb, f"{address}/32", "dev", "lo"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
