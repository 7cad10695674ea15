"""Build `envoy.config.bootstrap.v3.Bootstrap`: what an Envoy needs to find xds-server.

The place and the name of one Envoy in, its bootstrap out. Everything else it learns
over one aggregated stream (ADS). `mesh.audience` reads the node's metadata.
"""

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal

from envoy_data_plane.envoy.config.bootstrap.v3 import (
    Admin,
    Bootstrap,
    BootstrapDynamicResources,
    BootstrapStaticResources,
    ClusterManager,
)
from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.core.v3 import (
    ApiConfigSource,
    ApiConfigSourceApiType,
    ApiVersion,
    BackoffStrategy,
    ConfigSource,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    Http2ProtocolOptions,
    KeepaliveSettings,
    Locality,
    Node,
    RetryPolicy,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.overload.v3 import OverloadManager, ResourceMonitor
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections.v3 import (  # noqa: E501 - Envoy's name
    DownstreamConnectionsConfig,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.google.protobuf import Any, Struct

from xds_server.mesh.audience import audience_of
from xds_server.mesh.model import Role
from xds_server.translate.cluster import (
    ADS,
    dns_cluster_type,
)
from xds_server.translate.connection import CONNECT_TIMEOUT, HTTP_PROTOCOL_OPTIONS
from xds_server.translate.listener import socket_address
from xds_server.translate.name import is_label, local_assignment_name
from xds_server.translate.stats import build_admin_cluster, build_stats_listener

XDS_CLUSTER: Final = "xds-server"
LOCAL_CLUSTER: Final = "local-service"
"""The cluster that the Envoy itself is one of: by it, it knows the parts of zones."""

_LOCAL_PATIENCE: Final = timedelta(seconds=2)
"""Envoy asks for clusters after its own one, or after this, if nobody knows that."""

DOWNSTREAM_CONNECTION_LIMIT: Final = 50_000
"""How many connections of clients an Envoy accepts; it warns if it has no limit."""

_API_TYPE: Final = {
    "delta": ApiConfigSourceApiType.DELTA_GRPC,
    "sotw": ApiConfigSourceApiType.GRPC,
}
_LAST_PORT: Final = 65_535


def build_bootstrap(
    *,
    node_id: str,
    node_cluster: str,
    role: Role,
    namespace: str | None,
    service: str | None = None,
    labels: Mapping[str, str],
    region: str,
    zone: str,
    node_name: str,
    xds_address: str,
    mode: Literal["delta", "sotw"],
    admin_address: str,
    listen_address: str,
    listen_port: int,
    stats_address: str | None = None,
) -> Bootstrap:
    """Return the bootstrap of one Envoy.

    Args:
        node_id: Unique in the mesh.
        node_cluster: The node's service cluster.
        role: Beside one client, or in front of the servers.
        namespace: Where short Service names are looked up; None leaves it to what
            the server reads from *node_id*.
        service: The Service, in the node's namespace, that the client belongs to; None
            where it belongs to none.
        labels: The labels of the client.
        region: The region of the node, empty where unknown.
        zone: The zone of the node, empty where unknown.
        node_name: The Kubernetes Node that it runs on, empty where unknown.
        xds_address: Where xds-server listens, `host:port` or `[ipv6]:port`.
        mode: The variant of the xDS protocol: delta, or state of the world.
        admin_address: Where the Envoy's own admin listens, `ip:port`; port 0 is any.
        listen_address: The IP address of the outbound listeners.
        listen_port: The port of the outbound HTTP listener.
        stats_address: Where others may read the Envoy's statistics, and nothing else
            of its admin, `ip:port`; None is nowhere.

    Raises:
        ValueError: an argument is not what it should be; the message names it.
    """
    xds = parse_address("xds_address", xds_address)
    admin = parse_address("admin_address", admin_address, lowest_port=0)
    _require_ip_address("admin_address", admin[0])
    _require_ip_address("listen_address", listen_address)
    if not 1 <= listen_port <= _LAST_PORT:
        message = f"listen_port must be 1..{_LAST_PORT} (got {listen_port})"
        raise ValueError(message)
    check_node(node_id, node_cluster)
    metadata: dict[str, object] = {
        "role": role.value,
        "listen_address": listen_address,
        "listen_port": listen_port,
    }
    if namespace is not None:
        metadata["namespace"] = namespace
    if service is not None:
        metadata["service"] = service
    if labels:
        metadata["labels"] = dict(labels)
    if node_name:
        metadata["node_name"] = node_name
    locality = Locality(region=region, zone=zone) if region or zone else None
    resources = BootstrapStaticResources(clusters=[_build_xds_cluster(*xds)])
    manager = ClusterManager(load_stats_config=_build_load_stats_config())
    if service is not None:
        own_namespace = audience_of(metadata, node_id=node_id)[0].namespace
        resources.clusters.append(_build_local_cluster(own_namespace, service))
        manager.local_cluster_name = LOCAL_CLUSTER
    if stats_address is not None:
        stats = parse_address("stats_address", stats_address)
        _require_ip_address("stats_address", stats[0])
        _require_own_port(stats, admin=admin, listen_port=listen_port)
        resources.clusters.append(build_admin_cluster(*admin))
        resources.listeners.append(build_stats_listener(*stats))
    return Bootstrap(
        node=Node(
            id=node_id,
            cluster=node_cluster,
            metadata=Struct.from_dict(metadata),
            locality=locality,
        ),
        admin=Admin(address=socket_address(*admin)),
        dynamic_resources=_build_dynamic_resources(_API_TYPE[mode]),
        static_resources=resources,
        cluster_manager=manager,
        overload_manager=_build_overload_manager(),
    )


def check_node(node_id: str, node_cluster: str) -> None:
    """Do nothing if a node may be called that.

    Raises:
        ValueError: it may not.
    """
    if not node_id or not node_cluster:
        message = "node_id and node_cluster must not be empty: xDS names nodes by them"
        raise ValueError(message)


def parse_address(argument: str, text: str, *, lowest_port: int = 1) -> tuple[str, int]:
    """Return the host, without brackets, and the port of *text*.

    Raises:
        ValueError: it is neither `host:port` nor `[ipv6]:port`; the message begins with
            *argument*.
    """
    host, colon, digits = text.rpartition(":")
    form = f"{argument} must be host:port or [ipv6]:port (got {text!r})"
    if not colon or not digits.isascii() or not digits.isdigit():
        raise ValueError(form)
    port = int(digits)
    if not lowest_port <= port <= _LAST_PORT:
        message = f"{argument} must have a port of {lowest_port}..{_LAST_PORT}"
        message += f" (got {text!r})"
        raise ValueError(message)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        _require_ip_address(argument, host)
    elif not host or ":" in host or any(c.isspace() for c in host):
        raise ValueError(form)
    return host, port


def _require_own_port(
    stats: tuple[str, int], *, admin: tuple[str, int], listen_port: int
) -> None:
    """Refuse a port that is another listener's, on whatever address.

    An Envoy that cannot bind a static listener does not start; one address of
    0.0.0.0 is enough for that.
    """
    if not admin[1]:
        message = "admin_address must have a port of its own, not 0, with stats_address"
        raise ValueError(message)
    for other, port in (("admin_address", admin[1]), ("listen_port", listen_port)):
        if stats[1] == port:
            message = f"stats_address must have another port than {other} (got {port})"
            raise ValueError(message)


def _require_ip_address(argument: str, text: str) -> None:
    if not _is_ip_address(text):
        message = f"{argument} must have an IP address (got {text!r})"
        raise ValueError(message)


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _build_dynamic_resources(
    api_type: ApiConfigSourceApiType,
) -> BootstrapDynamicResources:
    """Return the one stream, on which the node is told once.

    Without `set_node_on_first_message_only` an Envoy of 1.40 sends the 61 kB that it
    knows of itself with every request.
    """
    return BootstrapDynamicResources(
        ads_config=ApiConfigSource(
            api_type=api_type,
            transport_api_version=ApiVersion.V3,
            grpc_services=[_build_server()],
            set_node_on_first_message_only=True,
        ),
        cds_config=ADS,
        lds_config=ADS,
    )


def _build_load_stats_config() -> ApiConfigSource:
    """Return where the Envoy asks whether to report its load (LRS): mostly not."""
    return ApiConfigSource(
        api_type=ApiConfigSourceApiType.GRPC,
        transport_api_version=ApiVersion.V3,
        grpc_services=[_build_server()],
    )


def _build_server() -> GrpcService:
    """Return xds-server as a gRPC server.

    A lost stream is opened again after 0.5 s to 10 s, so that many Envoys do not come
    back at the same moment.
    """
    back_off = BackoffStrategy(
        base_interval=timedelta(milliseconds=500), max_interval=timedelta(seconds=10)
    )
    return GrpcService(
        envoy_grpc=GrpcServiceEnvoyGrpc(
            cluster_name=XDS_CLUSTER,
            retry_policy=RetryPolicy(retry_back_off=back_off),
        )
    )


def _build_xds_cluster(host: str, port: int) -> Cluster:
    """Return the cluster of xds-server; a name is resolved by DNS.

    A server that went away without a word is noticed by a ping within 35 s; the
    configuration in force stays in force all the while.
    """
    keepalive = KeepaliveSettings(
        interval=timedelta(seconds=30), timeout=timedelta(seconds=5)
    )
    options = HttpProtocolOptions(
        explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
            http2_protocol_options=Http2ProtocolOptions(connection_keepalive=keepalive)
        )
    )
    server = LbEndpoint(endpoint=Endpoint(address=socket_address(host, port)))
    cluster = Cluster(
        name=XDS_CLUSTER,
        connect_timeout=CONNECT_TIMEOUT,
        load_assignment=ClusterLoadAssignment(
            cluster_name=XDS_CLUSTER,
            endpoints=[LocalityLbEndpoints(lb_endpoints=[server])],
        ),
        typed_extension_protocol_options={HTTP_PROTOCOL_OPTIONS: Any.pack(options)},
    )
    if _is_ip_address(host):
        cluster.type = ClusterDiscoveryType.STATIC
    else:
        cluster.cluster_type = dns_cluster_type()
    return cluster


def _build_local_cluster(namespace: str, service: str) -> Cluster:
    """Return the cluster of the Service that the client belongs to.

    It has to be static, and its endpoints come like all others. No request goes there.

    Raises:
        ValueError: no Service can be called that.
    """
    if not is_label(service):
        message = f"service must be the name of a Service (got {service!r})"
        raise ValueError(message)
    source = ConfigSource(
        ads=ADS.ads,
        resource_api_version=ApiVersion.V3,
        initial_fetch_timeout=_LOCAL_PATIENCE,
    )
    return Cluster(
        name=LOCAL_CLUSTER,
        connect_timeout=CONNECT_TIMEOUT,
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(
            eds_config=source, service_name=local_assignment_name(namespace, service)
        ),
    )


def _build_overload_manager() -> OverloadManager:
    limit = DownstreamConnectionsConfig(
        max_active_downstream_connections=DOWNSTREAM_CONNECTION_LIMIT
    )
    monitor = ResourceMonitor(
        name="envoy.resource_monitors.global_downstream_max_connections",
        typed_config=Any.pack(limit),
    )
    return OverloadManager(resource_monitors=[monitor])
