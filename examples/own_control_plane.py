"""A whole control plane: Envoys send requests to the addresses that a file lists.

Run it, give an Envoy its address, and edit `endpoints.txt`: the next requests follow.

    python examples/own_control_plane.py
    xds-server bootstrap --node-id me --xds-address 127.0.0.1:18000 > envoy.yaml
    envoy -c envoy.yaml
    curl 127.0.0.1:10000

What an Envoy rejects, a name instead of an IP address for instance, is printed with its
reason, and the last good addresses stay in force.
"""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (  # noqa: E501 - Envoy's name
    HttpConnectionManager,
)
from google.protobuf.any import pack
from watchfiles import awatch

from xds_server.engine import (
    Connection,
    Group,
    Groups,
    Observer,
    Rejection,
    Snapshot,
    XdsServer,
)

ADS = {"ads": {}, "resource_api_version": "V3"}


def cluster() -> Cluster:
    return Cluster(name="web", type="EDS", eds_cluster_config={"eds_config": ADS})


def assignment(file: Path) -> ClusterLoadAssignment:
    lines = [line.rpartition(":") for line in file.read_text().split()]
    addresses = [{"address": ip, "port_value": int(port)} for ip, _, port in lines]
    hosts = [{"endpoint": {"address": {"socket_address": a}}} for a in addresses]
    locality = {"lb_endpoints": hosts}
    return ClusterLoadAssignment(cluster_name="web", endpoints=[locality])


def listener(port: int) -> Listener:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    manager = HttpConnectionManager(
        stat_prefix="web",
        rds={"route_config_name": "web", "config_source": ADS},
        http_filters=[{"name": "router", "typed_config": pack(Router())}],
    )
    filters = [{"name": "http", "typed_config": pack(manager)}]
    return Listener(name="web", address=address, filter_chains=[{"filters": filters}])


def routes() -> RouteConfiguration:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "web"}}
    host = {"name": "web", "domains": ["*"], "routes": [route]}
    return RouteConfiguration(name="web", virtual_hosts=[host])


class Printer(Observer):
    def on_nack(self, connection: Connection, rejection: Rejection) -> None:
        names = ", ".join(rejection.suspects)
        print(f"{connection.node.id} rejected {names}: {rejection.message}", flush=True)


async def main(
    file: str = str(Path(__file__).with_name("endpoints.txt")),
    address: str = "127.0.0.1:18000",
    port: str = "10000",
) -> None:
    path = Path(file)
    snapshot = Snapshot()
    everyone = Group(snapshot)
    everyone.publish(cluster(), assignment(path), listener(int(port)), routes())
    snapshot.declare_ready()
    directory = Groups(lambda _: everyone)
    server = XdsServer(snapshot=snapshot, directory=directory, observers=[Printer()])
    async with server.listening(address) as bound:
        print(f"serving on {bound}", flush=True)
        async for _ in awatch(path.parent):
            try:
                everyone.publish(assignment(path))
            except (OSError, ValueError) as error:
                print(f"{path}: {error}; the last addresses stay", flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
