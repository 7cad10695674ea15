"""The commands of the engine benchmarks, as our engine obeys them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse

from benchmarks.engine_content import Content
from benchmarks.engine_server import Driver
from xds_server.serve.node import Node
from xds_server.snapshot.table import Table
from xds_server.xds import CLUSTER, ENDPOINT

PATIENCE = 60


class Orders:
    """The connection of whoever gives commands."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def give(self, **command: str | int) -> Mapping[str, str | int]:
        self._writer.write(json.dumps(command).encode() + b"\n")
        line = await asyncio.wait_for(self._reader.readline(), PATIENCE)
        answer: dict[str, str | int] = json.loads(line)
        return answer


@asynccontextmanager
async def taking_orders(content: Content) -> AsyncIterator[Orders]:
    driver = Driver(content)
    async with await asyncio.start_server(driver.converse, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        yield Orders(reader, writer)
        writer.close()
        await writer.wait_closed()


def table_of(content: Content, type_url: str, node: str = "node-0") -> Table:
    return content.acquire(Node(id=node)).table(type_url)


def newest(table: Table) -> bytes:
    """Return the body of the resource that changed last."""
    *_, last = table
    (resource,) = DiscoveryResponse.FromString(last.sotw).resources
    body: bytes = resource.value
    return body


async def test_what_is_populated_is_what_a_node_sees() -> None:
    content = Content()

    async with taking_orders(content) as orders:
        answer = await orders.give(do="populate", clusters=30, endpoints=2, views=0)

    assert answer == {"error": ""}
    assert len(table_of(content, CLUSTER)) == 30
    assert len(table_of(content, ENDPOINT)) == 30


async def test_nodes_with_views_see_some_clusters_of_their_own() -> None:
    content = Content()

    async with taking_orders(content) as orders:
        await orders.give(do="populate", clusters=30, endpoints=0, views=2)

    tables = [table_of(content, CLUSTER, node) for node in ("node-0", "node-1")]
    names = [{resource.name for resource in table} for table in tables]
    versions = [{resource.version for resource in table} for table in tables]
    assert names[0] == names[1]
    assert len(versions[0] - versions[1]) == 3


async def test_a_change_carries_its_stamp_where_the_client_looks_for_it() -> None:
    content = Content()

    async with taking_orders(content) as orders:
        await orders.give(do="populate", clusters=30, endpoints=2, views=0)
        await orders.give(do="change-cluster", stamp=7)
        await orders.give(do="change-assignment", stamp=8)

    cluster = Cluster.FromString(newest(table_of(content, CLUSTER)))
    assignment = ClusterLoadAssignment.FromString(newest(table_of(content, ENDPOINT)))
    first, second = assignment.endpoints[0].lb_endpoints
    assert cluster.connect_timeout.nanos == 7
    assert first.load_balancing_weight.value == 8
    assert second.load_balancing_weight.value == 1


async def test_a_churn_answers_with_its_start_and_makes_all_changes() -> None:
    content = Content()

    async with taking_orders(content) as orders:
        await orders.give(do="populate", clusters=30, endpoints=2, views=0)
        answer = await orders.give(do="churn", stamp=2, rate=1000, changes=20)
        await orders.give(do="change-cluster", stamp=22)  # answered after the churn

    assignment = ClusterLoadAssignment.FromString(newest(table_of(content, ENDPOINT)))
    assert int(answer["start"]) > 0
    assert assignment.endpoints[0].lb_endpoints[0].load_balancing_weight.value == 21


async def test_an_unknown_command_is_said_to_be_one() -> None:
    async with taking_orders(Content()) as orders:
        answer = await orders.give(do="dance")

    assert answer == {"error": "no such command: dance"}
