"""A small xDS client for tests: real gRPC on loopback, one message a call."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Generic, TypeVar

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from xds_server.serve.node import Node
from xds_server.snapshot.table import Table
from xds_server.snapshot.view import Snapshot, Update, View
from xds_server.xds import PUSH_ORDER, Resource

ADS: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
LRS: Final = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats"
PATIENCE: Final = 30.0
"""Seconds after which a test that waits for a response fails."""

Request = TypeVar("Request", DiscoveryRequest, DeltaDiscoveryRequest)
Response = TypeVar("Response", DiscoveryResponse, DeltaDiscoveryResponse)


class World:
    """One view of everything, that every node sees; of *more_types* too."""

    def __init__(self, *more_types: str) -> None:
        self.snapshot = Snapshot()
        types = (*PUSH_ORDER, *more_types)
        self.tables = {type_url: Table(type_url) for type_url in types}
        self.view = View(self.tables.values())
        self.held: list[Node] = []

    def acquire(self, node: Node) -> View:
        """Return the one view."""
        self.held.append(node)
        return self.view

    def release(self, node: Node) -> None:
        """Forget a stream of *node*."""
        self.held.remove(node)

    def publish(
        self,
        *resources: Resource,
        deleted: tuple[str, ...] = (),
        gone: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    ) -> None:
        """Publish *resources* of any types, all at once.

        *deleted* are names gone from all types, *gone* those gone from one.
        """
        self.snapshot.publish(
            [
                Update(
                    table=table,
                    applied=tuple(r for r in resources if r.type_url == type_url),
                    deleted=(*deleted, *gone.get(type_url, ())),
                )
                for type_url, table in self.tables.items()
            ]
        )


@dataclass(kw_only=True)
class Wire(Generic[Request, Response]):
    """One open stream; requests carry the node only once."""

    call: grpc.aio.StreamStreamCall
    response: type[Response]

    async def send(self, request: Request) -> None:
        """Send *request*."""
        await self.call.write(request.SerializeToString())

    async def receive(self) -> Response:
        """Return the next response.

        Raises:
            grpc.aio.AioRpcError: the server ended the stream with an error.
        """
        data = await asyncio.wait_for(self.call.read(), PATIENCE)
        if data is grpc.aio.EOF:
            message = "the server ended the stream"
            raise EOFError(message)
        return self.response.FromString(data)

    async def status(self) -> tuple[grpc.StatusCode, str]:
        """Return how the stream ended, passing over what came before."""
        with suppress(grpc.aio.AioRpcError):
            while await asyncio.wait_for(self.call.read(), PATIENCE):
                pass
        code = await asyncio.wait_for(self.call.code(), PATIENCE)
        return code, await self.call.details()


@asynccontextmanager
async def channel_to(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """Connect to *address*, taking responses of any size, as Envoy does."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        yield channel


def open_sotw(channel: grpc.aio.Channel) -> Wire[DiscoveryRequest, DiscoveryResponse]:
    """Open a state-of-the-world ADS stream."""
    method = channel.stream_stream(f"{ADS}StreamAggregatedResources")
    return Wire(call=method(), response=DiscoveryResponse)


def open_delta(
    channel: grpc.aio.Channel,
) -> Wire[DeltaDiscoveryRequest, DeltaDiscoveryResponse]:
    """Open a delta ADS stream."""
    method = channel.stream_stream(f"{ADS}DeltaAggregatedResources")
    return Wire(call=method(), response=DeltaDiscoveryResponse)
