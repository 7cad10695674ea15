"""What load reports say of servers, as a description for a contest."""

from collections.abc import Callable
from math import inf

import pytest
from hypothesis import given, strategies as st

from tests.lab.test_theory import upstream
from xds_server.lab.advice.described import Description
from xds_server.lab.advice.recorded import recorded, response_time, service_time
from xds_server.lab.error import LabError
from xds_server.status_table import Endpoint, Server, Status, WeighedPort

FLAGS = Description(rate=1, service_time=1, workers=1, keys=7)
"""One worker, so a queue is of M/M/1: the time is that of the work / (1 - load)."""


def endpoint(address: str, rate: float, latency: float | None) -> Endpoint:
    return Endpoint(
        address=address,
        weight=1000,
        share=0.5,
        answers_per_second=rate,
        latency_seconds=latency,
        error_ratio=0.125 if address.startswith("10.0.0.2") else 0.0,
        load=None,
        error_factor=1.0,
        evidence_seconds_ago=None,
        reason=None,
    )


def status(*endpoints: Endpoint, age: float | None = 1.0, port: int = 80) -> Status:
    weighed = WeighedPort(
        namespace="shop",
        service="cart",
        port=port,
        reporters=1,
        last_report_seconds_ago=age,
        last_push_seconds_ago=None,
        endpoints=list(endpoints),
    )
    return Status(
        server=Server(ready=True), nodes=[], policies=[], weights=[weighed], problems=[]
    )


SLOW, FAST = (
    endpoint("10.0.0.1:8080", 5, 0.2),  # 100 ms of work at a load of a half
    endpoint("10.0.0.2:8080", 20, 0.05),  # 25 ms
)


def test_reports_make_rate_times_speeds_and_errors() -> None:
    found = recorded(FLAGS, status(FAST, SLOW), upstream(1, 1))

    assert found.rate == 25
    assert found.service_time == pytest.approx(0.1)
    assert found.speeds == (1.0, 4.0)
    assert found.error_percents == (0.0, 12.5)
    assert found.keys == 7


def test_servers_that_are_nearly_alike_are_alike() -> None:
    nearly = [endpoint("10.0.0.1:8080", 5, 0.2), endpoint("10.0.0.2:8080", 5, 0.205)]
    found = recorded(FLAGS, status(*nearly), upstream(1, 1))

    assert found.speeds == (1.0, 1.0)


@pytest.mark.parametrize(
    ("work", "rate", "workers", "expected"),
    [
        (0.1, 5, 1, 0.2),
        (1.0, 1, 2, 4 / 3),  # of two workers: 1 / (1 - (load / 2)^2)
        (1.0, 2, 2, inf),
        (0.5, 0.0, 4, 0.5),
    ],
)
def test_the_response_time_is_that_of_the_theory(
    work: float, rate: float, workers: int, expected: float
) -> None:
    assert response_time(work, rate, workers) == pytest.approx(expected)


@given(st.floats(1e-4, 100), st.floats(0, 0.99), st.integers(1, 50))
def test_work_is_found_from_the_response_time(
    work: float, utilization: float, workers: int
) -> None:
    rate = utilization * workers / work
    latency = response_time(work, rate, workers)

    assert service_time(latency, rate, workers) == pytest.approx(work, rel=1e-6)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (lambda: status(SLOW, FAST, age=None), "no Envoy has reported on shop/cart:80"),
        (lambda: status(SLOW, FAST, age=61), "no Envoy has reported on shop/cart:80"),
        (lambda: status(SLOW, FAST, port=81), "computes no weights for shop/cart:80"),
        (lambda: status(SLOW), "knows no endpoint 10.0.0.2:8080"),
        (
            lambda: status(SLOW, endpoint("10.0.0.2:8080", 0, None)),
            "how long 10.0.0.2:8080 takes",
        ),
    ],
)
def test_what_is_not_known_is_said(found: Callable[[], Status], said: str) -> None:
    with pytest.raises(LabError, match=said):
        recorded(FLAGS, found(), upstream(1, 1))
