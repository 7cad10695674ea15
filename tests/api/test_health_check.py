"""What a `healthCheck` says, and what is said of one that is wrong."""

from datetime import timedelta

import pytest

from tests.api.policies import HEAD
from xds_server.api.decode import decode
from xds_server.api.policy import (
    GrpcCheck,
    HealthCheck,
    HealthCheckType,
    HttpCheck,
    TcpCheck,
    TrafficPolicy,
    status_range,
)
from xds_server.api.problem import Severity


def health_check(written: str) -> HealthCheck:
    """Decode a policy with this `healthCheck` alone, which must be valid."""
    decoded = decode(f"{HEAD}  healthCheck: {written}\n".encode(), source="x.yaml")
    assert not [one for one in decoded.problems if one.severity is not Severity.NOTICE]
    (document,) = decoded.documents
    assert isinstance(document.body, TrafficPolicy)
    assert document.body.spec.health_check is not None
    return document.body.spec.health_check


def test_what_is_left_out_has_its_defaults() -> None:
    assert health_check("{type: TCP}") == HealthCheck(
        type=HealthCheckType.TCP,
        interval=timedelta(seconds=10),
        timeout=timedelta(seconds=1),
        unhealthy_threshold=3,
        healthy_threshold=2,
        jitter_percent=10,
        no_traffic_interval=timedelta(seconds=10),
        tcp=TcpCheck(),
    )


def test_a_type_brings_its_block_along_and_no_other() -> None:
    http = health_check("{type: http, http: {path: /healthz}}")
    grpc = health_check("{type: grpc}")

    assert (http.http, http.grpc, http.tcp) == (HttpCheck(path="/healthz"), None, None)
    assert (grpc.http, grpc.grpc, grpc.tcp) == (None, GrpcCheck(), None)


@pytest.mark.parametrize(
    ("written", "expected"), [("10s", 1000), ("1s", 1000), ("300ms", 300)]
)
def test_a_timeout_that_is_left_out_is_not_above_the_interval(
    written: str, expected: int
) -> None:
    found = health_check(f"{{type: TCP, interval: {written}}}").timeout

    assert found == timedelta(milliseconds=expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("200", (200, 200)), ("200-299", (200, 299)), ("299-200", None), ("OK", None)],
)
def test_a_range_of_statuses_has_both_its_ends(
    written: str, expected: tuple[int, int] | None
) -> None:
    assert status_range(written) == expected


def test_hexadecimal_digits_are_lower_cased() -> None:
    """So that equal checks are equal."""
    (block,) = {
        health_check(f"{{type: TCP, tcp: {{send: {x}}}}}").tcp for x in ("aB", "Ab")
    }

    assert block == TcpCheck(send="ab")


def test_a_policy_without_any_section_is_told_so() -> None:
    (problem,) = decode(HEAD.encode(), source="x.yaml").problems

    assert problem.severity is Severity.WARNING
    assert problem.message.startswith(
        "sets nothing: has none of loadBalancer, locality, h"
    )
