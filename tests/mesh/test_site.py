"""Where endpoints run, and whose clients they are near to."""

import pytest

from tests.mesh.documents import HTTP, endpoint, node, service, slice_of
from xds_server.api.document import Document
from xds_server.api.kubernetes import ServiceSpec, SliceEndpoint
from xds_server.mesh.event import Applied, Deleted
from xds_server.mesh.index import Changes, Index
from xds_server.mesh.model import Locality, Upstream
from xds_server.mesh.preference import Preference, preference_of
from xds_server.mesh.site import Site, Sites

NODES = {"n1": node("n1", region="north", zone="a"), "n2": node("n2")}
NORTH_A = Locality(region="north", zone="a")


def near(distribution: str | None) -> Document:
    """Return the Service `web` with a traffic distribution."""
    return service(spec=ServiceSpec(ports=(HTTP,), traffic_distribution=distribution))


def web(index: Index) -> Upstream:
    (upstream,) = index.services["shop", "web"].upstreams
    return upstream


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (endpoint("10.0.0.1"), Site()),
        (endpoint("10.0.0.1", zone="b"), Site(Locality(zone="b"), zones=("b",))),
        (endpoint("10.0.0.1", node="n1"), Site(NORTH_A, "n1", ("a",), ("n1",))),
        (endpoint("10.0.0.1", node="n2"), Site(node="n2", nodes=("n2",))),
        (
            endpoint("10.0.0.1", node="unknown"),
            Site(node="unknown", nodes=("unknown",)),
        ),
        (
            endpoint("10.0.0.1", node="n1", zone="b"),
            Site(Locality(region="north", zone="b"), "n1", ("b",), ("n1",)),
        ),
        (
            endpoint("10.0.0.1", node="n1", for_zones=["b", "c"]),
            Site(NORTH_A, "n1", ("b", "c"), ("n1",)),
        ),
        (
            endpoint("10.0.0.1", node="n1", for_nodes=["n7"]),
            Site(NORTH_A, "n1", ("a",), ("n7",)),
        ),
    ],
)
def test_the_slice_goes_before_the_node_and_hints_before_both(
    written: SliceEndpoint, expected: Site
) -> None:
    assert Sites(NODES.get).site_of(written) == expected


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (None, ()),
        ("", ()),
        ("PreferSameZone", ("Zone",)),
        ("PreferClose", ("Zone",)),
        ("PreferSameNode", ("Node", "Zone")),
        ("PreferSameRack", ()),
    ],
)
def test_a_traffic_distribution_is_an_order(
    distribution: str | None, expected: tuple[str, ...]
) -> None:
    expected_preference = Preference(order=expected, is_hinted=True)

    assert preference_of(None, distribution) == expected_preference


def test_endpoints_are_near_to_what_their_service_asks_for() -> None:
    """What it does not ask for is left out: no change of it is a change then."""
    index = Index()
    found = []
    slice_ = slice_of([endpoint("10.0.0.1", node="n1", zone="a")])
    for distribution in (None, "PreferSameZone", "PreferSameNode"):
        events = [Applied(document=near(distribution)), Applied(document=slice_)]
        index.apply(events)
        (only,) = web(index).endpoints
        found.append(only.near)

    assert found == [(), (("a",),), (("n1",), ("a",))]


def test_names_found_by_dns_are_near_to_where_their_slice_says() -> None:
    index = Index()
    slice_ = slice_of([endpoint("a.example", zone="a")], address_type="FQDN")
    index.apply([Applied(document=near("PreferSameZone")), Applied(document=slice_)])

    assert web(index).failover == ("Zone",)
    assert web(index).endpoints[0].near == (("a",),)


def test_an_external_name_is_near_to_nobody() -> None:
    index = Index()
    spec = ServiceSpec(
        ports=(HTTP,),
        type="ExternalName",
        external_name="a.example",
        traffic_distribution="PreferSameZone",
    )
    index.apply([Applied(document=service(spec=spec))])

    assert [each.near for each in web(index).endpoints] == [((),)]


def test_a_node_concerns_the_services_with_endpoints_on_it() -> None:
    index = Index()
    index.apply(
        Applied(document=each)
        for each in (
            service("web"),
            service("api"),
            slice_of([endpoint("10.0.0.1", node="n1")], name="w", service="web"),
            slice_of([endpoint("10.0.0.2", node="n2")], name="a", service="api"),
        )
    )
    n1 = node("n1", region="north", zone="a")
    comes = index.apply([Applied(document=n1)])
    placed = web(index).endpoints[0].locality
    again = index.apply([Applied(document=node("n1", region="north", zone="a"))])
    goes = index.apply([Deleted(key=n1.key)])

    assert comes == goes == Changes(services=frozenset({("shop", "web")}))
    assert placed == NORTH_A
    assert again == Changes()
    assert web(index).endpoints[0].locality == Locality()
    assert index.locality_of("n1") == Locality()
