"""Sections of policies count each by itself, whole."""

import pytest

from tests.mesh.documents import HTTP, TCP, policy, service, slice_of
from tests.mesh.test_attachment import (
    ADMIN,
    LEAST,
    RANDOM,
    accepted,
    condition,
    errors,
    in_force,
    index_of,
    key,
)
from xds_server.api.kubernetes import ServicePort
from xds_server.api.policy import (
    GrpcCheck,
    HealthCheck,
    HealthCheckType,
    HttpCheck,
    LoadBalancerType,
    TcpCheck,
)
from xds_server.mesh.index import Index
from xds_server.mesh.model import Origin, Section
from xds_server.mesh.proxyless import UNCHECKED, tell
from xds_server.mesh.status import ConditionType, Reason

SLICE = slice_of(["10.0.0.1"])
CONNECT = HealthCheck(type=HealthCheckType.TCP, tcp=TcpCheck())
REQUEST = HealthCheck(type=HealthCheckType.HTTP, http=HttpCheck(path="/"))
GRPC = HealthCheck(type=HealthCheckType.GRPC, grpc=GrpcCheck())
RPC = ServicePort(port=50051, name="grpc")


def checked(index: Index, name: str = "web") -> dict[int, HealthCheckType | None]:
    """Return what checks the endpoints of each port."""
    return {
        each.port.number: check.type if (check := each.sections.health_check) else None
        for each in index.services["shop", name].upstreams
    }


def test_a_policy_may_have_a_health_check_alone() -> None:
    index = index_of(service(), SLICE, policy("p", health_check=CONNECT))

    assert checked(index) == {80: HealthCheckType.TCP}
    assert in_force(index) == {80: LoadBalancerType.ROUND_ROBIN}
    assert accepted(index, "p").status
    assert index.problems == ()


def test_a_policy_for_a_port_lets_the_sections_in_that_it_does_not_have() -> None:
    """They are those of its Service's policy, and whole."""
    index = index_of(
        service(ports=[HTTP, ADMIN]),
        SLICE,
        policy("broad", RANDOM, health_check=REQUEST),
        policy("exact", health_check=CONNECT, targets=["web:http"]),
    )
    web, _ = index.services["shop", "web"].upstreams
    overridden = condition(index.statuses[key("broad")], ConditionType.OVERRIDDEN)

    assert in_force(index) == dict.fromkeys((80, 90), LoadBalancerType.RANDOM)
    assert checked(index) == {80: HealthCheckType.TCP, 90: HealthCheckType.HTTP}
    assert web.origins == (
        Origin(Section.LOAD_BALANCER, key("broad")),
        Origin(Section.HEALTH_CHECK, key("exact")),
    )
    assert web.policies == (key("broad"), key("exact"))
    assert overridden is not None
    assert overridden.message == "TrafficPolicy shop/exact (healthCheck)"
    assert accepted(index, "broad").status
    assert errors(index) == []


def test_policies_of_a_level_with_different_sections_do_not_conflict() -> None:
    index = index_of(
        service(), SLICE, policy("a", RANDOM), policy("b", health_check=CONNECT)
    )

    assert in_force(index) == {80: LoadBalancerType.RANDOM}
    assert checked(index) == {80: HealthCheckType.TCP}
    assert errors(index) == []
    assert accepted(index, "a").status
    assert accepted(index, "b").status


def test_a_conflict_is_about_a_section_and_leaves_the_others_in_force() -> None:
    index = index_of(
        service(),
        SLICE,
        policy("a", RANDOM),
        policy("b", LEAST, health_check=CONNECT),
        policy("c", health_check=REQUEST),
    )

    assert in_force(index) == {80: LoadBalancerType.RANDOM}
    assert checked(index) == {80: HealthCheckType.TCP}
    assert errors(index) == [
        (
            f"policy.yaml:1:3: spec.{section}: Service shop/web has the {section} of "
            f"TrafficPolicy shop/{winner} at policy.yaml:1:3, which is in force\n"
            "  hint: join the two policies, or name a port by sectionName"
        )
        for section, winner in (("healthCheck", "b"), ("loadBalancer", "a"))
    ]
    conflicts = [
        condition(index.statuses[key(name)], ConditionType.CONFLICTED) for name in "bc"
    ]
    assert [each and each.message for each in conflicts] == [
        "TrafficPolicy shop/a (loadBalancer)",
        "TrafficPolicy shop/b (healthCheck)",
    ]
    assert accepted(index, "b").reason is Reason.CONFLICTED


@pytest.mark.parametrize(
    ("port", "check", "fits"),
    [
        (HTTP, REQUEST, True),
        (HTTP, CONNECT, True),
        (HTTP, GRPC, False),
        (RPC, GRPC, True),
        (RPC, REQUEST, True),
        (TCP, CONNECT, True),
        (TCP, GRPC, False),
        (TCP, REQUEST, False),
        (TCP, REQUEST.model_copy(update={"port": 8008}), True),
        (TCP, GRPC.model_copy(update={"port": 8008}), False),
    ],
)
@pytest.mark.parametrize("target", ["web", "web:{}"])
def test_a_check_fits_what_the_port_speaks(
    port: ServicePort, check: HealthCheck, target: str, *, fits: bool
) -> None:
    """Envoy refuses a cluster with a gRPC check that is not HTTP/2, wherever it is."""
    index = index_of(
        service(ports=[port]),
        SLICE,
        policy("p", health_check=check, targets=[target.format(port.name)]),
    )

    assert checked(index) == {port.port: check.type if fits else None}
    assert accepted(index, "p").status is fits
    if not fits:
        assert accepted(index, "p").reason is Reason.INVALID
        assert [each.split(": ")[1] for each in errors(index)] == [
            "spec.healthCheck.type"
        ]


def test_a_check_that_fits_some_ports_leaves_out_the_others() -> None:
    """It is a warning: the policy means all ports that can be checked so."""
    index = index_of(
        service(ports=[HTTP, TCP]), SLICE, policy("p", health_check=REQUEST)
    )
    warned = condition(index.statuses[key("p")], ConditionType.WARNINGS)

    assert checked(index) == {80: HealthCheckType.HTTP, 5432: None}
    assert accepted(index, "p").status
    assert warned is not None
    assert "port postgres is TCP and answers no HTTP" in warned.message


def test_what_does_not_fit_a_port_leaves_the_section_to_the_next_policy() -> None:
    index = index_of(
        service(ports=[HTTP]),
        SLICE,
        policy("broad", health_check=CONNECT),
        policy("exact", health_check=GRPC, targets=["web:http"]),
    )

    assert checked(index) == {80: HealthCheckType.TCP}
    assert accepted(index, "broad").status
    assert accepted(index, "exact").reason is Reason.INVALID


def test_whoever_gave_the_check_is_told_that_grpc_clients_make_none() -> None:
    """And whoever gave the algorithm what they do of that."""
    index = index_of(
        service(), SLICE, policy("a", RANDOM), policy("b", health_check=CONNECT)
    )
    told = {
        name: condition(
            tell(index.statuses[key(name)], index.services), ConditionType.WARNINGS
        )
        for name in "ab"
    }

    assert told["b"] is not None
    assert told["b"].message == f"gRPC clients: {UNCHECKED}"
    assert told["a"] is not None
    assert UNCHECKED not in told["a"].message


def test_an_annotation_picks_the_algorithm_alone() -> None:
    index = index_of(
        service(annotations={"traffic.xds-server.dev/load-balancer": "Random"}),
        SLICE,
        policy("p", health_check=CONNECT),
    )
    (web,) = index.services["shop", "web"].upstreams

    assert in_force(index) == {80: LoadBalancerType.RANDOM}
    assert checked(index) == {80: HealthCheckType.TCP}
    assert [origin.key.kind for origin in web.origins] == ["Service", "TrafficPolicy"]
