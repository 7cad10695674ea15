"""The README's tutorial works when it is pasted as a whole, on ports that are free."""

import asyncio
import os
import re
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from xds_server.lab.scenario import free_port

pytestmark = pytest.mark.envoy

REPOSITORY: Final = Path(__file__).parents[3]
_, _, TUTORIAL = (
    (REPOSITORY / "README.md").read_text("utf-8").partition("## Five minutes")
)
BLOCKS: Final = re.findall(
    r"^```\n(.*?)^```$", TUTORIAL.partition("\n## ")[0], re.MULTILINE | re.DOTALL
)


async def test_the_tutorial_works_when_it_is_pasted(tmp_path: Path) -> None:
    backend, proxy, admin, xds, status = (str(free_port()) for _ in range(5))
    script = "".join([*BLOCKS, "kill $(jobs -p)\nwait\n"])
    for printed, port in (("8081", backend), ("15001", proxy), ("19000", admin)):
        script = script.replace(printed, port)
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "COLUMNS": "80",
        "XDS_SERVER_XDS_ADDRESS": f"127.0.0.1:{xds}",
        "XDS_SERVER_ADMIN_ADDRESS": f"127.0.0.1:{status}",
        "XDS_SERVER_BOOTSTRAP_XDS_ADDRESS": f"127.0.0.1:{xds}",
        "XDS_SERVER_BOOTSTRAP_ADMIN_ADDRESS": f"127.0.0.1:{admin}",
        "XDS_SERVER_BOOTSTRAP_LISTEN_PORT": proxy,
    }
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        cwd=REPOSITORY,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        printed, complaints = (text.decode() for text in await process.communicate())
    finally:
        with suppress(ProcessLookupError):  # what is left where it did not end
            os.killpg(process.pid, signal.SIGKILL)
    lines = printed.splitlines()

    assert complaints == "0 errors in 0 files (1 file read)\n"
    assert lines[0] == "LIVE"
    assert Counter(lines[1:5]) == {"one": 3, "two": 1}
    assert lines[5] in {"one", "two"}
    assert "Nodes connected: 1" in printed
    assert printed.count("Acknowledged") == 5  # four types, under their heading
