"""What gRPC clients get for each load balancer, and what is told of it."""

import pytest

from tests.mesh.documents import TCP, policy, service
from tests.translate.mesh_input import Spec, load_balancer, make_upstream
from tests.translate.policy_input import ACCEPTED
from xds_server.api.policy import LoadBalancerType
from xds_server.mesh.event import Applied
from xds_server.mesh.index import Index
from xds_server.mesh.model import Section
from xds_server.mesh.proxyless import UNHEEDED, _differences, adapt, tell
from xds_server.mesh.status import ConditionType, PolicyStatus, TargetStatus

KNOWN = {"RoundRobin", "Weighted", "LeastRequest", "RingHash", "PerformanceBased"}
USER = {"header": {"name": "x-user"}}


def differences(spec: Spec) -> tuple[str, ...]:
    return adapt(load_balancer(spec)).differences


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=list(ACCEPTED))
def test_the_nearest_is_one_that_grpc_knows(spec: Spec) -> None:
    """It has no weights, slow start or bounds, and only keys that gRPC sees."""
    nearest = adapt(load_balancer(spec)).load_balancer
    ring, weighted = nearest.ring_hash, nearest.weighted

    assert nearest.type in KNOWN
    assert (nearest.weights, nearest.slow_start) == (None, None)
    assert ring is None or (ring.hash_function, ring.bounded_load_percent) == (
        "XXHash",
        None,
    )
    assert (nearest.type == "Weighted") == (weighted is not None)
    assert all(key.header or key.source_ip for key in nearest.hash_on)
    assert (nearest.type == "RingHash") == bool(nearest.hash_on)


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=list(ACCEPTED))
def test_the_nearest_of_the_nearest_is_itself(spec: Spec) -> None:
    nearest = adapt(load_balancer(spec)).load_balancer

    assert adapt(nearest).load_balancer == nearest


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "RoundRobin"},
        {"type": "RingHash", "hashOn": [USER]},
        {
            "type": "PerformanceBased",
            "performanceBased": {"source": "OrcaHeaders"},
        },
    ],
)
def test_what_grpc_does_as_it_is_written_is_not_spoken_of(spec: Spec) -> None:
    assert differences(spec) == ()


def test_they_get_the_weights_that_are_computed_as_their_own() -> None:
    nearest = adapt(load_balancer({"type": "PerformanceBased"}))

    assert nearest.load_balancer.type == "Weighted"
    (difference,) = nearest.differences
    assert difference == (
        "they draw by the weights that others' traffic has led to, however busy an "
        "endpoint is, and theirs is not measured"
    )


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"type": "Random"}, "take turns (RoundRobin) instead of drawing"),
        ({"type": "Weighted"}, "the same in the long run"),
        (
            {"type": "Weighted", "weighted": {"selection": "Random"}},
            "endpoints of equal weight take turns",
        ),
        ({"type": "RoundRobin", "slowStart": {"window": "30s"}}, "no slow start"),
        ({"type": "LeastRequest"}, "those without least_request"),
        (
            {"type": "LeastRequest", "leastRequest": {"choiceCount": 11}},
            "10 endpoints at most",
        ),
        (
            {"type": "LeastRequest", "leastRequest": {"selectionMethod": "FullScan"}},
            "10 endpoints, not all",
        ),
        (
            {"type": "LeastRequest", "weights": {"default": 1}},
            "however busy an endpoint is",
        ),
        (
            {
                "type": "RingHash",
                "ringHash": {"hashFunction": "MurmurHash2"},
                "hashOn": [USER],
            },
            "they hash with XXHash",
        ),
        (
            {
                "type": "RingHash",
                "ringHash": {"boundedLoadPercent": 150},
                "hashOn": [USER],
            },
            "do not bound the load",
        ),
        (
            {
                "type": "RingHash",
                "ringHash": {"minimumRingSize": 4097},
                "hashOn": [USER],
            },
            "4096 entries at most",
        ),
        ({"type": "Maglev", "hashOn": [USER]}, "on a ring"),
        ({"type": "IPHash"}, "in place of the client's address"),
        ({"type": "RingHash", "hashOn": [{"sourceIP": {}}]}, "their channel"),
        (
            {"type": "RingHash", "hashOn": [{"cookie": {"name": "sid"}}]},
            "in place of cookie sid",
        ),
        (
            {"type": "RingHash", "hashOn": [USER, {"queryParameter": {"name": "u"}}]},
            "no query",
        ),
        (
            {"type": "RingHash", "hashOn": [USER, {"header": {"name": ":path"}}]},
            "do not hash the header :path",
        ),
        (
            {"type": "RingHash", "hashOn": [USER, {"header": {"name": "x-bin"}}]},
            "do not hash the header x-bin",
        ),
        (
            {
                "type": "PerformanceBased",
                "performanceBased": {
                    "source": "OrcaHeaders",
                    "metrics": ["mem_utilization"],
                },
            },
            "by application_utilization",
        ),
        (
            {
                "type": "PerformanceBased",
                "performanceBased": {"source": "OrcaOutOfBand", "reportPort": 9090},
            },
            "where endpoints serve",
        ),
    ],
)
def test_every_difference_is_a_sentence(spec: Spec, text: str) -> None:
    assert any(text in difference for difference in differences(spec))


@pytest.mark.parametrize(
    ("weights", "nearest", "instead"),
    [
        ({}, LoadBalancerType.ROUND_ROBIN, "take turns (RoundRobin)"),
        (
            {"weights": {"default": 2}},
            LoadBalancerType.WEIGHTED,
            "draw by weight (Weighted)",
        ),
    ],
)
def test_without_a_key_that_grpc_sees_there_is_no_ring(
    weights: Spec, nearest: LoadBalancerType, instead: str
) -> None:
    """A ring is random then, and less even."""
    keys = [{"queryParameter": {"name": "user"}}]
    adapted = adapt(load_balancer({"type": "Maglev", "hashOn": keys, **weights}))

    assert adapted.load_balancer.type is nearest
    assert adapted.differences == (
        "they have no query to hash",
        f"they do not hash, but {instead}",
    )


def test_keys_keep_their_order_and_their_end() -> None:
    spec = {
        "type": "RingHash",
        "hashOn": [{**USER, "terminal": True}, {"cookie": {"name": "sid"}}],
    }
    header, channel = adapt(load_balancer(spec)).load_balancer.hash_on

    assert (header.header is not None, header.terminal) == (True, True)
    assert (channel.source_ip is not None, channel.terminal) == (True, False)


def test_an_address_that_a_proxy_forwards_stays_a_header() -> None:
    spec = {"type": "IPHash", "ipHash": {"addressFrom": "XForwardedFor"}}
    (key,) = adapt(load_balancer(spec)).load_balancer.hash_on

    assert key.header is not None
    assert key.header.name == "x-forwarded-for"


def status_of(spec: Spec, target: str = "web") -> tuple[Index, PolicyStatus]:
    """Return an index of one policy for *target*, and the policy's status."""
    written = policy(load_balancer=load_balancer(spec), targets=[target])
    index = Index()
    index.apply([Applied(document=service(ports=(TCP,))), Applied(document=written)])
    return index, index.statuses[written.key]


def test_the_difference_is_a_warning_beside_those_that_are_there() -> None:
    index, status = status_of({"type": "IPHash"})
    (before,) = (c for c in status.targets[0].conditions if c.type == "Warnings")
    (after,) = (
        c
        for c in tell(status, index.services).targets[0].conditions
        if c.type == "Warnings"
    )

    assert "gRPC" not in before.message
    assert after.message.startswith(f"{before.message}; gRPC clients: they hash")


@pytest.mark.parametrize("target", ["web", "web:postgres"])
def test_the_difference_is_told_of_each_target(target: str) -> None:
    index, status = status_of({"type": "Weighted"}, target)
    conditions = tell(status, index.services).targets[0].conditions
    (warning,) = (c for c in conditions if c.type is ConditionType.WARNINGS)

    assert "gRPC clients: they draw by weight" in warning.message


def test_what_grpc_does_as_written_changes_no_status() -> None:
    index, status = status_of({"type": "RoundRobin"})

    assert tell(status, index.services) == status


@pytest.mark.parametrize("target", ["gone", "web:gone"])
def test_what_is_not_in_force_is_not_told(target: str) -> None:
    """The policy of a Service or a port that is not there says nothing."""
    index, status = status_of({"type": "Weighted"}, target)

    assert tell(status, index.services) == status


def test_a_policy_that_was_never_accepted_is_not_told() -> None:
    unknown = TargetStatus(target=None, conditions=())
    status = PolicyStatus(key=policy().key, targets=(unknown,))

    assert tell(status, {}) == status


@pytest.mark.parametrize("section", Section)
def test_something_can_be_said_of_every_section(section: Section) -> None:
    """What gRPC clients do of it, or that they do nothing."""
    found = [*_differences(section, make_upstream())]

    assert bool(found) == (section in UNHEEDED)
