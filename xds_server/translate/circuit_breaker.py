"""Build `envoy.config.cluster.v3.CircuitBreakers`: how much an Envoy sends at once.

A section in, a part of a cluster out: one entry for all traffic, since Envoy takes the
first of several, and one for each endpoint, which knows connections alone.
"""

from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    CircuitBreakersThresholdsRetryBudget,
)
from envoy_data_plane.envoy.config.core.v3 import RoutingPriority
from envoy_data_plane.envoy.type.v3 import Percent

from xds_server.api.policy import CircuitBreaker
from xds_server.translate.limit import check_circuit_breakers

_PRIORITY: Final = RoutingPriority.DEFAULT


def build_circuit_breakers(section: CircuitBreaker | None) -> CircuitBreakers | None:
    """Return what *section* says; None where there is none.

    Raises:
        ValueError: it must not be sent to an Envoy.
    """
    if section is None:
        return None
    threshold = CircuitBreakersThresholds(
        priority=_PRIORITY,
        max_connections=section.max_connections,
        max_pending_requests=section.max_pending_requests,
        max_requests=section.max_requests,
    )
    if section.retry_budget is None:
        threshold.max_retries = section.max_retries
    else:
        threshold.retry_budget = CircuitBreakersThresholdsRetryBudget(
            budget_percent=Percent(value=section.retry_budget.percent),
            min_retry_concurrency=section.retry_budget.min_retry_concurrency,
        )
    message = CircuitBreakers(thresholds=[threshold])
    if section.per_endpoint is not None:
        each = CircuitBreakersThresholds(
            priority=_PRIORITY, max_connections=section.per_endpoint.max_connections
        )
        message.per_host_thresholds = [each]
    check_circuit_breakers(message)
    return message
