"""What a group of nodes sees, and how all of it changes at once.

In: for each table, what is there now and what is gone. Out: tables that are all up to
date before the first listener is woken, so that no stream ever sees half of a change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xds_server.snapshot.table import Changes, Listener, Publication, Table
from xds_server.xds import NOWHERE, Place, Resource


class View:
    """What a group of nodes sees: at most one table for each resource type.

    Views may share tables. Nodes see what is in the tables, so a view never changes.
    Of resources that have forms, they see those of *place*.
    """

    def __init__(self, tables: Iterable[Table], place: Place = NOWHERE) -> None:
        self._tables = {table.type_url: table for table in tables}
        self.place = place

    def table(self, type_url: str) -> Table:
        """Return the table of *type_url*: an empty one where nobody publishes it."""
        table = self._tables.get(type_url)
        return Table(type_url) if table is None else table

    def at(self, place: Place) -> "View":
        """Return what nodes at *place* see: the same tables, from there."""
        return self if place == self.place else View(self._tables.values(), place)

    @property
    def tables(self) -> Mapping[str, Table]:
        """The tables by type URL."""
        return self._tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What to change in one table, as `Table.update` takes it."""

    table: Table
    applied: tuple[Resource, ...] = ()
    deleted: tuple[str, ...] = ()

    @classmethod
    def replacing(cls, table: Table, resources: Iterable[Resource]) -> "Update":
        """Return the update that makes *resources* all that is in *table* now."""
        applied = tuple(resources)
        present = {resource.name for resource in applied}
        deleted = tuple(old.name for old in table if old.name not in present)
        return cls(table=table, applied=applied, deleted=deleted)


class Snapshot:
    """What every sidecar should hold right now; written by one task.

    It is not ready, and so not served, until whoever publishes says that everything
    has been published once: half of a configuration would take the rest away from
    clients that reconnect.
    """

    def __init__(self) -> None:
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        """Has everything been published once?"""
        return self._is_ready

    def declare_ready(self) -> None:
        """Say that everything has been published once."""
        self._is_ready = True

    def publish(self, updates: Iterable[Update]) -> tuple[tuple[Table, Changes], ...]:
        """Change tables, then let each listener that this concerns hear of it once.

        Returns the tables that really changed, with what changed in them.

        Raises:
            ValueError: a resource is not of its table's type. Updates before it hold,
                and their listeners hear of them.
        """
        changed: list[tuple[Table, Changes]] = []
        try:
            for update in updates:
                changes = update.table.update(
                    applied=update.applied, deleted=update.deleted
                )
                if changes:
                    changed.append((update.table, changes))
        finally:
            _tell(changed)
        return tuple(changed)


def _tell(changed: Sequence[tuple[Table, Changes]]) -> None:
    """Let everybody whom *changed* concerns hear of it, once."""
    publication = Publication(sequences={table: table.sequence for table, _ in changed})
    concerned: dict[Listener, None] = {}
    for table, changes in changed:
        concerned.update(dict.fromkeys(table.concerned(changes)))
    for listener in concerned:
        listener(publication)
