"""Assignments as seen from a place: who is first, who is next."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from hypothesis import example, given, strategies as st

from tests.translate.mesh_input import make_upstream
from xds_server.mesh.model import (
    Discovery,
    Endpoint,
    Health,
    Locality,
    Upstream,
)
from xds_server.translate import proxyless
from xds_server.translate.cluster import build_cluster
from xds_server.translate.endpoint import build_load_assignment
from xds_server.xds import CLUSTER, NOWHERE, Place, Resource

Build = Callable[[Upstream], Resource]


def build_dns_cluster(upstream: Upstream) -> Resource:
    """Return the cluster of *upstream*, as if its addresses were names."""
    return build_cluster(replace(upstream, discovery=Discovery.DNS))


BUILDERS = (
    build_load_assignment,
    build_dns_cluster,
    proxyless.build_load_assignment,
)
SAME_ZONE = ("Zone",)
SAME_NODE = ("Node", "Zone")
SAME_REGION = ("Zone", "Region")
SAME_RACK = ("label:rack", "Region", "label:tier")
VALUES = {
    "Node": ("n1", "n2", "n3"),
    "Zone": ("a", "b", "c"),
    "Region": ("north", "south"),
    "label:rack": ("r1", "r2", ""),
    "label:tier": ("gold", "r1"),
}
ZONES = VALUES["Zone"]


def _near(part: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(VALUES[part]), max_size=2, unique=True).map(tuple)


def _endpoints(failover: tuple[str, ...]) -> st.SearchStrategy[list[Endpoint]]:
    return st.lists(
        st.builds(
            Endpoint,
            address=st.sampled_from([f"10.0.0.{host}" for host in range(1, 7)]),
            port=st.just(80),
            health=st.sampled_from(Health),
            locality=st.builds(
                Locality,
                region=st.sampled_from(["", "north"]),
                zone=st.sampled_from(("", *ZONES)),
            ),
            near=st.tuples(*map(_near, failover)),
        ),
        unique_by=lambda endpoint: endpoint.address,
    )


upstreams = st.sampled_from([SAME_ZONE, SAME_NODE, SAME_REGION, SAME_RACK]).flatmap(
    lambda failover: _endpoints(failover).map(
        lambda of: replace(make_upstream(*of), failover=failover)
    )
)
_shares = st.sampled_from(
    [
        ({"zone": "a", "weight": 3}, {"region": "north", "weight": 1}),
        ({"zone": "b", "weight": 0},),
        ({"region": "north", "weight": 9}, {"zone": "c", "weight": 2}),
    ]
)
_origins = st.sampled_from(
    [None, {"zone": "a"}, {"region": "north"}, {"region": "north", "zone": "b"}]
)
_weighted = st.builds(
    lambda rules, default: {
        "type": "Weighted",
        "weighted": {"rules": tuple(rules), "default": default},
    },
    st.lists(
        st.fixed_dictionaries({"from": _origins, "to": _shares}),
        min_size=1,
        max_size=3,
        unique_by=lambda rule: str(rule["from"]),
    ),
    st.just("EndpointCount"),
)
weighted_upstreams = st.builds(
    lambda of, spec: make_upstream(*of, spec={"locality": spec}),
    _endpoints(()),
    _weighted,
)
zoned_upstreams = _endpoints(()).map(
    lambda of: make_upstream(*of, spec={"locality": {"type": "ZoneAware"}})
)
all_upstreams = upstreams | weighted_upstreams | zoned_upstreams
places = st.builds(
    Place,
    region=st.sampled_from(["", "north", "west"]),
    zone=st.sampled_from(("", *ZONES, "z")),
    node=st.sampled_from(("", "n1", "n2", "n9")),
    labels=st.dictionaries(
        st.sampled_from(["rack", "tier", "x"]), st.sampled_from(["r1", "gold", ""])
    ).map(lambda labels: frozenset(labels.items())),
)


def at(
    host: int,
    *zones: str,
    node: str = "",
    draining: bool = False,
    failover: tuple[str, ...] = SAME_ZONE,
) -> Endpoint:
    """Return an endpoint near to the clients of *zones*, in the first of them."""
    near = {"Zone": zones, "Node": (node,) if node else ()}
    return Endpoint(
        address=f"10.0.0.{host}",
        port=80,
        health=Health.DRAINING if draining else Health.HEALTHY,
        locality=Locality(zone=zones[0] if zones else ""),
        near=tuple(near[part] for part in failover),
    )


def decoded(resource: Resource) -> endpoint_pb2.ClusterLoadAssignment:
    if resource.type_url == CLUSTER:
        return cluster_pb2.Cluster.FromString(resource.body).load_assignment
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
    """Return what Envoys and a gRPC client see, which is the same."""
    envoy, by_name, grpc = (hosts(build(upstream).at(place)) for build in BUILDERS)

    assert envoy == by_name == grpc
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
    endpoints = [
        at(host, zone, node=f"n{host}", failover=SAME_NODE)
        for host, zone in ((1, "a"), (2, "a"), (3, "b"))
    ]

    assert seen(replace(make_upstream(*endpoints), failover=SAME_NODE), place) == (
        expected
    )


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place(zone="a", region="north"), [[1], [2], [3]]),
        (Place(zone="c", region="south"), [[3], [1, 2]]),
        (Place(zone="z", region="north"), [[1, 2], [3]]),
        (Place(region="south"), [[3], [1, 2]]),
        (Place(zone="b"), [[2], [1, 3]]),
    ],
)
def test_the_same_region_comes_after_the_zone(
    place: Place, expected: list[list[int]]
) -> None:
    near = [("a", "north"), ("b", "north"), ("c", "south")]
    endpoints = [
        replace(at(host), near=((zone,), (region,)))
        for host, (zone, region) in enumerate(near, start=1)
    ]

    assert seen(replace(make_upstream(*endpoints), failover=SAME_REGION), place) == (
        expected
    )


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"rack": "r1"}, [[1], [2], [3, 4]]),
        ({"rack": "r2", "tier": "gold"}, [[2], [3], [1, 4]]),
        ({"rack": "", "tier": "gold"}, [[4], [2], [3], [1]]),
        ({"x": "r1"}, [[2], [1, 3, 4]]),
    ],
)
def test_labels_are_compared_like_places(
    labels: dict[str, str], expected: list[list[int]]
) -> None:
    """A client in the region where the second one is; an empty label is one, too."""
    near = [
        (("r1",), (), ()),
        (("r2",), ("north",), ("gold",)),
        ((), (), ("gold",)),
        (("",), (), ()),
    ]
    endpoints = [
        replace(at(host), near=each) for host, each in enumerate(near, start=1)
    ]
    place = Place(region="north", labels=frozenset(labels.items()))

    assert seen(replace(make_upstream(*endpoints), failover=SAME_RACK), place) == (
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

    envoy, by_name, grpc = (
        hosts(build(upstream).at(Place(zone="a"))) for build in BUILDERS
    )

    assert envoy == by_name == [[1, 2], [3]]
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


ONE_NODE = (
    Endpoint(address="10.0.0.1", port=80, near=(("n2",), ())),
    Endpoint(address="10.0.0.2", port=80, near=(("n2",), ("a",))),
)
"""Both are near by the first thing, so the second tells nobody apart there."""


@given(all_upstreams, places)
@example(replace(make_upstream(*ONE_NODE), failover=SAME_NODE), Place("", "a", "n2"))
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


@given(all_upstreams, all_upstreams, places)
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
        endpoints=tuple(replace(e, near=(("b",),)) for e in plain.endpoints[:1])
        + plain.endpoints[1:],
    )
    by_region = replace(plain, failover=("Region",))
    built = [build_load_assignment(each) for each in (plain, swapped, by_region)]

    assert len({each.body for each in built}) == 1
    assert len({each.forms and each.forms.fingerprint for each in built}) == 3
