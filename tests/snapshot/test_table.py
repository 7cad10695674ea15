"""The change log: what a reader learns, and at what cost."""

import timeit
from typing import Final

import pytest
from hypothesis import given, settings, strategies as st

from xds_server.snapshot.table import FEWEST_TOMBSTONES, Changes, Table
from xds_server.xds import CLUSTER, ENDPOINT, Resource

NAMES: Final = ("a", "b", "c", "d")


def cluster(name: str, body: bytes = b"1") -> Resource:
    return Resource(type_url=CLUSTER, name=name, body=body)


def table_of(*names: str) -> Table:
    table = Table(CLUSTER)
    table.update(applied=map(cluster, names))
    return table


def changed(table: Table, sequence: int) -> list[tuple[str, bool]]:
    """Return the names that changed, and whether each is still there."""
    return [
        (entry.name, entry.resource is not None)
        for entry in table.changed_since(sequence)
    ]


def test_only_real_differences_are_changes() -> None:
    """Equal content keeps sequence and version, and so do unknown deletions."""
    table = table_of("a", "b")
    sequence, version = table.sequence, table.version
    changes = table.update(applied=[cluster("a"), cluster("b")], deleted=["z"])

    assert changes == Changes()
    assert not changes
    assert (table.sequence, table.version) == (sequence, version)


def test_an_update_says_what_it_changed() -> None:
    """Applied means new or different; removed means it was there."""
    table = table_of("a", "b", "c")
    changes = table.update(
        applied=[cluster("a"), cluster("b", b"2"), cluster("d")], deleted=["c", "z"]
    )

    assert changes == Changes(applied=("b", "d"), removed=("c",))
    assert sorted(resource.name for resource in table) == ["a", "b", "d"]
    assert len(table) == 3


def test_a_name_both_deleted_and_applied_is_there() -> None:
    """What is there now is stronger than what is gone."""
    table = table_of("a")
    changes = table.update(applied=[cluster("a", b"2")], deleted=["a"])

    assert changes == Changes(applied=("a",))


def test_another_type_is_refused_before_anything_changes() -> None:
    """Rule 33: a table holds one type."""
    table = Table(CLUSTER)
    stranger = Resource(type_url=ENDPOINT, name="b", body=b"")

    with pytest.raises(ValueError, match=r"b: type\.googleapis\.com/.* is not"):
        table.update(applied=[cluster("a"), stranger])
    assert (len(table), table.sequence) == (0, 0)


def test_a_reader_learns_each_name_once_in_order_of_its_last_change() -> None:
    """Many changes of one resource are one entry."""
    table = table_of("a", "b", "c")
    start = table.sequence
    for number in range(3):
        table.update(applied=[cluster("b", b"%d" % number)])
        table.update(applied=[cluster("a", b"%d" % number)])
    table.update(deleted=["c"])

    assert changed(table, start) == [("b", True), ("a", True), ("c", False)]
    assert changed(table, table.sequence) == []


def test_what_a_reader_cannot_have_seen_is_not_said_to_be_gone() -> None:
    """A resource that came and went between two looks never was."""
    table = table_of("a")
    start = table.sequence
    table.update(applied=[cluster("b")])
    table.update(deleted=["a", "b"])

    assert changed(table, start) == [("a", False)]
    assert changed(table, 0) == []


def test_a_name_that_came_back_can_go_again() -> None:
    """A reader that saw its first life is told of the end of its second."""
    table = table_of("a")
    start = table.sequence
    table.update(deleted=["a"])
    table.update(applied=[cluster("a")])
    table.update(deleted=["a"])

    assert changed(table, start) == [("a", False)]


def test_tombstones_are_bounded() -> None:
    """Names that come and go for ever do not fill the memory."""
    table = table_of("stays")
    readers = []
    for number in range(5 * FEWEST_TOMBSTONES):
        readers.append(table.sequence)
        table.update(applied=[cluster(f"n{number}")])
        table.update(deleted=[f"n{number}"])
    remembered = [
        sequence for sequence in readers if sequence and table.remembers(sequence)
    ]

    assert len(table._log) <= FEWEST_TOMBSTONES + 1
    assert not table.remembers(readers[1])
    assert len(remembered) >= FEWEST_TOMBSTONES / 2
    assert table.remembers(0)
    assert [entry.name for entry in table.changed_since(0)] == ["stays"]


def test_a_reader_does_not_fall_behind_by_one_great_removal() -> None:
    """However much it removes, and however little is left: it is the newest news."""
    names = [f"n{number}" for number in range(2 * FEWEST_TOMBSTONES)]
    table = table_of(*names)
    start = table.sequence
    table.update(deleted=names)
    table.update(applied=[cluster("a")])

    assert table.remembers(start)
    assert len(changed(table, start)) == len(names) + 1


def test_a_change_is_found_without_a_scan() -> None:
    """Among 20,000 resources the newest change is read from the end of the log."""
    table = table_of(*(f"n{number}" for number in range(20_000)))
    start = table.sequence
    table.update(applied=[cluster("n10000", b"2")])
    scan = min(timeit.repeat(lambda: len(list(table)), number=1, repeat=3))
    read = min(timeit.repeat(lambda: changed(table, start), number=1, repeat=3))

    assert changed(table, start) == [("n10000", True)]
    assert read < scan / 10


steps = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=1), max_size=3),
        st.sets(st.sampled_from(NAMES), max_size=2),
    ),
    max_size=12,
)


@given(steps)
@settings(max_examples=300)
def test_version_depends_on_content_alone(
    history: list[tuple[dict[str, bytes], set[str]]],
) -> None:
    """However a content came about, in whatever order, its version is the same."""
    table = Table(CLUSTER)
    for applied, deleted in history:
        table.update(
            applied=[cluster(name, body) for name, body in applied.items()],
            deleted=deleted,
        )
    content = {resource.name: resource.digest for resource in table}
    final: dict[str, bytes] = {}
    for applied, deleted in history:
        final = {n: b for n, b in final.items() if n not in deleted} | applied
    fresh = Table(CLUSTER)
    for name in sorted(final, reverse=True):
        fresh.update(applied=[cluster(name, final[name])])

    assert content == {resource.name: resource.digest for resource in fresh}
    assert table.version == fresh.version


@given(steps, st.data())
@settings(max_examples=300)
def test_a_reader_that_applies_changes_holds_the_table(
    history: list[tuple[dict[str, bytes], set[str]]], data: st.DataObject
) -> None:
    """Looking now and then is as good as looking always."""
    table, held, sequence = Table(CLUSTER), dict[str, str](), 0
    for applied, deleted in history:
        table.update(
            applied=[cluster(name, body) for name, body in applied.items()],
            deleted=deleted,
        )
        if data.draw(st.booleans()):
            for entry in table.changed_since(sequence):
                if entry.resource is None:
                    held.pop(entry.name, None)
                else:
                    held[entry.name] = entry.resource.version
            sequence = table.sequence

            assert held == {r.name: r.version for r in table}
