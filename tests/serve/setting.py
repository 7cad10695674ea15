"""A listening server, what it serves, and who hears of it, for tests over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Sequence, Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types
from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from tests.serve.wire import (
    PATIENCE,
    Wire,
    World,
    channel_to,
    open_delta,
    open_sotw,
)
from xds_server.load import LoadReport
from xds_server.serve.client import ClientStatus, Connection, Observer
from xds_server.serve.grpc_server import XdsServer
from xds_server.serve.node import ViewDirectory
from xds_server.serve.quarantine import Rejection
from xds_server.serve.response import Delivery, Head
from xds_server.serve.subscription import Subscription
from xds_server.xds import CLUSTER, ENDPOINT, Resource

NODE: Final = NodeMessage(id="sidecar-1", cluster="web")
GRACE: Final = timedelta(seconds=2)
MANY: Final = 100
"""So many names are not written out: a storm of requests may add them one by one."""


class Reports:
    """Keeps the load reports that it is given."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[LoadReport] = asyncio.Queue()

    def submit(self, report: LoadReport) -> None:
        self.received.put_nowait(report)


class Events(Observer):
    """Hears what happens on streams, so that a test can wait for it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    async def next(self, wanted: str) -> None:
        """Wait until *wanted* happens."""
        while await self.next_of(wanted) != wanted:
            pass

    async def next_of(self, kind: str) -> str:
        """Return the next event that begins with *kind*."""
        while True:
            event = await asyncio.wait_for(self._queue.get(), PATIENCE)
            if event.startswith(kind):
                return event

    def on_connect(self, connection: Connection) -> None:
        self._queue.put_nowait(f"connect {connection.node.id}")

    def on_disconnect(self, connection: Connection) -> None:
        del connection
        self._queue.put_nowait("disconnect")

    def on_subscribe(
        self, connection: Connection, type_url: str, subscription: Subscription
    ) -> None:
        del connection
        number = len(subscription.names)
        names = sorted(subscription.names) if number < MANY else f"{number} names"
        wanted = "*" if subscription.is_wildcard else names
        self._queue.put_nowait(f"subscribe {type_url} {wanted}")

    def on_kept(
        self, connection: Connection, type_url: str, names: AbstractSet[str]
    ) -> None:
        del connection
        self._queue.put_nowait(f"kept {type_url} {sorted(names)}")

    def on_response(self, connection: Connection, delivery: Delivery) -> None:
        del connection
        self._queue.put_nowait(f"response {delivery.cause}")

    def on_ack(self, connection: Connection, head: Head) -> None:
        del connection, head
        self._queue.put_nowait("ack")

    def on_stale(self, connection: Connection, type_url: str) -> None:
        del connection, type_url
        self._queue.put_nowait("stale")

    def on_nack(self, connection: Connection, rejection: Rejection) -> None:
        del connection, rejection
        self._queue.put_nowait("nack")


class Setting:
    """A listening server, what it serves, and a channel to it."""

    def __init__(
        self,
        world: World | None = None,
        *,
        directory: ViewDirectory | None = None,
        observers: Sequence[Observer] = (),
        answer_timeout: timedelta = timedelta(seconds=0.2),
    ) -> None:
        """Serve what *directory* says, which is *world* itself if none is given."""
        self.world = world or World()
        self.reports = Reports()
        self.events = Events()
        self.server = XdsServer(
            snapshot=self.world.snapshot,
            directory=directory or self.world,
            load_report_sink=self.reports,
            observers=(self.events, *observers),
            answer_timeout=answer_timeout,
        )
        self.listening = AsyncExitStack()
        self.address: str
        self.channel: grpc.aio.Channel

    @property
    def only_client(self) -> ClientStatus:
        """The state of the one client there is."""
        (status,) = self.server.statuses()
        return status


@asynccontextmanager
async def listening(setting: Setting) -> AsyncIterator[Setting]:
    """Let the server of *setting* listen, and connect to it."""
    async with setting.listening, AsyncExitStack() as channels:
        setting.address = await setting.listening.enter_async_context(
            setting.server.listening("127.0.0.1:0", grace=GRACE)
        )
        setting.channel = await channels.enter_async_context(
            channel_to(setting.address)
        )
        yield setting


def cluster(name: str, body: bytes = b"1") -> Resource:
    return Resource(type_url=CLUSTER, name=name, body=name.encode() + b"|" + body)


def assignment(name: str, body: bytes = b"1") -> Resource:
    return Resource(type_url=ENDPOINT, name=name, body=name.encode() + b"|" + body)


def sotw_bodies(response: DiscoveryResponse) -> list[bytes]:
    return sorted(resource.value for resource in response.resources)


def delta_names(response: DeltaDiscoveryResponse) -> list[str]:
    return sorted(resource.name for resource in response.resources)


async def ask_sotw(setting: Setting) -> Wire[DiscoveryRequest, DiscoveryResponse]:
    """Open a stream that asks for all clusters."""
    wire = open_sotw(setting.channel)
    await wire.send(DiscoveryRequest(node=NODE, type_url=CLUSTER))
    return wire


async def ask_delta(
    setting: Setting, node: NodeMessage = NODE
) -> Wire[DeltaDiscoveryRequest, DeltaDiscoveryResponse]:
    """Open a stream that asks for all clusters."""
    wire = open_delta(setting.channel)
    await wire.send(DeltaDiscoveryRequest(node=node, type_url=CLUSTER))
    return wire
