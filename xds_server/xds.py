"""The vocabulary of xDS that every room shares: type URLs, push order, `Resource`.

Nothing here does anything; it is what rooms call things.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

CLUSTER: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINT: Final = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER: Final = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE: Final = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"

EXTENSION: Final = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
SECRET: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type URL
VIRTUAL_HOST: Final = "type.googleapis.com/envoy.config.route.v3.VirtualHost"

PUSH_ORDER: Final = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
"""Make before break: what is referred to is sent before what refers to it.

Routes are not warmed, so the clusters they name come first (xds_protocol, "Eventual
consistency considerations").
"""

FULL_STATE_TYPES: Final = frozenset({CLUSTER, LISTENER})
"""The types whose clients want everything when they name nothing.

They are also the types of which a state-of-the-world response carries everything. No
other type has that rule, so an Envoy that comes back without interest in any assignment
is not flooded with all of them; `*` itself works for every type.
"""

SHORT_NAMES: Final = {
    CLUSTER: "cluster",
    ENDPOINT: "endpoint",
    LISTENER: "listener",
    ROUTE: "route",
}
"""What people call the types, on the command line, in logs and in metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One encoded resource.

    `body` is the serialised message of `type_url` (the value of the Any, not the Any).
    A client may ask for it by any of its `aliases` too. It expires at clients that
    know of `ttl`, unless they hear from the server. `version` is what clients are told;
    whoever sets it promises that equal versions mean equal content. Else it is a hash
    of the content. `owners` are what it was made of, in words for whoever has to trace
    a rejection; no client is told.
    """

    type_url: str
    name: str
    body: bytes
    aliases: tuple[str, ...] = ()
    ttl: timedelta | None = None
    version: str = ""
    owners: tuple[str, ...] = ()
