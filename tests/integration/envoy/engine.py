"""An Envoy that follows the engine alone: resources by hand, in any variant.

No policies and no manifests. In: which variant Envoy speaks, and what is published.
Out: what Envoy is sent and says of it, what it has in force, and requests through it.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 - in Any
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,  # noqa: F401 - in Any
)
from envoy.extensions.load_balancing_policies.random.v3 import (
    random_pb2,  # noqa: F401 - in Any
)
from envoy.extensions.load_balancing_policies.round_robin.v3 import (
    round_robin_pb2,  # noqa: F401 - in Any
)
from google.protobuf.json_format import ParseDict

from tests.serve.wire import World
from tests.wire.variant import Variant
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.envoy import Envoy, find_envoy, run_envoy
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import Request, Target, send
from xds_server.mesh.model import Protocol
from xds_server.serve.client import Connection, Observer
from xds_server.serve.grpc_server import XdsServer
from xds_server.serve.quarantine import Rejection
from xds_server.serve.response import KNOWS_TTL, UNWRAPS, Cause, Delivery, Head
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource

LOOPBACK: Final = "127.0.0.1"
BEFORE_ENVOY_GIVES_UP: Final = 10.0
"""Seconds; after 15 s Envoy stops waiting for an assignment, and all looks well."""
BEFORE_ENVOY_CONNECTS: Final = 30.0
"""Seconds; where the server was not there yet, Envoy waits up to 10 s to try again."""

NODE: Final = "engine-test"
WEB: Final = "web"
BAD: Final = "bad"
XDS: Final = "xds"
ADS: Final[dict[str, object]] = {"ads": {}, "resource_api_version": "V3"}
TYPED: Final = "type.googleapis.com/envoy.extensions"
HTTP2: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
MANAGER: Final = "filters.network.http_connection_manager.v3.HttpConnectionManager"
HANDFUL: Final = 10


def api_of(variant: Variant) -> dict[str, object]:
    """Return where an Envoy that speaks *variant* finds the server."""
    back_off = {"base_interval": "0.1s", "max_interval": "0.5s"}
    service = {"cluster_name": XDS, "retry_policy": {"retry_back_off": back_off}}
    return {
        "api_type": "DELTA_GRPC" if variant.is_delta else "GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": service}],
    }


def source_of(variant: Variant) -> dict[str, object]:
    """Return where the resources that another one refers to come from."""
    if variant.is_aggregated:
        return ADS
    return {"api_config_source": api_of(variant), "resource_api_version": "V3"}


def cluster(
    variant: Variant, name: str = WEB, policy: str = "round_robin.v3.RoundRobin"
) -> Resource:
    """Return a cluster whose endpoints are in an assignment of its name."""
    typed = {"@type": f"{TYPED}.load_balancing_policies.{policy}"}
    extension = {"typed_extension_config": {"name": "lb", "typed_config": typed}}
    message = {
        "name": name,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {"eds_config": source_of(variant)},
        "load_balancing_policy": {"policies": [extension]},
    }
    body = ParseDict(message, cluster_pb2.Cluster()).SerializeToString()
    return Resource(type_url=CLUSTER, name=name, body=body)


def bad_cluster() -> Resource:
    """Return a cluster without the configuration that its type needs."""
    message = cluster_pb2.Cluster(name=BAD, type=cluster_pb2.Cluster.EDS)
    return Resource(type_url=CLUSTER, name=BAD, body=message.SerializeToString())


def assignment(address: Address, name: str = WEB) -> Resource:
    """Return the assignment of one endpoint to the cluster called *name*."""
    place = {"address": address.ip, "port_value": address.port}
    endpoint = {"endpoint": {"address": {"socket_address": place}}}
    message = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    body = ParseDict(message, endpoint_pb2.ClusterLoadAssignment())
    return Resource(type_url=ENDPOINT, name=name, body=body.SerializeToString())


def listener(
    variant: Variant, port: int, name: str = WEB, routes_name: str = WEB
) -> Resource:
    """Return a listener that follows the routes called *routes_name*."""
    manager = {
        "@type": f"{TYPED}.{MANAGER}",
        "stat_prefix": name,
        "rds": {
            "route_config_name": routes_name,
            "config_source": source_of(variant),
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{TYPED}.filters.http.router.v3.Router"},
            }
        ],
    }
    message = {
        "name": name,
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    body = ParseDict(message, listener_pb2.Listener()).SerializeToString()
    return Resource(type_url=LISTENER, name=name, body=body)


def bad_listener() -> Resource:
    """Return a listener that listens nowhere."""
    message = listener_pb2.Listener(name=BAD)
    return Resource(type_url=LISTENER, name=BAD, body=message.SerializeToString())


def routes(name: str = WEB, domains: Iterable[str] = ("*",)) -> Resource:
    """Return routes of everything to the cluster `web`."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": WEB}}
    host = {"name": WEB, "domains": list(domains), "routes": [route]}
    message = {"name": name, "virtual_hosts": [host]}
    body = ParseDict(message, route_pb2.RouteConfiguration()).SerializeToString()
    return Resource(type_url=ROUTE, name=name, body=body)


def write_bootstrap(file: Path, variant: Variant, xds: str, admin: Address) -> None:
    """Write a bootstrap by hand; Envoy reads JSON as YAML."""
    host, port = xds.split(":")
    xds_address = {"socket_address": {"address": host, "port_value": int(port)}}
    admin_address = {"address": admin.ip, "port_value": admin.port}
    dynamic = {"cds_config": source_of(variant), "lds_config": source_of(variant)}
    if variant.is_aggregated:
        dynamic["ads_config"] = api_of(variant)
    options = {
        "@type": f"type.googleapis.com/{HTTP2}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": xds_address}}]}]
    xds_cluster = {
        "name": XDS,
        "type": "STATIC",
        "typed_extension_protocol_options": {HTTP2: options},
        "load_assignment": {"cluster_name": XDS, "endpoints": endpoints},
    }
    bootstrap = {
        "node": {
            "id": NODE,
            "cluster": WEB,
            "client_features": [KNOWS_TTL, UNWRAPS],
        },
        "admin": {"address": {"socket_address": admin_address}},
        "dynamic_resources": dynamic,
        "static_resources": {"clusters": [xds_cluster]},
    }
    file.write_text(json.dumps(bootstrap))


class Events(Observer):
    """Hears what Envoy is sent, and what it says of it."""

    def __init__(self) -> None:
        self.responses: asyncio.Queue[Head] = asyncio.Queue()
        self.acks: asyncio.Queue[Head] = asyncio.Queue()
        self.nacks: asyncio.Queue[Rejection] = asyncio.Queue()
        self.heartbeats: Counter[str] = Counter()

    def on_response(self, connection: Connection, delivery: Delivery) -> None:
        del connection
        self.responses.put_nowait(delivery.response.head)
        if delivery.cause is Cause.HEARTBEAT:
            self.heartbeats[delivery.response.head.type_url] += 1

    def on_ack(self, connection: Connection, head: Head) -> None:
        del connection
        self.acks.put_nowait(head)

    def on_nack(self, connection: Connection, rejection: Rejection) -> None:
        del connection
        self.nacks.put_nowait(rejection)

    async def ack_of(
        self, type_url: str, version: str, patience: float = BEFORE_ENVOY_GIVES_UP
    ) -> None:
        """Wait until Envoy accepts *version* of a type."""
        async with asyncio.timeout(patience):
            while True:
                head = await self.acks.get()
                if (head.type_url, head.version) == (type_url, version):
                    return


@dataclass(kw_only=True)
class Traffic:
    """Requests that go on and on; one that fails ends the test."""

    target: Target
    sent: int = 0
    is_stopping: bool = False
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def flow(self) -> None:
        """Send until it is to stop."""
        while not self.is_stopping:
            await send(self.target, [Request()] * HANDFUL, concurrency=2)
            self.sent += HANDFUL
            self._moved.set()

    async def goes_on(self, number: int = 10 * HANDFUL) -> None:
        """Wait until *number* more requests have been served."""
        wanted = self.sent + number
        while self.sent < wanted:
            self._moved.clear()
            await self._moved.wait()


@asynccontextmanager
async def under_traffic(target: Target) -> AsyncIterator[Traffic]:
    """Keep requests flowing inside the block."""
    traffic = Traffic(target=target)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.flow(), name="traffic")
        await traffic.goes_on()
        yield traffic
        await traffic.goes_on()
        traffic.is_stopping = True


@dataclass(kw_only=True)
class Bench:
    """One Envoy that follows what a test publishes."""

    variant: Variant
    world: World
    resources: tuple[Resource, ...]
    events: Events
    backends: tuple[Backend, ...]
    target: Target
    address: str
    envoy: Envoy

    def version_of(self, type_url: str) -> str:
        """Return the version that clients get of all of *type_url*."""
        return self.world.tables[type_url].version

    async def policies(self) -> dict[str, str]:
        """Return the load balancing policy of each cluster that is in force."""
        url = f"http://{self.envoy.admin}/config_dump?resource=dynamic_active_clusters"
        async with self.envoy.session.get(url) as answer:
            dump = await answer.json()
        clusters = [each["cluster"] for each in dump.get("configs", [])]
        return {
            each["name"]: each["load_balancing_policy"]["policies"][0][
                "typed_extension_config"
            ]["typed_config"]["@type"].rpartition(".")[2]
            for each in clusters
        }


@asynccontextmanager
async def serving(
    world: World, events: Events, address: str
) -> AsyncIterator[XdsServer]:
    """Serve *world* on *address*."""
    server = XdsServer(snapshot=world.snapshot, directory=world, observers=(events,))
    async with server.listening(address, grace=timedelta(seconds=1)):
        yield server


@asynccontextmanager
async def following(
    variant: Variant, home: Path, *, ttl: timedelta | None = None
) -> AsyncIterator[Bench]:
    """Run an Envoy that follows a world; the server is whoever listens by then.

    There are two backends, and the first is assigned.
    """
    backends = tuple(
        Backend(address=Address(f"127.0.7.{n}", free_port()), protocol=Protocol.HTTP1)
        for n in (1, 2)
    )
    admin, outbound = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    address = f"{LOOPBACK}:{free_port()}"
    bootstrap = home / "bootstrap.json"
    write_bootstrap(bootstrap, variant, address, admin)
    resources = (
        cluster(variant),
        assignment(backends[0].address),
        listener(variant, outbound.port),
        routes(),
    )
    world = World()
    world.publish(*(each if ttl is None else lasting(each, ttl) for each in resources))
    world.snapshot.declare_ready()
    async with (
        serve_backends(backends),
        run_envoy(find_envoy(), bootstrap, admin) as envoy,
    ):
        yield Bench(
            variant=variant,
            world=world,
            resources=resources,
            events=Events(),
            backends=backends,
            target=Target(listener=outbound, authority=WEB, protocol=Protocol.HTTP1),
            address=address,
            envoy=envoy,
        )


def lasting(each: Resource, ttl: timedelta) -> Resource:
    """Return a resource that is to be kept alive."""
    return Resource(type_url=each.type_url, name=each.name, body=each.body, ttl=ttl)
