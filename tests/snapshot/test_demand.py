"""A table filled by demand: what nobody asks for is not made."""

from dataclasses import dataclass, field

from xds_server.snapshot.demand import DemandTable
from xds_server.snapshot.table import Publication, Table
from xds_server.xds import CLUSTER, Resource


@dataclass(frozen=True)
class Interest:
    names: frozenset[str] = field(default_factory=frozenset)
    is_wildcard: bool = False

    def covers_any(self, names: frozenset[str]) -> bool:
        return self.is_wildcard or not self.names.isdisjoint(names)


def hear(_: Publication) -> None:
    """Hear of a change, and do nothing."""


def cluster(name: str, body: bytes = b"1") -> Resource:
    return Resource(type_url=CLUSTER, name=name, body=body)


def make(name: str) -> Resource | None:
    return cluster(name) if name.startswith("known") else None


def test_a_resource_is_made_once_and_then_is_in_the_table() -> None:
    asked: list[str] = []

    def note(name: str) -> Resource | None:
        asked.append(name)
        return make(name)

    table = DemandTable(CLUSTER, note)
    first, second = table.get("known"), table.get("known")

    assert first is not None
    assert first is second
    assert asked == ["known"]
    assert [each.name for each in table] == ["known"]


def test_nobody_is_behind_because_somebody_asked() -> None:
    """The sequence is that of changes; the version is that of the content."""
    table, plain = DemandTable(CLUSTER, make), Table(CLUSTER)
    plain.update(applied=[cluster("known")])
    table.get("known")

    assert table.sequence == 0
    assert table.changed_since(0) == []
    assert table.version == plain.version


def test_a_change_of_what_was_asked_for_is_seen_by_all() -> None:
    table = DemandTable(CLUSTER, make)
    table.get("known")
    table.update(applied=[cluster("known", b"2")])

    assert [entry.name for entry in table.changed_since(0)] == ["known"]


def test_what_is_gone_can_be_asked_for_again() -> None:
    """A tombstone makes way, and whoever was behind hears of what there is now."""
    there = True

    def make_if_there(name: str) -> Resource | None:
        return cluster(name) if there else None

    table = DemandTable(CLUSTER, make_if_there)
    table.get("known")
    there = False
    table.update(deleted=["known"])
    gone = table.get("known")
    there = True

    assert gone is None
    assert table.get("known") is not None
    assert len(table) == 1
    assert [entry.resource is None for entry in table.changed_since(0)] == [False]


def test_what_is_said_of_other_names_is_not_in_the_table() -> None:
    table = DemandTable(CLUSTER, make, otherwise=lambda name: cluster(name, b"no"))
    before = table.version
    answer = table.get("stranger")

    assert answer is not None
    assert answer.name == "stranger"
    assert len(table) == 0
    assert table.version == before


def test_a_name_without_an_answer_is_not_there() -> None:
    assert DemandTable(CLUSTER, make).get("stranger") is None


def test_what_is_wanted_by_name_is_heard_of_and_all_else_leaves() -> None:
    table, plain = DemandTable(CLUSTER, make), Table(CLUSTER)
    table.followers.add(Interest(frozenset({"known-1", "stranger"})), hear)
    for number in range(3):
        table.get(f"known-{number}")
    wanted = table.sift(frozenset({"known-1", "known-2", "stranger", "other"}))
    plain.update(applied=[cluster("known-0"), cluster("known-1")])

    assert wanted == {"known-1", "stranger"}
    assert {each.name for each in table} == {"known-0", "known-1"}
    assert table.version == plain.version
    assert table.changed_since(0) == []


def test_whoever_wants_everything_hears_of_what_is_there() -> None:
    table = DemandTable(CLUSTER, make)
    table.followers.add(Interest(is_wildcard=True), hear)
    table.get("known")

    assert table.sift(frozenset({"known", "known-2"})) == {"known"}


def test_what_was_said_of_a_name_is_of_an_older_sequence_once_it_may_be_another() -> (
    None
):
    """Answers are remembered by sequence; one to whoever left must not be used."""
    table = DemandTable(CLUSTER, make)
    before = table.sequence
    table.sift(frozenset({"stranger"}))

    assert table.sequence > before
