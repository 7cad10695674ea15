"""Build what limits the rate of requests: a filter of all listeners, as for sessions.

A section in; what a virtual host says to the filter out. The bucket is the virtual
host's: where routes are made anew, for whatever Service, Envoy begins with a full one.
"""

from typing import Final

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    RuntimeFractionalPercent,
)
from envoy_data_plane.envoy.extensions.filters.http.local_ratelimit.v3 import (
    LocalRateLimit,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E501 - Envoy's name
    HttpFilter,
)
from envoy_data_plane.envoy.type.v3 import (
    FractionalPercent,
    FractionalPercentDenominatorType,
    TokenBucket,
)
from envoy_data_plane.google.protobuf import Any

from xds_server.api.policy import RateLimit
from xds_server.api.rate_limit import SHORTEST_FILL
from xds_server.translate.check import require

RATE_LIMIT: Final = "envoy.filters.http.local_ratelimit"
LIMITED_BY: Final = "x-rate-limited-by"
"""The header of an answer that says who limits: the cluster. A server may, too."""

_STATISTICS: Final = "rate_limit"

RATE_LIMIT_FILTER: Final = HttpFilter(
    name=RATE_LIMIT,
    typed_config=Any.pack(LocalRateLimit(stat_prefix=_STATISTICS)),
    disabled=True,
)

_ALWAYS: Final = RuntimeFractionalPercent(
    default_value=FractionalPercent(
        numerator=100, denominator=FractionalPercentDenominatorType.HUNDRED
    )
)


def build_rate_limit(section: RateLimit, cluster: str) -> LocalRateLimit:
    """Return what limits the requests to *cluster*.

    Raises:
        LimitError: Envoy would refuse all routes, or all requests.
    """
    burst = section.requests if section.burst is None else section.burst
    require(section.requests >= 1 and burst >= 1, "a bucket that stays empty")
    require(section.per >= SHORTEST_FILL, "a bucket that is filled in less than 50 ms")
    header = HeaderValueOption(
        header=HeaderValue(key=LIMITED_BY, value=cluster),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    return LocalRateLimit(
        stat_prefix=_STATISTICS,
        token_bucket=TokenBucket(
            max_tokens=burst,
            tokens_per_fill=section.requests,
            fill_interval=section.per,
        ),
        filter_enabled=_ALWAYS,
        filter_enforced=_ALWAYS,
        response_headers_to_add=[header],
        rate_limited_as_resource_exhausted=True,
    )
