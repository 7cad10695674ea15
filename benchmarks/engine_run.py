"""One run of the engine benchmarks: a server, the load client, and what both showed.

In: a load, and which server shall bear it. Out: how long the clients waited, and what
the server used of the machine in each phase. Both processes end with the run.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from benchmarks.process_stat import Usage, allow_open_files, usage_of
from xds_server.lab.error import LabError
from xds_server.lab.process import Child, run_child
from xds_server.lab.scenario import free_port

OTHER_FILES: Final = 200
"""Files that a process has open beside its connections, at most."""
_PATIENCE: Final = timedelta(minutes=2)
_START_TIMEOUT: Final = timedelta(minutes=2)
_QUIET: Final = 0.3  # seconds without work after which a server has done it all
_LONGEST_REST: Final = 10.0


class Server(StrEnum):
    """Who serves: our engine, or go-control-plane with one of its caches."""

    OURS = "xds-server"
    LINEAR = "go-control-plane, linear cache"
    SNAPSHOT = "go-control-plane, snapshot cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a server holds and what is asked of it.

    Each stream subscribes to all clusters with a wildcard, or to all assignments by
    name. With *views*, each node sees clusters that nobody else sees. *changes* come
    one by one, each when all clients have acknowledged the one before; or, with a
    *rate*, so many a second.
    """

    streams: int
    clusters: int
    endpoints: int = 0
    views: int = 0
    asks_for: str = "cluster"
    variant: str = "delta"
    changes: int = 0
    rate: int = 0


@dataclass(slots=True, kw_only=True)
class Observed:
    """What one run showed: the client's events, and what the server used at each."""

    populated: Usage
    usages: list[Usage] = field(default_factory=list)
    events: list[dict[str, float]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    """Seconds from each change until all clients had acknowledged it."""

    @property
    def start_cpu(self) -> float:
        """CPU seconds from the first connection to the last acknowledgement."""
        return self.usages[0].cpu - self.populated.cpu

    @property
    def change_cpu(self) -> float:
        """CPU seconds for all changes together."""
        return self.usages[1].cpu - self.usages[0].cpu


async def run(server: Server, load: Load, programs: Path) -> Observed:
    """Put *load* on a new process of *server*; *programs* is where the Go ones are.

    Raises:
        LabError: too few files may be open, or the server or the client fails.
    """
    if not allow_open_files(load.streams + OTHER_FILES):
        message = f"{load.streams} connections need more open files than are allowed"
        hint = f"ulimit -n {load.streams + OTHER_FILES}"
        raise LabError(message, hint=hint)
    xds, control = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        async with run_child(
            server, _command(server, programs, xds, control), log
        ) as child:
            await child.wait_for(
                lambda: _populate(control, load), "the first answer", _START_TIMEOUT
            )
            observed = Observed(populated=await _usage_when_quiet(child))
            client = _client_command(load, programs, xds, control)
            async with _running(client) as process:
                await _observe(process, child, observed)
    return observed


def _command(
    server: Server, programs: Path, xds: str, control: str
) -> list[str | Path]:
    if server is Server.OURS:
        module = ("-m", "benchmarks.engine_server")
        return [sys.executable, *module, "--xds", xds, "--control", control]
    cache = "linear" if server is Server.LINEAR else "snapshot"
    return [programs / "peer", "-xds", xds, "-control", control, "-cache", cache]


def _client_command(load: Load, programs: Path, xds: str, control: str) -> list[str]:
    options: Mapping[str, object] = {
        "server": xds,
        "control": control,
        "streams": load.streams,
        "variant": load.variant,
        "type": load.asks_for,
        "resources": load.clusters,
        "changes": load.changes,
        "rate": load.rate,
        "patience": f"{_PATIENCE.total_seconds():g}s",
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    return [str(programs / "loadclient"), *arguments]


async def _populate(control: str, load: Load) -> bool:
    """Fill the server; return whether it was there to be filled."""
    host, _, port = control.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except ConnectionRefusedError:
        return False
    command = {
        "do": "populate",
        "clusters": load.clusters,
        "endpoints": load.endpoints,
        "views": load.views,
    }
    writer.write(json.dumps(command).encode() + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    if answer["error"]:
        raise LabError(answer["error"])
    return True


@asynccontextmanager
async def _running(command: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _observe(
    client: asyncio.subprocess.Process, server: Child, observed: Observed
) -> None:
    """Take in all that *client* says, and let it go on after each phase."""
    if client.stdin is None or client.stdout is None:
        message = "the load client has no pipes"
        raise LabError(message)
    async for line in client.stdout:
        event = json.loads(line)
        if event["event"] == "changed":
            observed.waits.append(event["seconds"])
            continue
        observed.events.append(event)
        observed.usages.append(await _usage_when_quiet(server))
        client.stdin.write(b"\n")
    if await client.wait():
        server.check()
        message = "the load client failed"
        raise LabError(message)


async def _usage_when_quiet(server: Child) -> Usage:
    """Return what *server* has used, once it rests: the last ACK is read by then."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LONGEST_REST
    usage = usage_of(server.process.pid)
    while loop.time() < deadline:
        await asyncio.sleep(_QUIET)
        before, usage = usage, usage_of(server.process.pid)
        if usage.cpu == before.cpu:
            break
    return usage
