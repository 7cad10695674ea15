"""Build what adapts the number of requests at once: a filter in a filter.

A section in; what a virtual host says to a filter of all listeners out. Envoy knows
`AdaptiveConcurrency` as a filter of a listener alone, of which all Services would share
the limit. So there is a `Composite` in its place, which routes give the filter to be:
each virtual host has its own, for as long as these routes are there.
"""

from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
from envoy_data_plane.envoy.extensions.common.matching.v3 import (
    ExtensionWithMatcher,
    ExtensionWithMatcherPerRoute,
)
from envoy_data_plane.envoy.extensions.filters.http.adaptive_concurrency.v3 import (
    AdaptiveConcurrency as EnvoyAdaptiveConcurrency,
    GradientControllerConfig,
    GradientControllerConfigConcurrencyLimitCalculationParams,
    GradientControllerConfigMinimumRttCalculationParams,
)
from envoy_data_plane.envoy.extensions.filters.http.composite.v3 import (
    Composite,
    ExecuteFilterAction,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E501 - Envoy's name
    HttpFilter,
)
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any
from envoy_data_plane.xds.core.v3 import TypedExtensionConfig as MatcherExtension
from envoy_data_plane.xds.type.matcher.v3 import Matcher, MatcherOnMatch

from xds_server.api.policy import AdaptiveConcurrency, MinRTT
from xds_server.translate.check import is_finite, require

ADAPTIVE_CONCURRENCY: Final = "envoy.filters.http.composite"

_COMPOSITE: Final = ExtensionWithMatcher(
    extension_config=TypedExtensionConfig(
        name="composite", typed_config=Any.pack(Composite())
    )
)

ADAPTIVE_CONCURRENCY_FILTER: Final = HttpFilter(
    name=ADAPTIVE_CONCURRENCY, typed_config=Any.pack(_COMPOSITE), disabled=True
)

_MILLISECOND: Final = timedelta(milliseconds=1)


def build_adaptive_concurrency(
    section: AdaptiveConcurrency,
) -> ExtensionWithMatcherPerRoute:
    """Return which filter the composite one is.

    Raises:
        LimitError: Envoy would refuse all routes, or not do what is written.
    """
    _check(section)
    controller = GradientControllerConfig(
        sample_aggregate_percentile=Percent(value=section.sample_percentile),
        concurrency_limit_params=(
            GradientControllerConfigConcurrencyLimitCalculationParams(
                max_concurrency_limit=section.max_concurrency,
                concurrency_update_interval=section.update_interval,
            )
        ),
        min_rtt_calc_params=_min_rtt(section.min_rtt, section.min_concurrency),
    )
    message = EnvoyAdaptiveConcurrency(gradient_controller_config=controller)
    filter_ = TypedExtensionConfig(
        name="envoy.filters.http.adaptive_concurrency", typed_config=Any.pack(message)
    )
    action = MatcherExtension(
        name="composite-action",
        typed_config=Any.pack(ExecuteFilterAction(typed_config=filter_)),
    )
    return ExtensionWithMatcherPerRoute(
        xds_matcher=Matcher(on_no_match=MatcherOnMatch(action=action))
    )


def _min_rtt(
    block: MinRTT, min_concurrency: int
) -> GradientControllerConfigMinimumRttCalculationParams:
    message = GradientControllerConfigMinimumRttCalculationParams(
        min_concurrency=min_concurrency, buffer=Percent(value=block.buffer_percent)
    )
    if block.fixed_value is not None:
        message.fixed_value = block.fixed_value
    else:
        message.interval = block.interval
        message.request_count = block.request_count
        message.jitter = Percent(value=block.jitter_percent)
    return message


def _check(section: AdaptiveConcurrency) -> None:
    """Check what Envoy refuses, and what it passes over: the lower of two bounds."""
    least, most = section.min_concurrency, section.max_concurrency
    require(1 <= least <= most, "min_concurrency > max_concurrency_limit, or 0")
    require(section.update_interval >= _MILLISECOND, "concurrency_update_interval")
    block = section.min_rtt
    times = (block.interval, block.fixed_value or block.interval)
    require(min(times) >= _MILLISECOND, "a minRTT or its interval below 1 ms")
    require(block.request_count >= 1, "a minRTT of no requests")
    percents = (section.sample_percentile, block.jitter_percent, block.buffer_percent)
    require(
        all(is_finite(each, low=0, high=100) for each in percents),
        "a percentage not in 0..100",
    )
