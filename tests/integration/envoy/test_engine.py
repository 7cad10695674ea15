"""The engine alone with a real Envoy: resources are published, and Envoy is watched.

No policies and no manifests: what is tested is that both variants of the protocol, as
this engine speaks them, are what a real Envoy expects.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 - in Any
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,  # noqa: F401 - in Any
)
from google.protobuf.json_format import ParseDict

from tests.serve.wire import World
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.envoy import find_envoy, run_envoy
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import Request, Target, send
from xds_server.mesh.model import Protocol
from xds_server.serve.client import Connection, Observer
from xds_server.serve.grpc_server import XdsServer
from xds_server.serve.quarantine import Rejection
from xds_server.serve.response import Delivery, Head
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource

pytestmark = pytest.mark.envoy

LOOPBACK: Final = "127.0.0.1"
BEFORE_ENVOY_GIVES_UP: Final = 10.0
"""Seconds; after 15 s Envoy stops waiting for an assignment, and all looks well."""

ADS: Final = {"ads": {}, "resource_api_version": "V3"}
TYPED: Final = "type.googleapis.com/envoy.extensions.filters"


class Events(Observer):
    """Hears what Envoy is sent, and what it says of it."""

    def __init__(self) -> None:
        self.responses: asyncio.Queue[Head] = asyncio.Queue()
        self.acks: asyncio.Queue[Head] = asyncio.Queue()
        self.nacks: asyncio.Queue[Rejection] = asyncio.Queue()

    def on_response(self, connection: Connection, delivery: Delivery) -> None:
        del connection
        self.responses.put_nowait(delivery.response.head)

    def on_ack(self, connection: Connection, head: Head) -> None:
        del connection
        self.acks.put_nowait(head)

    def on_nack(self, connection: Connection, rejection: Rejection) -> None:
        del connection
        self.nacks.put_nowait(rejection)

    async def ack_of(self, type_url: str, version: str) -> None:
        """Wait until Envoy accepts *version* of a type."""
        async with asyncio.timeout(BEFORE_ENVOY_GIVES_UP):
            while True:
                head = await self.acks.get()
                if (head.type_url, head.version) == (type_url, version):
                    return


def cluster(*, connect_timeout: str = "1s") -> Resource:
    message = {
        "name": "web",
        "type": "EDS",
        "connect_timeout": connect_timeout,
        "eds_cluster_config": {"eds_config": ADS},
    }
    body = ParseDict(message, cluster_pb2.Cluster()).SerializeToString()
    return Resource(type_url=CLUSTER, name="web", body=body)


def bad_cluster() -> Resource:
    """Return a cluster without the configuration that its type needs."""
    message = cluster_pb2.Cluster(name="bad", type=cluster_pb2.Cluster.EDS)
    return Resource(type_url=CLUSTER, name="bad", body=message.SerializeToString())


def assignment(backend: Backend) -> Resource:
    address = {"address": backend.address.ip, "port_value": backend.address.port}
    endpoint = {"endpoint": {"address": {"socket_address": address}}}
    message = {"cluster_name": "web", "endpoints": [{"lb_endpoints": [endpoint]}]}
    body = ParseDict(message, endpoint_pb2.ClusterLoadAssignment())
    return Resource(type_url=ENDPOINT, name="web", body=body.SerializeToString())


def listener(port: int) -> Resource:
    manager = {
        "@type": f"{TYPED}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "rds": {"route_config_name": "routes", "config_source": ADS},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{TYPED}.http.router.v3.Router"},
            }
        ],
    }
    message = {
        "name": "web",
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    body = ParseDict(message, listener_pb2.Listener()).SerializeToString()
    return Resource(type_url=LISTENER, name="web", body=body)


def routes() -> Resource:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "web"}}
    host = {"name": "web", "domains": ["*"], "routes": [route]}
    message = {"name": "routes", "virtual_hosts": [host]}
    body = ParseDict(message, route_pb2.RouteConfiguration()).SerializeToString()
    return Resource(type_url=ROUTE, name="routes", body=body)


def write_bootstrap(file: Path, mode: str, xds: str, admin: Address) -> None:
    """Write a bootstrap by hand; Envoy reads JSON as YAML."""
    host, port = xds.split(":")
    xds_address = {"socket_address": {"address": host, "port_value": int(port)}}
    http2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    bootstrap = {
        "node": {"id": "engine-test", "cluster": "web"},
        "admin": {
            "address": {
                "socket_address": {"address": admin.ip, "port_value": admin.port}
            }
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC" if mode == "delta" else "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": ADS,
            "lds_config": ADS,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": f"type.googleapis.com/{http2}",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": xds_address}}]}
                        ],
                    },
                }
            ]
        },
    }
    file.write_text(json.dumps(bootstrap))


@dataclass(kw_only=True)
class Bench:
    """One Envoy that follows what a test publishes."""

    world: World
    resources: tuple[Resource, ...]
    events: Events
    backend: Backend
    target: Target
    address: str

    def version_of(self, type_url: str) -> str:
        return self.world.tables[type_url].version


@asynccontextmanager
async def serving(world: World, events: Events, address: str) -> AsyncIterator[str]:
    """Serve *world* on *address*."""
    server = XdsServer(snapshot=world.snapshot, directory=world, observers=(events,))
    async with server.listening(address, grace=timedelta(seconds=1)) as bound:
        yield bound


@asynccontextmanager
async def following(world: World, mode: str, home: Path) -> AsyncIterator[Bench]:
    """Run an Envoy that follows *world*; the server is whoever listens by then."""
    backend = Backend(
        address=Address("127.0.7.1", free_port()), protocol=Protocol.HTTP1
    )
    admin, outbound = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    address = f"{LOOPBACK}:{free_port()}"
    bootstrap = home / "bootstrap.json"
    write_bootstrap(bootstrap, mode, address, admin)
    resources = cluster(), assignment(backend), listener(outbound.port), routes()
    world.publish(*resources)
    world.snapshot.declare_ready()
    async with serve_backends((backend,)), run_envoy(find_envoy(), bootstrap, admin):
        yield Bench(
            world=world,
            resources=resources,
            events=Events(),
            backend=backend,
            target=Target(listener=outbound, authority="web", protocol=Protocol.HTTP1),
            address=address,
        )


@pytest.fixture(params=["delta", "sotw"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """A served world and an Envoy that has accepted all four types."""
    async with (
        following(World(), str(request.param), tmp_path) as bench,
        serving(bench.world, bench.events, bench.address),
    ):
        for type_url in (CLUSTER, LISTENER, ROUTE):
            await bench.events.ack_of(type_url, bench.version_of(type_url))
        yield bench


async def test_all_four_types_arrive_and_carry_a_request(bench: Bench) -> None:
    """Cluster, assignment, listener and route together reach the backend."""
    answers = await send(bench.target, [Request()])

    assert list(answers) == [str(bench.backend.address)]


async def test_rule_36_a_changed_cluster_becomes_warm(bench: Bench) -> None:
    """Envoy accepts it at once, because its unchanged assignment is sent again.

    Without that, the cluster warms until a timeout and its acknowledgement is late.
    """
    bench.world.publish(cluster(connect_timeout="2s"))
    await bench.events.ack_of(CLUSTER, bench.version_of(CLUSTER))
    answers = await send(bench.target, [Request()])

    assert list(answers) == [str(bench.backend.address)]


async def test_a_rejected_cluster_is_named_and_what_was_accepted_stays(
    bench: Bench,
) -> None:
    """The rejection names its cluster; a good version of it is accepted after."""
    bench.world.publish(bad_cluster())
    async with asyncio.timeout(BEFORE_ENVOY_GIVES_UP):
        rejection = await bench.events.nacks.get()
    answers = await send(bench.target, [Request()])
    bench.world.publish(deleted=("bad",))
    await bench.events.ack_of(CLUSTER, bench.version_of(CLUSTER))

    assert rejection.head.type_url == CLUSTER
    assert rejection.suspects == ("bad",)
    assert list(answers) == [str(bench.backend.address)]


async def test_rule_31_a_restarted_server_sends_only_what_changed(
    tmp_path: Path,
) -> None:
    """Envoy comes back with its versions, and they are those of the new server.

    The cluster changed meanwhile, so its unchanged assignment is needed too.
    """
    world = World()
    async with following(world, "delta", tmp_path) as bench:
        async with serving(world, bench.events, bench.address):
            for type_url in (CLUSTER, LISTENER, ROUTE):
                await bench.events.ack_of(type_url, bench.version_of(type_url))
        successor, events = World(), Events()
        successor.publish(*bench.resources, cluster(connect_timeout="2s"))
        successor.snapshot.declare_ready()
        async with serving(successor, events, bench.address):
            await events.ack_of(CLUSTER, successor.tables[CLUSTER].version)
        heads = [events.responses.get_nowait() for _ in range(events.responses.qsize())]

    assert [head.type_url for head in heads] == [CLUSTER, ENDPOINT]
