"""The HTTP filters that routes turn on: which there are, and what is said to each.

Sections in; all that a virtual host says to filters out. The filters are in every HTTP
listener, and off: so policies come and go without a connection that is closed.
"""

from functools import lru_cache
from typing import Final

from envoy_data_plane.envoy.config.route.v3 import VirtualHost
from envoy_data_plane.google.protobuf import Any

from xds_server.mesh.model import Sections
from xds_server.translate.adaptive_concurrency import (
    ADAPTIVE_CONCURRENCY,
    ADAPTIVE_CONCURRENCY_FILTER,
    build_adaptive_concurrency,
)
from xds_server.translate.rate_limit import (
    RATE_LIMIT,
    RATE_LIMIT_FILTER,
    build_rate_limit,
)
from xds_server.translate.session import SESSION, SESSION_FILTER, build_session

ROUTE_FILTERS: Final = (
    RATE_LIMIT_FILTER,
    ADAPTIVE_CONCURRENCY_FILTER,
    SESSION_FILTER,
)
"""In this order: what is refused does not count in the next, and has no session."""


@lru_cache(maxsize=65_536)
def encode_route_filters(sections: Sections, cluster: str) -> bytes:
    """Return a fragment of the VirtualHost of *cluster*: what *sections* turn on.

    Raises:
        LimitError: Envoy would refuse all routes, or not do what is written.
    """
    return bytes(VirtualHost(typed_per_filter_config=_told(sections, cluster)))


def _told(sections: Sections, cluster: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if sections.rate_limit is not None:
        told[RATE_LIMIT] = Any.pack(build_rate_limit(sections.rate_limit, cluster))
    if sections.adaptive_concurrency is not None:
        adaptive = build_adaptive_concurrency(sections.adaptive_concurrency)
        told[ADAPTIVE_CONCURRENCY] = Any.pack(adaptive)
    if sections.session is not None:
        told[SESSION] = Any.pack(build_session(sections.session))
    return told
