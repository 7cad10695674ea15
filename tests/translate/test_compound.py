"""One resource of many parts, of which some are others for some clients."""

from collections.abc import Mapping

from hypothesis import given, strategies as st

from xds_server.snapshot.encoding import digest_of, encode
from xds_server.translate.compound import Part, join
from xds_server.xds import ROUTE, Labels, Place, Resource

BATCH: Labels = frozenset({("tier", "batch")})
TEAM: Labels = frozenset({("team", "x")})
APP: Labels = frozenset({("app", "y")})


def joined(*groups: Mapping[Labels, bytes]) -> Resource:
    """Return a resource of a part for each, all of which say their number."""
    parts = [
        Part(body=f"{number}.".encode(), groups=each)
        for number, each in enumerate(groups)
    ]
    return join(ROUTE, "routes", parts)


def at(resource: Resource, labels: Labels) -> bytes:
    return resource.at(Place(labels=labels, zone="a")).body


def test_each_part_is_what_a_client_is_told_there() -> None:
    resource = joined({BATCH: b"B"}, {}, {TEAM: b"T", TEAM | BATCH: b"TB"})

    assert resource.body == at(resource, APP) == b"0.1.2."
    assert at(resource, BATCH) == at(resource, BATCH | APP) == b"B1.2."
    assert at(resource, TEAM) == b"0.1.T"
    assert at(resource, TEAM | BATCH) == b"B1.TB"


def test_what_nobody_else_is_told_has_no_forms() -> None:
    assert joined({}, {}).forms is None


def test_clients_who_are_told_the_same_share_the_encoding() -> None:
    resource = joined({BATCH: b"B"}, {})
    encoded = encode(resource, digest_of(resource))

    one, other = (
        encoded.at(Place(labels=BATCH | each, zone=zone))
        for each, zone in ((APP, "a"), (TEAM, "b"))
    )
    assert one is other
    assert encoded.at(Place(labels=APP)) is encoded


def test_what_any_client_is_told_counts_in_the_version_and_where() -> None:
    all_of_them = [
        joined({}, {}),
        joined({BATCH: b"B"}, {}),
        joined({}, {BATCH: b"B"}),
        joined({TEAM: b"B"}, {}),
        joined({BATCH: b"C"}, {}),
        joined({BATCH: b"B", TEAM: b"B"}, {}),
        joined({BATCH | TEAM: b"B"}, {}),
    ]

    assert len({digest_of(each) for each in all_of_them}) == len(all_of_them)


LABELS = st.frozensets(st.sampled_from([*BATCH, *TEAM, *APP]))
GROUPS = st.dictionaries(LABELS.filter(bool), st.binary(min_size=1, max_size=2))


@given(parts=st.lists(GROUPS, max_size=4), one=LABELS, other=LABELS)
def test_who_stands_alike_is_told_the_same(
    parts: list[dict[Labels, bytes]], one: Labels, other: Labels
) -> None:
    resource = joined(*parts)

    def near(labels: Labels) -> Place:
        place = Place(labels=labels)
        return resource.forms.nearest(place) if resource.forms else Place()

    if near(one) == near(other):
        assert at(resource, one) == at(resource, other)
