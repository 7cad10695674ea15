"""Build what lets others read an Envoy's statistics, and nothing else of its admin.

Where the admin listens and where others may ask in; a static cluster and a static
listener of the bootstrap out. Whoever reaches an admin interface can end the Envoy, set
its log level and read all its configuration
(https://www.envoyproxy.io/docs/envoy/v1.40.0/operations/admin), so it stays on
loopback and this listener passes on two paths of it, as is.
"""

import ipaddress
from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E501 - Envoy's name
    HttpConnectionManager,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from xds_server.translate.connection import CONNECT_TIMEOUT
from xds_server.translate.listener import ROUTER, socket_address

ADMIN_CLUSTER: Final = "envoy-admin"
"""No cluster of a Service is called so: those have slashes in their names."""
STATS_LISTENER: Final = "envoy-stats"
READABLE: Final = ("/stats/prometheus", "/ready")
"""The paths of the admin that others may read, whole; a query may follow."""

_NOT_FOUND: Final = 404
_NOT_FOUND_BODY: Final = f"only GET of {' and '.join(READABLE)} is served here\n"
_TIMEOUT: Final = timedelta(seconds=15)
"""Longer than Prometheus waits unless told to (10 s)."""


def build_admin_cluster(address: str, port: int) -> Cluster:
    """Return the cluster whose one endpoint is the Envoy's own admin at *address*.

    An admin that listens on every address is asked on loopback.
    """
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        address = "127.0.0.1" if ip.version == 4 else "::1"  # noqa: PLR2004 - IPv4
    endpoint = LbEndpoint(endpoint=Endpoint(address=socket_address(address, port)))
    return Cluster(
        name=ADMIN_CLUSTER,
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=CONNECT_TIMEOUT,
        load_assignment=ClusterLoadAssignment(
            cluster_name=ADMIN_CLUSTER,
            endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])],
        ),
    )


def build_stats_listener(address: str, port: int) -> Listener:
    """Return the listener that answers GET of `READABLE`, and everything else by 404.

    Clients that use up the Envoy's connections must not blind those who watch it: this
    listener is outside the global limit.
    """
    routes = [_readable(path) for path in READABLE]
    body = DataSource(inline_string=_NOT_FOUND_BODY)
    rest = DirectResponseAction(status=_NOT_FOUND, body=body)
    routes.append(Route(match=RouteMatch(prefix="/"), direct_response=rest))
    host = VirtualHost(name=STATS_LISTENER, domains=["*"], routes=routes)
    manager = HttpConnectionManager(
        stat_prefix=STATS_LISTENER,
        route_config=RouteConfiguration(name=STATS_LISTENER, virtual_hosts=[host]),
        http_filters=[ROUTER],
        use_remote_address=True,
    )
    filter_ = Filter(
        name="envoy.filters.network.http_connection_manager",
        typed_config=Any.pack(manager),
    )
    return Listener(
        name=STATS_LISTENER,
        address=socket_address(address, port),
        filter_chains=[FilterChain(filters=[filter_])],
        ignore_global_conn_limit=True,
    )


def _readable(path: str) -> Route:
    """Return the route of a GET of exactly *path*: no prefix, no other spelling."""
    method = HeaderMatcher(name=":method", string_match=StringMatcher(exact="GET"))
    return Route(
        match=RouteMatch(path=path, headers=[method]),
        route=RouteAction(cluster=ADMIN_CLUSTER, timeout=_TIMEOUT),
    )
