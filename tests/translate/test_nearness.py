"""Assignments as seen from a place: who is first, who is next."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from hypothesis import given, strategies as st

from tests.translate.mesh_input import make_upstream
from xds_server.mesh.model import Endpoint, Health, Locality, Proximity, Upstream
from xds_server.translate import proxyless
from xds_server.translate.endpoint import build_load_assignment
from xds_server.xds import NOWHERE, Place, Resource

Build = Callable[[Upstream], Resource]

BUILDERS = (build_load_assignment, proxyless.build_load_assignment)
SAME_ZONE = (Proximity.ZONE,)
SAME_NODE = (Proximity.NODE, Proximity.ZONE)
ZONES, NODES = ("a", "b", "c"), ("n1", "n2", "n3")

some = st.lists(st.sampled_from(ZONES), max_size=2, unique=True).map(tuple)
endpoints = st.lists(
    st.builds(
        Endpoint,
        address=st.sampled_from([f"10.0.0.{host}" for host in range(1, 7)]),
        port=st.just(80),
        health=st.sampled_from(Health),
        locality=st.builds(Locality, zone=st.sampled_from(("", *ZONES))),
        zones=some,
        nodes=st.lists(st.sampled_from(NODES), max_size=1).map(tuple),
    ),
    unique_by=lambda endpoint: endpoint.address,
)
upstreams = st.builds(
    lambda of, failover: replace(make_upstream(*of), failover=failover),
    endpoints,
    st.sampled_from([SAME_ZONE, SAME_NODE]),
)
places = st.builds(
    Place,
    region=st.sampled_from(["", "north"]),
    zone=st.sampled_from(("", *ZONES, "z")),
    node=st.sampled_from(("", *NODES, "n9")),
)


def at(host: int, *zones: str, node: str = "", draining: bool = False) -> Endpoint:
    """Return an endpoint near to the clients of *zones*, in the first of them."""
    return Endpoint(
        address=f"10.0.0.{host}",
        port=80,
        health=Health.DRAINING if draining else Health.HEALTHY,
        locality=Locality(zone=zones[0] if zones else ""),
        zones=zones,
        nodes=(node,) if node else (),
    )


def decoded(resource: Resource) -> endpoint_pb2.ClusterLoadAssignment:
    return endpoint_pb2.ClusterLoadAssignment.FromString(resource.body)


def hosts(resource: Resource) -> list[list[int]]:
    """Return the last numbers of the addresses, a list for each priority."""
    found: list[list[int]] = []
    for group in decoded(resource).endpoints:
        found += [[]] * (group.priority + 1 - len(found))
        numbers = [
            int(each.endpoint.address.socket_address.address.rpartition(".")[2])
            for each in group.lb_endpoints
        ]
        found[group.priority] = sorted([*found[group.priority], *numbers])
    return found


def seen(upstream: Upstream, place: Place) -> list[list[int]]:
    """Return what an Envoy and a gRPC client see, which is the same."""
    envoy, grpc = (hosts(build(upstream).at(place)) for build in BUILDERS)

    assert envoy == grpc
    return envoy


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (NOWHERE, [[1, 2, 3, 4]]),
        (Place(zone="a"), [[1, 2], [3, 4]]),
        (Place(zone="b"), [[3], [1, 2, 4]]),
        (Place(zone="nobody's"), [[1, 2, 3, 4]]),
        (Place(region="other", zone="a"), [[1, 2], [3, 4]]),
        (Place(node="n1"), [[1, 2, 3, 4]]),
    ],
)
def test_the_same_zone_is_first(place: Place, expected: list[list[int]]) -> None:
    endpoints = (at(1, "a", node="n1"), at(2, "a"), at(3, "b"), at(4))

    assert seen(replace(make_upstream(*endpoints), failover=SAME_ZONE), place) == (
        expected
    )


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place(zone="a", node="n1"), [[1], [2], [3]]),
        (Place(zone="a", node="n9"), [[1, 2], [3]]),
        (Place(zone="b", node="n3"), [[3], [1, 2]]),
        (Place(zone="b"), [[3], [1, 2]]),
        (Place(node="n1"), [[1], [2, 3]]),
        (Place(zone="c", node="n9"), [[1, 2, 3]]),
        (NOWHERE, [[1, 2, 3]]),
    ],
)
def test_the_same_node_is_first_and_its_zone_next(
    place: Place, expected: list[list[int]]
) -> None:
    """Priorities have no gaps: gRPC refuses one, and Envoy would search in it."""
    endpoints = (at(1, "a", node="n1"), at(2, "a", node="n2"), at(3, "b", node="n3"))

    assert seen(replace(make_upstream(*endpoints), failover=SAME_NODE), place) == (
        expected
    )


def test_an_endpoint_may_be_near_to_several_zones_and_stands_in_one() -> None:
    """As hints have it; the locality is still where it runs."""
    upstream = replace(make_upstream(at(1, "a", "b"), at(2, "c")), failover=SAME_ZONE)
    assignment = decoded(build_load_assignment(upstream).at(Place(zone="b")))

    assert seen(upstream, Place(zone="b")) == [[1], [2]]
    assert [each.locality.zone for each in assignment.endpoints] == ["a", "c"]


def test_what_is_draining_stays_in_its_tier_and_is_nothing_to_grpc() -> None:
    upstream = replace(
        make_upstream(at(1, "a"), at(2, "a", draining=True), at(3, "b")),
        failover=SAME_ZONE,
    )

    envoy, grpc = (hosts(build(upstream).at(Place(zone="a"))) for build in BUILDERS)

    assert envoy == [[1, 2], [3]]
    assert grpc == [[1], [3]]


@pytest.mark.parametrize("build", BUILDERS)
def test_nobody_has_a_form_where_all_see_the_same(build: Build) -> None:
    same = make_upstream(at(1, "a"), at(2, "a"))

    assert build(make_upstream(at(1, "a"), at(2, "b"))).forms is None
    assert build(replace(same, failover=SAME_ZONE)).forms is None
    assert build(replace(make_upstream(), failover=SAME_ZONE)).forms is None


@given(upstreams, places)
def test_every_endpoint_is_there_once_in_priorities_without_gaps(
    upstream: Upstream, place: Place
) -> None:
    for build in BUILDERS:
        everywhere, here = hosts(build(upstream)), hosts(build(upstream).at(place))

        assert all(here)
        assert sorted(h for tier in here for h in tier) == sorted(
            h for tier in everywhere for h in tier
        )


@given(upstreams, places)
def test_what_is_nearest_tells_all_that_matters(
    upstream: Upstream, place: Place
) -> None:
    """A form is what would be built for the whole place; so it is worth keeping."""
    for build in BUILDERS:
        resource = build(upstream)
        if resource.forms is not None:
            near = resource.forms.nearest(place)

            assert resource.forms.nearest(near) == near
            assert resource.at(place).body == resource.forms.body(place)
            assert resource.at(near).body == resource.at(place).body


@given(upstreams, upstreams, places)
def test_equal_resources_have_equal_forms(
    one: Upstream, other: Upstream, place: Place
) -> None:
    """A hash of the body and the fingerprint is a hash of all forms."""
    for build in BUILDERS:
        first, second = build(one), build(other)
        marks = [each.forms and each.forms.fingerprint for each in (first, second)]
        if (first.body, marks[0]) == (second.body, marks[1]):
            assert first.at(place).body == second.at(place).body


def test_the_fingerprint_tells_who_is_near_to_whom() -> None:
    """What is the same for a client of no place may differ for all others."""
    plain = replace(make_upstream(at(1, "a"), at(2, "b")), failover=SAME_ZONE)
    swapped = replace(
        plain,
        endpoints=tuple(replace(e, zones=("b",)) for e in plain.endpoints[:1])
        + plain.endpoints[1:],
    )
    by_node = replace(plain, failover=SAME_NODE)
    built = [build_load_assignment(each) for each in (plain, swapped, by_node)]

    assert len({each.body for each in built}) == 1
    assert len({each.forms and each.forms.fingerprint for each in built}) == 3
