"""Builds the Go programs of the engine benchmarks: the load client and the peer.

In: the module in `engine/`. Out: programs in `.cache/benchmarks`, which git ignores.
"""

import asyncio
from pathlib import Path
from typing import Final

from tools.go import GoError, build_packages
from xds_server.lab.error import LabError

_MODULE: Final = Path(__file__).parent / "engine"
_PROGRAMS: Final = Path(__file__).parent.parent / ".cache" / "benchmarks"


async def build_programs() -> Path:
    """Return the folder with `loadclient` and `peer`, built from what is there now.

    Raises:
        LabError: they cannot be built.
    """
    _PROGRAMS.mkdir(parents=True, exist_ok=True)
    packages = ("./loadclient", "./peer")
    try:
        await asyncio.to_thread(build_packages, _MODULE, _PROGRAMS, *packages)
    except GoError as error:
        message = f"no load client and peer server: {error}"
        hint = "the modules in benchmarks/engine/go.mod must be reachable"
        raise LabError(message, hint=hint) from error
    return _PROGRAMS
