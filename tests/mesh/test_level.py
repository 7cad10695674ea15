"""A policy is for a port, a Service, a Namespace or the mesh: the nearest wins."""

import pytest

from tests.mesh.documents import HTTP, TCP, policy, service, slice_of
from tests.mesh.test_attachment import (
    ADMIN,
    BY_HEADER,
    LEAST,
    RANDOM,
    accepted,
    condition,
    errors,
    in_force,
    index_of,
    key,
)
from xds_server.api.document import Document
from xds_server.api.kubernetes_rule import LOAD_BALANCER
from xds_server.api.policy import (
    HealthCheck,
    HealthCheckType,
    HttpCheck,
    LoadBalancer,
    LoadBalancerType,
    TcpCheck,
    WeightRule,
    Weights,
)
from xds_server.api.problem import ObjectKey
from xds_server.mesh.event import Applied, Deleted
from xds_server.mesh.index import Index
from xds_server.mesh.status import ConditionType, Reason

SLICE = slice_of(["10.0.0.1"])
REQUEST = HealthCheck(type=HealthCheckType.HTTP, http=HttpCheck(path="/"))
CONNECT = HealthCheck(type=HealthCheckType.TCP, tcp=TcpCheck())
ROOT = ObjectKey("TrafficPolicy", "xds-system", "root")
RING = LoadBalancerType.RING_HASH
TYPES = LoadBalancerType


def root(
    load_balancer: LoadBalancer | None = None,
    *,
    name: str = "root",
    health_check: HealthCheck | None = None,
) -> Document:
    """Return a policy for the whole mesh."""
    if health_check is None:
        return policy(name, load_balancer, targets=["*"], namespace="xds-system")
    return policy(
        name,
        load_balancer,
        targets=["*"],
        namespace="xds-system",
        health_check=health_check,
    )


def test_a_policy_for_a_namespace_is_in_force_at_all_its_services_and_no_other() -> (
    None
):
    index = index_of(
        service("web"),
        service("api"),
        service("web", namespace="bank"),
        policy("p", RANDOM, targets=["*"]),
    )

    assert in_force(index, "web") == in_force(index, "api") == {80: TYPES.RANDOM}
    (elsewhere,) = index.services["bank", "web"].upstreams
    assert elsewhere.load_balancer.type is TYPES.ROUND_ROBIN
    assert accepted(index, "p").status
    assert index.problems == ()


def test_a_policy_of_the_root_namespace_is_in_force_in_the_whole_mesh() -> None:
    index = index_of(
        service("web"),
        service("api", namespace="bank"),
        service("dns", namespace="xds-system"),
        root(RANDOM),
    )

    found = [u for s in index.services.values() for u in s.upstreams]
    assert [u.load_balancer.type for u in found] == [TYPES.RANDOM] * 3
    assert {u.policies for u in found} == {(ROOT,)}


def test_another_namespace_can_be_the_root() -> None:
    index = Index(root_namespace="shop")
    documents = [service("api", namespace="bank"), policy("p", RANDOM, targets=["*"])]
    index.apply([Applied(document=each) for each in [*documents, root(LEAST)]])

    (found,) = index.services["bank", "api"].upstreams
    assert found.load_balancer.type is TYPES.RANDOM


@pytest.mark.parametrize(
    ("taken_away", "expected"),
    [
        ((), {80: TYPES.RANDOM, 90: TYPES.LEAST_REQUEST}),
        (("port",), {80: TYPES.LEAST_REQUEST, 90: TYPES.LEAST_REQUEST}),
        (("port", "whole"), {80: RING, 90: RING}),
        (("port", "whole", "space"), {80: TYPES.IP_HASH, 90: TYPES.IP_HASH}),
        (("whole", "space"), {80: TYPES.RANDOM, 90: TYPES.IP_HASH}),
    ],
)
def test_the_nearest_level_wins(
    taken_away: tuple[str, ...], expected: dict[int, LoadBalancerType]
) -> None:
    """Whatever the order of names, and again when the nearer ones are gone."""
    index = index_of(
        service(ports=[HTTP, ADMIN]),
        SLICE,
        root(LoadBalancer(type=TYPES.IP_HASH), name="a"),
        policy("space", BY_HEADER, targets=["*"]),
        policy("whole", LEAST, targets=["web"]),
        policy("port", RANDOM, targets=["web:http"]),
    )
    index.apply([Deleted(key=key(name)) for name in taken_away])

    assert in_force(index) == expected
    assert errors(index) == []


def test_each_section_comes_from_the_nearest_policy_that_has_it() -> None:
    index = index_of(
        service(),
        SLICE,
        root(BY_HEADER, health_check=REQUEST),
        policy("space", LEAST, targets=["*"]),
        policy("own", health_check=CONNECT),
    )
    (web,) = index.services["shop", "web"].upstreams

    assert web.load_balancer.type is TYPES.LEAST_REQUEST
    assert web.sections.health_check == CONNECT
    assert web.policies == (key("space"), key("own"))
    overridden = condition(index.statuses[ROOT], ConditionType.OVERRIDDEN)
    assert overridden is not None
    assert overridden.message == (
        "TrafficPolicy shop/space (loadBalancer); TrafficPolicy shop/own (healthCheck)"
    )
    assert accepted(index, "space").status
    assert errors(index) == []


def test_the_word_of_a_service_itself_beats_policies_that_do_not_name_it() -> None:
    annotated = service(annotations={LOAD_BALANCER: "RANDOM"})
    index = index_of(annotated, policy("space", LEAST, targets=["*"]), root(BY_HEADER))

    assert in_force(index) == {80: TYPES.RANDOM}
    assert accepted(index, "space").status
    index.apply([Applied(document=policy("own", LEAST))])
    assert in_force(index) == {80: TYPES.LEAST_REQUEST}


def test_two_policies_for_one_namespace_conflict_once_for_all_services() -> None:
    services = [service(f"s{number}") for number in range(20)]
    index = index_of(
        *services,
        policy("a", RANDOM, targets=["*"]),
        policy("b", LEAST, targets=["*"]),
    )

    assert errors(index) == [
        (
            "policy.yaml:1:3: spec.loadBalancer: Namespace shop has the loadBalancer "
            "of TrafficPolicy shop/a at policy.yaml:1:3, which is in force\n"
            "  hint: join the two policies"
        )
    ]
    assert accepted(index, "b").reason is Reason.CONFLICTED
    assert accepted(index, "a").status


def test_many_services_are_told_of_in_few_words() -> None:
    services = [service(f"s{number}") for number in range(20)]
    own = [policy(f"q{n}", LEAST, targets=[f"s{n}"]) for n in range(20)]
    index = index_of(*services, *own, policy("p", RANDOM, targets=["*"]))

    overridden = condition(index.statuses[key("p")], ConditionType.OVERRIDDEN)
    assert overridden is not None
    assert overridden.message.startswith("TrafficPolicy shop/q0 (loadBalancer); ")
    assert overridden.message.endswith("; and 12 more")
    assert accepted(index, "p").status


def test_services_that_cannot_have_a_section_do_without_it_in_silence() -> None:
    """A policy for all of them is for whatever there is."""
    index = index_of(
        service("pg", ports=[TCP]),
        service("web"),
        policy("p", BY_HEADER, targets=["*"], health_check=REQUEST),
    )
    (pg,) = index.services["shop", "pg"].upstreams
    (web,) = index.services["shop", "web"].upstreams

    assert pg.sections.health_check is None
    assert web.sections.health_check == REQUEST
    assert index.problems == ()
    assert accepted(index, "p").status


def test_where_it_is_wrong_for_a_service_it_is_told_and_the_others_have_it() -> None:
    many = slice_of([f"10.0.{n // 250}.{n % 250 + 1}" for n in range(4295)])
    rules = tuple(
        WeightRule(
            addresses=tuple(f"10.0.{k}.{n + 1}" for n in range(250)), weight=10**6
        )
        for k in range(18)
    )
    all_heavy = LoadBalancer(type=TYPES.WEIGHTED, weights=Weights(rules=rules))
    index = index_of(
        service(),
        service("api"),
        many,
        policy("p", all_heavy, targets=["*"]),
        root(RANDOM),
    )

    assert in_force(index, "api") == {80: TYPES.WEIGHTED}
    assert in_force(index, "web") == {80: TYPES.RANDOM}
    assert accepted(index, "p").status
    warnings = condition(index.statuses[key("p")], ConditionType.WARNINGS)
    assert warnings is not None
    assert warnings.message.startswith("Service shop/web does without: the weights of")


def test_a_namespace_without_services_is_no_fault() -> None:
    index = index_of(policy("p", RANDOM, targets=["*"]))

    assert accepted(index, "p").status
    assert index.problems == ()


def test_a_policy_may_name_a_service_and_the_namespace() -> None:
    """It does not lose against itself."""
    index = index_of(
        service("web"), service("api"), policy("p", RANDOM, targets=["web", "*"])
    )

    assert in_force(index, "web") == in_force(index, "api") == {80: TYPES.RANDOM}
    assert [len(each.conditions) for each in index.statuses[key("p")].targets] == [3, 2]


def test_what_an_event_touches() -> None:
    """All Services of the namespace, or of the mesh, and those alone."""
    index = index_of(service("web"), service("api"), service("x", namespace="bank"))

    in_namespace = index.apply([Applied(document=policy("p", RANDOM, targets=["*"]))])
    in_mesh = index.apply([Applied(document=root(LEAST))])
    gone = index.apply([Deleted(key=key("p"))])
    of_one = index.apply([Applied(document=slice_of(["10.0.0.1"]))])

    assert in_namespace.services == {("shop", "web"), ("shop", "api")}
    assert in_mesh.services == {("bank", "x")}
    assert gone.services == {("shop", "web"), ("shop", "api")}
    assert of_one.services == {("shop", "web")}
    assert of_one.statuses == frozenset()
