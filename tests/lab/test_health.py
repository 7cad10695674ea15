"""What the lab makes of health checks."""

import json

import pytest

from tests.translate.mesh_input import Spec, health_check
from xds_server.api.manifest import Value
from xds_server.lab.health import (
    failing_status,
    is_measurable,
    passing_status,
    soften,
)

HTTP: Spec = {"type": "HTTP", "http": {"path": "/"}}


def policy_with(check: Spec) -> Value:
    """Return a policy as YAML has it, of plain values of its own."""
    value: Value = json.loads(json.dumps({"spec": {"healthCheck": check}}))
    return value


def expecting(*statuses: str) -> Spec:
    return {"type": "HTTP", "http": {"path": "/", "expectedStatuses": statuses}}


@pytest.mark.parametrize(
    ("statuses", "passing", "failing"),
    [
        (["200"], 200, 599),
        (["404", "300-399"], 300, 599),
        (["500-599"], 500, 499),
        (["100-599"], 200, None),
        (["100"], None, 599),
    ],
)
def test_a_backend_passes_and_fails_by_a_status(
    statuses: list[str], passing: int | None, failing: int | None
) -> None:
    check = health_check(expecting(*statuses))

    assert (passing_status(check), failing_status(check)) == (passing, failing)
    assert is_measurable(check) is (None not in (passing, failing))


@pytest.mark.parametrize(
    "spec", [{"type": "TCP"}, {"type": "GRPC"}, {**HTTP, "port": 81}]
)
def test_what_the_backends_do_not_understand_is_left_out(spec: Spec) -> None:
    policy = policy_with(spec)
    soften(policy)

    assert not is_measurable(health_check(spec))
    assert policy == {"spec": {}}


def test_endpoints_are_asked_often_and_over_http1() -> None:
    written = {
        "type": "http",
        "interval": "10s",
        "timeout": "5s",
        "healthyThreshold": 5,
        "http": {"path": "/", "codec": "HTTP2"},
    }
    policy = policy_with(written)
    soften(policy)

    assert policy == policy_with(
        {
            "type": "http",
            "interval": "1s",
            "noTrafficInterval": "1s",
            "healthyThreshold": 5,
            "http": {"path": "/"},
        }
    )


def test_intervals_that_are_short_stay() -> None:
    written = {**HTTP, "interval": "200ms", "noTrafficInterval": "300ms"}
    policy = policy_with(written)
    soften(policy)

    assert policy == policy_with(written)


@pytest.mark.parametrize("policy", [None, {}, {"spec": {}}, {"spec": []}])
def test_policies_without_a_check_stay_as_they_are(policy: Value) -> None:
    before = repr(policy)
    soften(policy)

    assert repr(policy) == before
