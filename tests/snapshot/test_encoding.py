"""Encoded once: the joined pieces are what protobuf itself would have made."""

from dataclasses import replace
from weakref import ref

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryResponse,
    DiscoveryResponse,
)
from hypothesis import given, strategies as st

from tests.snapshot.forms import by_zone
from xds_server.snapshot.encoding import (
    MOST_FORMS,
    by_lens,
    digest_of,
    encode,
    version_of,
)
from xds_server.snapshot.table import Table
from xds_server.xds import CLUSTER, ENDPOINT, NOWHERE, Place, Resource

resources = st.builds(
    Resource, type_url=st.just(CLUSTER), name=st.text(), body=st.binary()
)


@given(st.lists(resources))
def test_joined_pieces_are_a_response(given_resources: list[Resource]) -> None:
    """Any number of pieces, joined with other fields, decodes in both variants."""
    pieces = [encode(resource, digest_of(resource)) for resource in given_resources]
    sotw = DiscoveryResponse(nonce="1").SerializeToString()
    delta = DeltaDiscoveryResponse(nonce="1").SerializeToString()
    in_sotw = DiscoveryResponse.FromString(b"".join(p.sotw for p in pieces) + sotw)
    in_delta = DeltaDiscoveryResponse.FromString(
        b"".join(p.delta for p in pieces) + delta
    )
    expected = [(r.type_url, r.body) for r in given_resources]

    assert [(r.type_url, r.value) for r in in_sotw.resources] == expected
    assert [
        (r.resource.type_url, r.resource.value) for r in in_delta.resources
    ] == expected
    assert [r.name for r in in_delta.resources] == [r.name for r in given_resources]
    assert in_sotw.nonce == in_delta.nonce == "1"


def test_equal_resources_are_kept_once_however_often_they_are_published() -> None:
    """Equal in all that is told of them: a new owner is another resource."""
    one, other = Table(CLUSTER), Table(CLUSTER)
    web = Resource(type_url=CLUSTER, name="web", body=b"body", owners=("Service web",))
    for table in (one, other):
        table.update(applied=[replace(web)])
    kept = one.get("web")
    other.update(applied=[replace(web, body=b"else")])
    other.update(applied=[replace(web, owners=())])

    assert kept is not None
    assert one.get("web") is kept
    assert other.get("web") is not kept


def test_what_is_published_no_more_is_not_kept() -> None:
    """The memory of equal resources holds none that no table has."""
    table = Table(ENDPOINT)
    web = Resource(type_url=ENDPOINT, name="web", body=b"old")
    table.update(applied=[web])
    kept = ref(found) if (found := table.get("web")) else None
    del found
    table.update(applied=[replace(web, body=b"new")])

    assert kept is not None
    assert kept() is None


@given(resources, resources)
def test_equal_digest_means_equal_resource(one: Resource, other: Resource) -> None:
    """Name and body both count, and so does where one ends and the other begins."""
    assert (digest_of(one) == digest_of(other)) == (one == other)


def test_the_boundary_between_name_and_body_counts() -> None:
    """`ab` + `c` is not `a` + `bc`."""
    one = Resource(type_url=CLUSTER, name="ab", body=b"c")
    other = Resource(type_url=CLUSTER, name="a", body=b"bc")

    assert digest_of(one) != digest_of(other)


def test_versions_are_the_same_on_every_machine() -> None:
    """A golden value: an accidental change would make every client fetch it all."""
    resource = Resource(type_url=CLUSTER, name="web", body=b"body")

    assert version_of(digest_of(resource)) == "11f76d0cd665e95c"


def test_a_form_is_a_resource_like_any_other() -> None:
    """Its version is that of its own content, wherever it is published."""
    web = by_zone("web", "a", "b")
    encoded = encode(web, digest_of(web))
    here = encoded.at(Place(region="north", zone="a", node="n1"))
    plain = Resource(type_url=ENDPOINT, name="web", body=b"web@a|1")

    assert here is encode(plain, digest_of(plain))
    assert here is encoded.at(Place(zone="a"))
    assert here.version != encoded.at(Place(zone="b")).version
    assert encoded.at(Place(zone="z")) is encoded.at(NOWHERE) is encoded
    assert here.at(Place(zone="b")) is here


def test_one_of_those_that_see_places_alike_speaks_for_all() -> None:
    made = [
        by_zone("one", "a", "b"),
        by_zone("two", "b", "a"),
        by_zone("three", "a"),
        Resource(type_url=ENDPOINT, name="four", body=b"everywhere"),
    ]
    found = by_lens(encode(each, digest_of(each)) for each in made)

    assert [each.name for each in found] == ["two", "three"]


def test_a_form_counts_in_the_version_of_the_resource() -> None:
    """Two tables of one version are the same in every place."""
    web, other = by_zone("web", "a"), by_zone("web", "b")

    assert web.body == other.body
    assert digest_of(web) != digest_of(other)
    assert digest_of(web) != digest_of(replace(web, forms=None))


def test_only_so_many_forms_are_kept() -> None:
    zones = [f"z{number}" for number in range(MOST_FORMS + 1)]
    web = by_zone("web", *zones)
    encoded = encode(web, digest_of(web))
    kept = [ref(encoded.at(Place(zone=zone))) for zone in zones]

    assert [each() is None for each in kept] == [True] + [False] * MOST_FORMS


def test_what_yields_does_so_to_its_kin_alone() -> None:
    """Equal but for what `kin` leaves out; it has to say so itself."""
    made = [
        Resource(type_url=ENDPOINT, name="web", body=body, kin=kin, yields=yields)
        for body, kin, yields in (
            (b"new", b"kin", True),
            (b"old", b"kin", False),
            (b"old", b"other", False),
            (b"new", b"", True),
        )
    ]
    new, kin, other, plain = (encode(each, digest_of(each)) for each in made)

    assert new.yields_to(kin.version)
    assert not new.yields_to(other.version)
    assert not new.yields_to(plain.version)
    assert not kin.yields_to(new.version)
    assert not plain.yields_to(plain.version)
    assert len({each.version for each in (new, kin, other, plain)}) == 4


def test_that_something_yields_no_more_is_a_change() -> None:
    """Whoever was left with other kin is sent it then."""
    table = Table(ENDPOINT)
    web = Resource(type_url=ENDPOINT, name="web", body=b"", kin=b"kin", yields=True)
    table.update(applied=[web])

    assert table.update(applied=[replace(web, yields=False)]).applied == ("web",)


def test_forms_are_kin_of_forms_of_the_same_place_alone() -> None:
    old = replace(by_zone("web", "a", "b"), kin=b"kin")
    new = replace(by_zone("web", "b", "a"), kin=b"kin", yields=True)
    before, now = (encode(each, digest_of(each)) for each in (old, new))
    a, b = Place(zone="a"), Place(zone="b")

    assert now.at(a).yields_to(before.at(a).version)
    assert not now.at(a).yields_to(before.at(b).version)
    assert not now.at(a).yields_to(before.version)
