"""Builds the Go programs of the engine benchmarks: the load client and the peer.

In: the module in `engine/`. Out: programs in `.cache/benchmarks`, which git ignores.
"""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Final

from xds_server.lab.error import LabError

_MODULE: Final = Path(__file__).parent / "engine"
_PROGRAMS: Final = Path(__file__).parent.parent / ".cache" / "benchmarks"
_GO: Final = Path("/usr/local/go/bin/go")  # where Go's own installation puts it
_MODULES_HINT: Final = "the modules in benchmarks/engine/go.mod must be reachable"


async def build_programs() -> Path:
    """Return the folder with `loadclient` and `peer`, built from what is there now.

    Raises:
        LabError: there is no Go that can build them.
    """
    go = shutil.which("go") or (str(_GO) if _GO.exists() else None)
    wanted = _wanted_version()
    hint = f"install Go {wanted} or newer from https://go.dev/dl"
    if go is None:
        message = "the load client and the peer server need Go, which is not there"
        raise LabError(message, hint=hint)
    found = await _run(go, "env", "GOVERSION")
    if _numbers(found) < _numbers(wanted):
        message = f"the load client and the peer server need Go {wanted}, not {found}"
        raise LabError(message, hint=hint)
    _PROGRAMS.mkdir(parents=True, exist_ok=True)
    await _run(
        *(go, "build", "-buildvcs=false", "-trimpath"),
        *("-o", f"{_PROGRAMS}/", "./loadclient", "./peer"),
    )
    return _PROGRAMS


def _wanted_version() -> str:
    found = re.search(r"^go (\S+)$", (_MODULE / "go.mod").read_text(), re.MULTILINE)
    return found[1] if found else "1"


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:2]]


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=_MODULE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        message = f"{' '.join(command)} failed:\n{errors.decode()}"
        raise LabError(message, hint=_MODULES_HINT)
    return output.decode().strip()
