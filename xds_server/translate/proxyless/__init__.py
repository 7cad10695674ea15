"""What gRPC clients are told: they are their own proxies ("proxyless").

As in the room around it, mesh values in, encoded resources out. A gRPC client names
what it wants: a listener called like the target of its channel, then the routes,
cluster and assignment that this leads to.
"""

from xds_server.translate.proxyless.cluster import build_cluster
from xds_server.translate.proxyless.endpoint import build_load_assignment
from xds_server.translate.proxyless.listener import (
    build_listeners,
    build_unknown_listener,
)
from xds_server.translate.proxyless.route import build_route_configuration
from xds_server.translate.proxyless.target import keys_of, service_of

__all__ = [
    "build_cluster",
    "build_listeners",
    "build_load_assignment",
    "build_route_configuration",
    "build_unknown_listener",
    "keys_of",
    "service_of",
]
