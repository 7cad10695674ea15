"""Child processes that never outlive the lab.

A command in, a running child out, ended on the way out of the context: also after
Ctrl-C, and by the kernel if this process is killed. What a child writes goes to a file;
the end of it is shown when the child fails.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from xds_server.lab.error import LabError

STOP_TIMEOUT: Final = 5.0
"""Seconds between the request to stop and the kill."""
_POLL_INTERVAL: Final = 0.05
_TAIL_LINES: Final = 20

_TETHER: Final = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
prctl = getattr(ctypes.CDLL(None), "prctl", None)
if prctl is not None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Run in the child before it becomes the command: when the parent ends, so shall it.

prctl(2) keeps the wish across execve(2). A `preexec_fn` would do the same after a fork
of a process with threads, which is not safe.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A running child: what it is called, and where it writes."""

    name: str
    log: Path
    process: asyncio.subprocess.Process

    def check(self) -> None:
        """Raise `LabError` with the end of the log if the child has ended."""
        code = self.process.returncode
        if code is not None:
            message = f"{self.name} ended with code {code}; its last lines:\n"
            raise LabError(message + self.tail())

    def tail(self) -> str:
        """Return the last lines that the child wrote, indented."""
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"

    async def wait_for(
        self, condition: Callable[[], Awaitable[bool]], what: str, within: timedelta
    ) -> None:
        """Return when *condition* is true.

        Raises `LabError` when the child ends before, or after the time *within*.
        """
        try:
            async with asyncio.timeout(within.total_seconds()):
                while not await condition():
                    self.check()
                    await asyncio.sleep(_POLL_INTERVAL)
        except TimeoutError:
            self.check()
            waited = f"{within.total_seconds():g} s"
            message = f"{self.name}: {what} not seen in {waited}; its last lines:\n"
            raise LabError(message + self.tail()) from None


@asynccontextmanager
async def run_child(
    name: str, command: Sequence[str | Path], log: Path
) -> AsyncIterator[Child]:
    """Run *command* (its first word a path) until the context ends.

    The child has a session of its own: a Ctrl-C at the terminal reaches us alone, and
    we end our children in order.
    """
    tether = (sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *tether,
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Child(name=name, log=log, process=process)
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
