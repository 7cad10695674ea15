"""A server of the engine in a process of its own, that can be killed.

    python engine_process.py RESOURCES ADDRESS

RESOURCES is a file, read again on SIGHUP, of JSON lines: the type, name and body, in
hex, of a resource each. Connections and responses are printed as JSON lines too.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.serve.wire import World
from xds_server.serve.client import Connection, Observer
from xds_server.serve.grpc_server import XdsServer
from xds_server.serve.response import Delivery
from xds_server.xds import Resource


def dumped(resources: Iterable[Resource]) -> str:
    """Return the content of the file that `loaded` reads."""
    rows = ((each.type_url, each.name, each.body.hex()) for each in resources)
    return "".join(json.dumps(row) + "\n" for row in rows)


def loaded(file: Path) -> Iterator[Resource]:
    """Yield the resources in *file*."""
    for type_url, name, body in map(json.loads, file.read_text().splitlines()):
        yield Resource(type_url=type_url, name=name, body=bytes.fromhex(body))


class Printer(Observer):
    """Prints what is sent to whom."""

    def on_connect(self, connection: Connection) -> None:
        say({"connected": connection.node.id})

    def on_response(self, connection: Connection, delivery: Delivery) -> None:
        del connection
        head = delivery.response.head
        say({"type": head.type_url, "names": head.names, "removed": head.removed})


def say(line: Mapping[str, str | Sequence[str]]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def main(file: Path, address: str) -> None:
    world = World()

    def publish() -> None:
        world.publish(*loaded(file))

    publish()
    world.snapshot.declare_ready()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, publish)
    server = XdsServer(snapshot=world.snapshot, directory=world, observers=(Printer(),))
    async with server.listening(address):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
