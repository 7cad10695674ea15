"""docs/library.md: its code runs, and it names the whole public API."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)

from tests.serve.wire import PATIENCE, Wire, channel_to, open_delta
from xds_server import engine
from xds_server.engine import CLUSTER, XdsServer
from xds_server.lab.scenario import free_port

GUIDE: Final = (Path(__file__).parents[1] / "docs" / "library.md").read_text()
SCRIPT, *BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
"""The first block is a file of its own; the others are read one after the other."""


DeltaWire = Wire[DeltaDiscoveryRequest, DeltaDiscoveryResponse]


class Heard(engine.Observer):
    """Lets a test wait for answers."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[str] = asyncio.Queue()

    def on_ack(self, connection: engine.Connection, head: engine.Head) -> None:
        del connection
        self.answers.put_nowait(head.nonce)

    def on_nack(
        self, connection: engine.Connection, rejection: engine.Rejection
    ) -> None:
        del connection
        self.answers.put_nowait(rejection.message)


def run(*sources: str) -> ModuleType:
    """Run *sources* as one module, which is not the main one."""
    module = ModuleType("guide")
    for source in sources:
        exec(compile(source, "docs/library.md", "exec"), module.__dict__)  # noqa: S102 - our own page
    return module


@asynccontextmanager
async def asking(address: str) -> AsyncIterator[DeltaWire]:
    """Open a stream for all clusters."""
    async with channel_to(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), PATIENCE)
        wire = open_delta(channel)
        node = NodeMessage(id="me", cluster="web")
        await wire.send(DeltaDiscoveryRequest(node=node, type_url=CLUSTER))
        yield wire


async def answer(wire: DeltaWire, nonce: str, error: str | None = None) -> None:
    """Accept a response, or reject it with *error*."""
    request = DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=nonce)
    if error is not None:
        request.error_detail.message = error
    await wire.send(request)


async def test_the_first_script_serves_its_cluster() -> None:
    address = f"127.0.0.1:{free_port()}"
    script = run(SCRIPT.replace("127.0.0.1:18000", address))
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(tasks.create_task(script.main(), name="script").cancel)
        wire = await stack.enter_async_context(asking(address))
        response = await wire.receive()

    assert [resource.name for resource in response.resources] == ["web"]


async def test_the_observer_and_the_question_of_the_guide(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a client wants, accepts and rejects is printed, and when it has it all."""
    guide = run(*BLOCKS)
    guide.snapshot.declare_ready()
    heard = Heard()
    server = XdsServer(
        snapshot=guide.snapshot,
        directory=guide.groups,
        observers=(guide.Printer(), heard),
    )
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(server.listening("127.0.0.1:0"))
        wire = await stack.enter_async_context(asking(address))
        first = await wire.receive()
        before = guide.is_everywhere(server, guide.web, CLUSTER)
        await answer(wire, first.nonce)
        await heard.answers.get()
        after = guide.is_everywhere(server, guide.web, CLUSTER)
        guide.web.remove(CLUSTER, "a")
        await answer(wire, (await wire.receive()).nonce, "a is needed")
        await heard.answers.get()
        rejected = guide.is_everywhere(server, guide.web, CLUSTER)

    assert (before, after, rejected) == (False, True, False)
    assert capsys.readouterr().out.splitlines() == [
        f"me wants all of {CLUSTER}",
        f"me has {CLUSTER} {first.system_version_info}",
        "me rejects ('a',) a is needed",
    ]


def test_the_other_blocks_do_what_they_say() -> None:
    """Their assertions hold, and a directory of one's own keeps what it must."""
    guide = run(*BLOCKS)
    directory = guide.PerNode()
    nodes = [engine.Node(id=name) for name in "aab"]
    views = [directory.acquire(node) for node in nodes]
    for node in nodes[1:]:
        directory.release(node)

    assert views[0] is views[1] is not views[2]
    assert {
        name: group.names(engine.ROUTE) for name, group in directory.groups.items()
    } == {"a": {"a"}}
    assert guide.groups.acquire(engine.Node(id="a", cluster="web")) is guide.web.view


def test_the_guide_lists_every_public_name() -> None:
    """A line of its table begins with each; what is not there is not promised."""
    rows = re.findall(r"^\| (`.*?) \|", GUIDE, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)", row)}

    assert set(engine.__all__) <= listed
    assert all(hasattr(engine, name) for name in engine.__all__)
