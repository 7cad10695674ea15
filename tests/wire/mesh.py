"""A server whose resources come from documents, as those of the real one do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from tests.mesh.documents import service, slice_of
from tests.serve.setting import Setting, listening
from tests.serve.wire import World
from tests.wire.client import AnyClient
from xds_server.api.document import Document
from xds_server.mesh.event import Applied
from xds_server.mesh.index import Index
from xds_server.publish import Publisher
from xds_server.xds import CLUSTER, ENDPOINT


@dataclass(kw_only=True)
class Mesh:
    """Documents, and the server that publishes what they mean."""

    index: Index
    publisher: Publisher
    setting: Setting

    def apply(self, *documents: Document) -> None:
        """Let *documents* be there, and publish what that changes."""
        events = [Applied(document=document) for document in documents]
        self.publisher.publish(self.index.apply(events))


@asynccontextmanager
async def serving_mesh() -> AsyncIterator[Mesh]:
    """Serve a Service with two endpoints."""
    world, index = World(), Index()
    publisher = Publisher(index, world.snapshot)
    setting = Setting(world, directory=publisher)
    mesh = Mesh(index=index, publisher=publisher, setting=setting)
    mesh.apply(service(), slice_of(["10.0.0.1", "10.0.0.2"]))
    world.snapshot.declare_ready()
    async with listening(setting):
        yield mesh


async def receive_assignment(
    client: AnyClient, wanted: str = "*"
) -> ClusterLoadAssignment:
    """Return the only assignment of the next response, and accept it.

    The client goes on to want what is *wanted*.
    """
    return ClusterLoadAssignment.FromString(await _receive(client, ENDPOINT, wanted))


async def receive_cluster(client: AnyClient) -> Cluster:
    """Return the only cluster of the next response, and accept it."""
    return Cluster.FromString(await _receive(client, CLUSTER))


async def _receive(client: AnyClient, type_url: str, *wanted: str) -> bytes:
    response = await client.stream(type_url).receive()
    if isinstance(response, DeltaDiscoveryResponse):
        assert not response.removed_resources
        (body,) = (each.resource for each in response.resources)
        await client.request(type_url, nonce=response.nonce)
    else:
        (body,) = response.resources
        await client.request(type_url, *wanted, nonce=response.nonce)
    return body.value
