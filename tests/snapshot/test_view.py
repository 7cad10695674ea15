"""Publishing: several tables change, then each listener is woken once."""

from dataclasses import dataclass

import pytest

from xds_server.snapshot.table import Publication, Table
from xds_server.snapshot.view import Snapshot, Update, View
from xds_server.xds import CLUSTER, ENDPOINT, NOWHERE, ROUTE, Place, Resource


@dataclass(frozen=True)
class Everything:
    """An interest in whatever there is."""

    names: frozenset[str] = frozenset()

    def covers_any(self, names: frozenset[str]) -> bool:
        del names
        return True


EVERYTHING = Everything()


def resource(type_url: str, name: str) -> Resource:
    return Resource(type_url=type_url, name=name, body=b"1")


def test_a_view_has_an_empty_table_of_a_type_that_nobody_publishes() -> None:
    """Clients may ask for anything."""
    table = View([Table(CLUSTER)]).table(ROUTE)

    assert (table.type_url, len(table)) == (ROUTE, 0)


def test_a_view_gives_its_own_table_even_while_that_is_empty() -> None:
    """Whoever listens to it must hear of its first resource."""
    table = Table(CLUSTER)

    assert View([table]).table(CLUSTER) is table


def test_listeners_are_woken_once_when_all_tables_are_up_to_date() -> None:
    """No listener ever sees half of a publication."""
    clusters, endpoints = Table(CLUSTER), Table(ENDPOINT)
    seen: list[tuple[int, int]] = []

    def listen(_: Publication) -> None:
        seen.append((len(clusters), len(endpoints)))

    for table in (clusters, endpoints):
        table.followers.add(EVERYTHING, listen)
    changed = Snapshot().publish(
        [
            Update(table=clusters, applied=(resource(CLUSTER, "a"),)),
            Update(table=endpoints, applied=(resource(ENDPOINT, "a"),)),
        ]
    )

    assert seen == [(1, 1)]
    assert [table for table, _ in changed] == [clusters, endpoints]


def test_nobody_is_woken_by_what_changes_nothing() -> None:
    """Compare before publishing."""
    table = Table(CLUSTER)
    snapshot = Snapshot()
    update = Update(table=table, applied=(resource(CLUSTER, "a"),))
    snapshot.publish([update])
    woken: list[str] = []
    table.followers.add(EVERYTHING, lambda _: woken.append("woken"))

    assert snapshot.publish([update]) == ()
    assert woken == []


def test_listeners_hear_of_what_was_changed_before_an_error() -> None:
    """An error in one table does not leave the streams of another asleep."""
    clusters, endpoints = Table(CLUSTER), Table(ENDPOINT)
    woken: list[str] = []
    clusters.followers.add(EVERYTHING, lambda _: woken.append("woken"))

    with pytest.raises(ValueError, match="is not"):
        Snapshot().publish(
            [
                Update(table=clusters, applied=(resource(CLUSTER, "a"),)),
                Update(table=endpoints, applied=(resource(CLUSTER, "a"),)),
            ]
        )
    assert woken == ["woken"]


def test_replacing_deletes_what_is_not_listed() -> None:
    """The update is made from what the table holds."""
    table = Table(CLUSTER)
    table.update(applied=[resource(CLUSTER, "a"), resource(CLUSTER, "b")])
    update = Update.replacing(table, [resource(CLUSTER, "b"), resource(CLUSTER, "c")])
    Snapshot().publish([update])

    assert sorted(each.name for each in table) == ["b", "c"]


def test_a_snapshot_is_ready_when_it_is_told_so() -> None:
    """Readiness is explicit: an empty configuration can be a complete one."""
    snapshot = Snapshot()
    was_ready = snapshot.is_ready
    snapshot.declare_ready()

    assert (was_ready, snapshot.is_ready) == (False, True)


def test_a_view_from_elsewhere_has_the_same_tables() -> None:
    view = View([Table(CLUSTER), Table(ENDPOINT)])
    elsewhere = view.at(Place(zone="a"))

    assert elsewhere.tables == view.tables
    assert (view.place, elsewhere.place) == (NOWHERE, Place(zone="a"))
    assert elsewhere.at(Place(zone="a")) is elsewhere
