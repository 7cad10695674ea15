"""Limits as parts of clusters: what must not be sent; goldens have the rest."""

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    CircuitBreakersThresholdsRetryBudget,
)
from envoy_data_plane.envoy.type.v3 import Percent

from tests.translate.mesh_input import Spec, sections
from xds_server.translate.check import LimitError
from xds_server.translate.circuit_breaker import build_circuit_breakers
from xds_server.translate.limit import check_circuit_breakers


def built(spec: Spec) -> CircuitBreakers:
    read = sections({"circuitBreaker": spec}).circuit_breaker
    message = build_circuit_breakers(read)
    assert message is not None
    return message


def test_a_budget_takes_the_place_of_the_limit_of_retries() -> None:
    """Beside one Envoy ignores the limit, without a word."""
    (plain,) = built({}).thresholds
    (budget,) = built({"retryBudget": {}}).thresholds

    assert (plain.max_retries, plain.retry_budget) == (3, None)
    assert budget.max_retries is None
    assert budget.retry_budget == CircuitBreakersThresholdsRetryBudget(
        budget_percent=Percent(value=20), min_retry_concurrency=3
    )


def limits(**fields: object) -> CircuitBreakers:
    message = built({})
    for name, value in fields.items():
        setattr(message.thresholds[0], name, value)
    return message


def budget(percent: float) -> CircuitBreakers:
    block = CircuitBreakersThresholdsRetryBudget(budget_percent=Percent(value=percent))
    return limits(max_retries=None, retry_budget=block)


ENTRY = CircuitBreakersThresholds(max_connections=1)


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (limits(max_connections=0), "limit of 0"),
        (limits(max_pending_requests=None), "limit of 0, or none"),
        (limits(max_requests=0), "limit of 0"),
        (limits(max_retries=None), "not one of"),
        (limits(retry_budget=CircuitBreakersThresholdsRetryBudget()), "not one of"),
        (budget(0), "not above 0"),
        (budget(101), "budget_percent"),
        (budget(float("nan")), "budget_percent"),
        (CircuitBreakers(thresholds=[ENTRY, ENTRY]), "several"),
        (CircuitBreakers(per_host_thresholds=[ENTRY, ENTRY]), "several"),
        (CircuitBreakers(per_host_thresholds=[CircuitBreakersThresholds()]), "none"),
        (
            CircuitBreakers(
                per_host_thresholds=[
                    CircuitBreakersThresholds(max_connections=1, max_requests=1)
                ]
            ),
            "not of connections",
        ),
    ],
)
def test_what_envoy_would_take_and_not_mean_is_not_sent(
    message: CircuitBreakers, rule: str
) -> None:
    with pytest.raises(LimitError, match=rule):
        check_circuit_breakers(message)
