"""What weight each backend gets, by the rules of a policy."""

from collections.abc import Sequence

import pytest

from tests.mesh.documents import pod
from xds_server.api.document import Document
from xds_server.api.policy import (
    LoadBalancer,
    LoadBalancerType,
    ResourceRequest,
    WeightGroup,
    WeightRule,
    Weights,
)
from xds_server.api.problem import ObjectKey, Severity
from xds_server.api.weights import WEIGHT_ANNOTATION
from xds_server.mesh.backend import Backend
from xds_server.mesh.model import Health
from xds_server.mesh.site import Site
from xds_server.mesh.weight import Weighing, weigh


def backend(name: str, *, health: Health = Health.HEALTHY) -> Backend:
    """Return the backend 10.0.0.N, with the Pod pN behind it."""
    return Backend(
        address=f"10.0.0.{name}",
        port=80,
        health=health,
        site=Site(),
        pod=ObjectKey("Pod", "shop", f"p{name}"),
    )


def weigh_pods(
    weights: Weights | None,
    pods: Sequence[Document],
    names: Sequence[str] = ("1", "2", "3"),
) -> Weighing:
    """Weigh the backends *names* of `Weighted`."""
    found = {each.key: each for each in pods}
    load_balancer = LoadBalancer(
        type=LoadBalancerType.WEIGHTED, weights=weights or Weights()
    )
    return weigh(load_balancer, [backend(name) for name in names], found.get)


def annotated(name: str, value: str) -> Document:
    return pod(name, annotations={WEIGHT_ANNOTATION: value})


@pytest.mark.parametrize(
    "algorithm", [LoadBalancerType.ROUND_ROBIN, LoadBalancerType.RANDOM]
)
def test_algorithms_that_ignore_weights_get_none(algorithm: LoadBalancerType) -> None:
    weighing = weigh(LoadBalancer(type=algorithm), [backend("1")], lambda _: None)

    assert weighing.weights is None


def test_least_request_has_weights_only_where_they_are_written() -> None:
    least = LoadBalancerType.LEAST_REQUEST
    without = LoadBalancer(type=least)
    written = LoadBalancer(type=least, weights=Weights(default=2))

    assert weigh(without, [backend("1")], lambda _: None).weights is None
    assert weigh(written, [backend("1")], lambda _: None).weights == (2,)


def test_weighted_reads_the_annotation_of_the_pods_by_default() -> None:
    weighing = weigh_pods(None, [annotated("p1", "3"), pod("p2")])

    assert weighing == Weighing(weights=(3, 1, 1))


def test_the_first_rule_that_matches_wins() -> None:
    rules = (
        WeightRule(match_labels=(("size", "large"),), weight=5),
        WeightRule(addresses=("10.0.0.2",), weight=4),
        WeightRule(from_label="weight"),
        WeightRule(from_annotation="shop.example/weight"),
    )
    pods = [
        pod("p1", labels={"size": "large", "weight": "9"}),
        pod("p2", labels={"size": "small", "weight": "9"}),
        pod("p3", labels={"weight": "7"}),
        pod("p4", annotations={"shop.example/weight": "6"}),
        pod("p5", labels={"size": "huge"}),
    ]

    weighing = weigh_pods(
        Weights(rules=rules, default=2), pods, ("1", "2", "3", "4", "5", "6")
    )

    assert weighing == Weighing(weights=(5, 4, 7, 6, 2, 2))


def test_a_rule_that_gives_nobody_a_weight_is_idle() -> None:
    """Also one that matches only where an earlier one does."""
    rules = (
        WeightRule(addresses=("10.0.0.1",), weight=4),
        WeightRule(addresses=("10.0.0.1",), weight=5),
        WeightRule(from_label="weight"),
    )

    assert weigh_pods(Weights(rules=rules), [pod("p1")]).idle_rules == (1, 2)
    assert weigh_pods(None, [annotated("p1", "3")]).idle_rules == ()
    assert weigh_pods(None, [pod("p1")]).idle_rules == (0,)


def test_weight_0_for_all_that_are_ready_stops_all() -> None:
    rules = (WeightRule(addresses=("10.0.0.1",), weight=0),)
    weighted = LoadBalancer(
        type=LoadBalancerType.WEIGHTED, weights=Weights(rules=rules)
    )

    def stops_all(*backends: Backend) -> bool:
        return weigh(weighted, backends, lambda _: None).stops_all

    assert stops_all(backend("1"))
    assert stops_all(backend("1"), backend("2", health=Health.DRAINING))
    assert not stops_all(backend("1"), backend("2"))
    assert not stops_all(backend("1", health=Health.DRAINING))


@pytest.mark.parametrize(
    ("written", "address"),
    [("2001:DB8:0::1", "2001:db8::1"), ("backend-1", "backend-1")],
)
def test_addresses_are_compared_in_canonical_form(written: str, address: str) -> None:
    rule = WeightRule(addresses=(written,), weight=4)
    server = backend("1")._replace(address=address, pod=None)
    weighted = LoadBalancer(
        type=LoadBalancerType.WEIGHTED, weights=Weights(rules=(rule,))
    )

    assert weigh(weighted, [server], lambda _: None).weights == (4,)


@pytest.mark.parametrize(
    "value", ["", "-1", "1.5", "x", "1000001", "\u0661", " 3", "1e3"]
)
def test_a_weight_that_does_not_parse_is_the_default_and_a_warning(value: str) -> None:
    weighing = weigh_pods(Weights(default=4), [annotated("p1", value)], ["1"])

    assert weighing.weights == (4,)
    assert [problem.severity for problem in weighing.problems] == [Severity.WARNING]
    assert "Pod shop/p1 has the default weight 4" in weighing.problems[0].message
    assert weighing.problems[0].path == f"metadata.annotations[{WEIGHT_ANNOTATION}]"


def test_weights_from_nothing_to_a_million_are_read() -> None:
    pods = [annotated("p1", "0"), annotated("p2", "1000000"), annotated("p3", "007")]

    assert weigh_pods(None, pods) == Weighing(weights=(0, 1_000_000, 7))


def test_a_resource_request_is_summed_and_rounded_up() -> None:
    request = ResourceRequest(resource="cpu", divisor="100m")
    weights = Weights(rules=(WeightRule(from_resource_request=request),), default=5)
    pods = [
        pod("p1", requests=["250m", "1"]),
        pod("p2", requests=["1m"]),
        pod("p3", requests=[]),
        pod("p4", requests=["a lot"]),
    ]

    weighing = weigh_pods(weights, pods, ("1", "2", "3", "4"))

    assert weighing.weights == (13, 1, 5, 5)
    assert [problem.path for problem in weighing.problems] == [
        "spec.containers[0].resources.requests.cpu"
    ]


def test_groups_share_whatever_their_size_and_others_drain() -> None:
    weights = Weights(
        groups=(
            WeightGroup(match_labels=(("version", "v2"),), share=10),
            WeightGroup(match_labels=(("version", "v1"),), share=90),
        )
    )
    pods = [
        pod("p1", labels={"version": "v2"}),
        pod("p2", labels={"version": "v1"}),
        pod("p3", labels={"version": "v1"}),
        pod("p4", labels={"version": "v0"}),
    ]

    assert weigh_pods(weights, pods, ("1", "2", "3", "4")).weights == (2, 9, 9, 0)


def test_rules_count_inside_a_group() -> None:
    weights = Weights(
        rules=(WeightRule(from_label="weight"),),
        groups=(WeightGroup(match_labels=(("version", "v1"),), share=1),),
        others=1,
    )
    pods = [
        pod("p1", labels={"version": "v1", "weight": "3"}),
        pod("p2", labels={"version": "v1"}),
    ]

    assert weigh_pods(weights, pods).weights == (3, 1, 4)


def test_a_group_without_healthy_members_is_named() -> None:
    weights = Weights(
        groups=(
            WeightGroup(match_labels=(("version", "v1"),), share=1),
            WeightGroup(match_labels=(("version", "v2"),), share=1),
        )
    )
    pods = [pod("p1", labels={"version": "v1"}), pod("p2", labels={"version": "v2"})]
    found = {each.key: each for each in pods}
    backends = [backend("1", health=Health.DRAINING), backend("2")]
    weighted = LoadBalancer(type=LoadBalancerType.WEIGHTED, weights=weights)

    weighing = weigh(weighted, backends, found.get)

    assert weighing == Weighing(weights=(0, 1), empty_groups=(0,))


def test_a_group_with_a_share_of_0_drains_and_nobody_has_what_it_has_not() -> None:
    weights = Weights(
        groups=(
            WeightGroup(match_labels=(("version", "v1"),), share=0),
            WeightGroup(match_labels=(("version", "v2"),), share=5),
            WeightGroup(match_labels=(("version", "v3"),), share=0),
        )
    )
    pods = [pod("p1", labels={"version": "v1"}), pod("p2", labels={"version": "v2"})]
    weighted = LoadBalancer(type=LoadBalancerType.WEIGHTED, weights=weights)
    found = {each.key: each for each in pods}

    weighing = weigh(weighted, [backend("1"), backend("2")], found.get)

    assert weighing == Weighing(weights=(0, 1))


def test_without_rules_the_annotation_does_not_count_inside_a_group() -> None:
    group = WeightGroup(match_labels=(("version", "v1"),), share=1)
    annotations = {WEIGHT_ANNOTATION: "7"}
    pods = [
        pod("p1", labels={"version": "v1"}, annotations=annotations),
        pod("p2", labels={"version": "v1"}),
    ]

    weighing = weigh_pods(Weights(groups=(group,)), pods, ("1", "2"))

    assert weighing == Weighing(weights=(1, 1))
