"""Our engine as a server that takes the commands of `engine/peer/control.go`.

In: JSON objects, one a line, on a TCP connection. Out: what is served changes, and each
command is answered by a JSON object. `python -m benchmarks.engine_server --help`.
"""

import argparse
import asyncio
import gc
import json
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from benchmarks.engine_content import Change, Content
from xds_server.serve.address import split_address
from xds_server.xds import CLUSTER, ENDPOINT

Command = dict[str, str | int]
Answer = Mapping[str, str | int]

_TYPES: Final = {"change-cluster": CLUSTER, "change-assignment": ENDPOINT}


class Driver:
    """Does what it is told to what is served.

    With *freezes*, what is populated is kept from the garbage collector, as the server
    does once it has the whole mesh.
    """

    def __init__(self, content: Content, *, freezes: bool = False) -> None:
        self._content = content
        self._freezes = freezes
        self._clusters = 0

    async def converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Obey the commands of one connection."""
        with suppress(ConnectionResetError):
            async for line in reader:
                command: Command = json.loads(line)
                if command["do"] == "churn":
                    writer.write(_line({"start": time.time_ns()}))
                    await self._churn(command)
                else:
                    writer.write(_line({"error": self._obey(command)}))
        writer.close()

    def _obey(self, command: Command) -> str:
        """Return what is wrong with *command*, if it is not obeyed."""
        do = str(command["do"])
        if do == "populate":
            self._clusters = int(command["clusters"])
            self._content.populate(
                clusters=self._clusters,
                endpoints=int(command["endpoints"]),
                views=int(command["views"]),
            )
            if self._freezes:
                gc.collect()
                gc.freeze()
        elif do in _TYPES:
            self._content.apply([self._change(_TYPES[do], int(command["stamp"]))])
        else:
            return f"no such command: {do}"
        return ""

    def _change(self, type_url: str, stamp: int) -> Change:
        """Spread stamps over the resources: a hash, the same in both servers."""
        number = stamp * 2654435761 % (1 << 32) % self._clusters
        return Change(type_url=type_url, number=number, stamp=stamp)

    async def _churn(self, command: Command) -> None:
        """Make one change in each interval, or as many as are due after a delay."""
        loop = asyncio.get_running_loop()
        start, interval = loop.time(), 1 / int(command["rate"])
        made, changes, first = 0, int(command["changes"]), int(command["stamp"])
        while made < changes:
            await asyncio.sleep(start + made * interval - loop.time())
            due = min(int((loop.time() - start) / interval) + 1, changes)
            stamps = range(first + made, first + due)
            batch = [self._change(ENDPOINT, stamp) for stamp in stamps]
            newest = {change.number: change for change in batch}
            self._content.apply(newest.values())
            made = due


def _line(answer: Answer) -> bytes:
    return json.dumps(answer).encode() + b"\n"


async def serve(xds: str, control: str) -> None:
    """Serve on *xds* and take commands on *control* until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    content = Content()
    host, port = split_address(control)
    driver = Driver(content, freezes=True)
    commands = await asyncio.start_server(driver.converse, host, port)
    async with content.listening(xds), commands:
        await stop.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--xds", required=True, help="address to serve on")
    parser.add_argument("--control", required=True, help="address for commands")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    asyncio.run(serve(arguments.xds, arguments.control))
