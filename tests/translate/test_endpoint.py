"""Endpoints: each address once, grouped, weighed as little as the shares allow."""

from dataclasses import replace
from math import gcd
from random import Random

import pytest
from envoy.config.core.v3 import health_check_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from hypothesis import given, strategies as st

from tests.translate.mesh_input import load_balancer, make_service, make_upstream
from xds_server.mesh.model import Endpoint, Health, Locality
from xds_server.translate.check import TranslateError
from xds_server.translate.endpoint import (
    build_load_assignment,
    build_local_assignment,
)
from xds_server.xds import ENDPOINT, NOWHERE, Place, Resource

LOCALITIES = st.builds(
    Locality, region=st.sampled_from(["", "north"]), zone=st.sampled_from(["", "a"])
)


def endpoints(weights: st.SearchStrategy[int | None]) -> st.SearchStrategy[Endpoint]:
    return st.builds(
        Endpoint,
        address=st.sampled_from([f"10.0.0.{host}" for host in range(1, 9)]),
        port=st.sampled_from([80, 81]),
        health=st.sampled_from(Health),
        weight=weights,
        locality=LOCALITIES,
    )


WEIGHED = st.lists(endpoints(st.integers(min_value=1, max_value=1_000_000)))
UNWEIGHED = st.lists(endpoints(st.none()))


def decode(*of: Endpoint) -> endpoint_pb2.ClusterLoadAssignment:
    body = build_load_assignment(make_upstream(*of)).body
    return endpoint_pb2.ClusterLoadAssignment.FromString(body)


def weights_of(assignment: endpoint_pb2.ClusterLoadAssignment) -> list[int]:
    """Return the weights of the healthy endpoints, in order."""
    return [
        endpoint.load_balancing_weight.value
        for group in assignment.endpoints
        for endpoint in group.lb_endpoints
        if endpoint.health_status == health_check_pb2.HEALTHY
    ]


def at(host: int, weight: int | None = None, zone: str = "") -> Endpoint:
    locality = Locality(zone=zone)
    return Endpoint(address=f"10.0.0.{host}", port=80, weight=weight, locality=locality)


def test_nobody_is_an_empty_assignment() -> None:
    resource = build_load_assignment(make_upstream())
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(resource.body)

    assert (resource.type_url, resource.name) == (ENDPOINT, "shop/web/80")
    assert assignment == endpoint_pb2.ClusterLoadAssignment(cluster_name="shop/web/80")


@given(st.one_of(WEIGHED, UNWEIGHED), st.randoms())
def test_the_order_of_distinct_endpoints_means_nothing(
    some: list[Endpoint], random: Random
) -> None:
    distinct = list({(e.address, e.port): e for e in some}.values())
    shuffled = list(distinct)
    random.shuffle(shuffled)

    assert build_load_assignment(make_upstream(*distinct)) == build_load_assignment(
        make_upstream(*shuffled)
    )


@given(WEIGHED)
def test_each_address_is_there_once_and_in_its_locality(some: list[Endpoint]) -> None:
    expected: dict[tuple[str, int], tuple[str, str]] = {}
    for endpoint in some:
        locality = (endpoint.locality.region, endpoint.locality.zone)
        expected.setdefault((endpoint.address, endpoint.port), locality)
    groups = decode(*some).endpoints
    actual = [
        (
            (address.address, address.port_value),
            (group.locality.region, group.locality.zone),
        )
        for group in groups
        for endpoint in group.lb_endpoints
        for address in [endpoint.endpoint.address.socket_address]
    ]
    localities = [(group.locality.region, group.locality.zone) for group in groups]

    assert sorted(actual) == sorted(expected.items())
    assert localities == sorted(set(expected.values()))


@given(WEIGHED)
def test_weights_keep_their_shares_and_have_no_common_divisor(
    some: list[Endpoint],
) -> None:
    assignment = decode(*some)
    first: dict[tuple[str, int], Endpoint] = {}
    for endpoint in some:
        first.setdefault((endpoint.address, endpoint.port), endpoint)
    order = sorted(
        (e.locality.region, e.locality.zone, e.address, e.port, e.weight or 0)
        for e in first.values()
        if e.health is Health.HEALTHY
    )
    given_weights = [key[-1] for key in order]
    actual = weights_of(assignment)

    assert gcd(*actual) <= 1
    assert [w * sum(actual) for w in given_weights] == [
        w * sum(given_weights) for w in actual
    ]


@given(UNWEIGHED)
def test_without_weights_none_is_sent(some: list[Endpoint]) -> None:
    groups = decode(*some).endpoints

    assert not any(
        endpoint.HasField("load_balancing_weight")
        for group in groups
        for endpoint in group.lb_endpoints
    )


def test_the_weight_of_a_draining_endpoint_spoils_no_division() -> None:
    draining = replace(at(3, weight=1), health=Health.DRAINING)
    assignment = decode(at(1, weight=300), at(2, weight=600), draining)
    statuses = [e.health_status for e in assignment.endpoints[0].lb_endpoints]

    assert weights_of(assignment) == [1, 2]
    assert statuses[2] == health_check_pb2.DRAINING


def test_of_two_equal_addresses_the_first_wins() -> None:
    assignment = decode(at(1, weight=5, zone="b"), at(1, weight=7, zone="a"), at(2, 3))
    zones = [group.locality.zone for group in assignment.endpoints]

    assert zones == ["", "b"]
    assert weights_of(assignment) == [3, 5]


def test_a_policy_says_how_much_a_priority_takes_on() -> None:
    """Left out, Envoy has 140; that of a Service's own is Envoy's."""
    spec = {"type": "Failover", "failover": {"overprovisioningPercent": 200}}
    upstream = make_upstream(at(1), spec={"locality": spec})
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(
        build_load_assignment(upstream).body
    )

    assert assignment.policy.overprovisioning_factor.value == 200
    assert not decode(at(1)).HasField("policy")


def test_what_envoy_would_refuse_is_not_sent() -> None:
    with pytest.raises(TranslateError, match=r"shop/web/80: 'backend\.example'"):
        decode(Endpoint(address="backend.example", port=80))


NORTH = [
    Endpoint(
        address=f"10.0.0.{n}",
        port=80,
        weight=n,
        locality=Locality(region="north", zone=zone),
    )
    for n, zone in enumerate("aab", start=1)
]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (NOWHERE, [("north", "a", 2), ("north", "b", 1)]),
        (Place(region="north", zone="a"), [("north", "a", 2), ("north", "b", 1)]),
        (Place(zone="a"), [("", "a", 2), ("north", "b", 1)]),
        (Place(region="x", zone="b"), [("north", "a", 2), ("x", "b", 1)]),
        (Place(region="x", zone="c"), [("north", "a", 2), ("north", "b", 1)]),
    ],
)
def test_a_zone_is_in_the_region_that_its_client_says(
    place: Place, expected: list[tuple[str, str, int]]
) -> None:
    """For Envoys that say none, or another one; all zones but theirs are as they are.

    Of their own Service, and of one whose traffic stays in zones.
    """
    zones = {"locality": {"type": "ZoneAware"}}
    own = build_local_assignment(
        ("shop", "web"), make_service(make_upstream(), make_upstream(*NORTH))
    )
    for resource in (own, build_load_assignment(make_upstream(*NORTH, spec=zones))):
        found = endpoint_pb2.ClusterLoadAssignment.FromString(resource.at(place).body)

        assert [
            (each.locality.region, each.locality.zone, len(each.lb_endpoints))
            for each in found.endpoints
        ] == expected


def test_an_own_service_is_counted_without_weights() -> None:
    resource = build_local_assignment(
        ("shop", "web"), make_service(make_upstream(*NORTH))
    )
    found = endpoint_pb2.ClusterLoadAssignment.FromString(resource.body)

    assert found.cluster_name == resource.name == "local/shop/web"
    assert set(weights_of(found)) == {0}
    assert build_local_assignment(("shop", "web"), None).forms is None


def weighed(*found: tuple[int, int, int], awaits: bool = False) -> Resource:
    """Return an assignment of endpoints by host, base and computed weight."""
    endpoints = (
        replace(at(host, weight), base_weight=base) for host, base, weight in found
    )
    policy = load_balancer({"type": "PerformanceBased"})
    upstream = make_upstream(*endpoints, policy=policy)
    return build_load_assignment(replace(upstream, awaits_weights=awaits))


def test_assignments_are_kin_where_only_computed_weights_differ() -> None:
    """A client that holds one has the right endpoints, and is not led astray."""
    first = weighed((1, 1, 1), (2, 2, 2), awaits=True)
    learned = weighed((2, 2, 900), (1, 1, 1100))

    assert first.kin == learned.kin != b""
    assert first.body != learned.body
    assert (first.yields, learned.yields) == (True, False)


@pytest.mark.parametrize(
    "other",
    [
        weighed((1, 1, 1)),
        weighed((1, 1, 1), (3, 2, 2)),
        weighed((1, 2, 1), (2, 2, 2)),
    ],
)
def test_other_endpoints_or_base_weights_are_no_kin(other: Resource) -> None:
    assert other.kin != weighed((1, 1, 1), (2, 2, 2)).kin


def test_what_is_not_weighed_has_no_kin() -> None:
    assert build_load_assignment(make_upstream(at(1))).kin == b""
