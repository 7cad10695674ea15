"""The resources of one type, and the order in which they last changed.

In: resources that are there now, names that are gone. Out: what changed since a
sequence number, at a cost that grows with the changes, never with the resources.

The log is a dict from name to the name's last change, in order of that change: a name
that changes moves to the end, so a reader walks back from the end to where it was, and
many changes of one resource are one entry. Removed names stay as tombstones, so that a
reader learns of them; the oldest are forgotten when there are more of them than
resources, and a reader that needs them is told so.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from xds_server.snapshot.encoding import (
    DIGEST_BITS,
    EncodedResource,
    digest_of,
    encode,
    made_of,
    version_of,
)
from xds_server.snapshot.followers import Followers
from xds_server.snapshot.upkeep import Upkeep
from xds_server.xds import FULL_STATE_TYPES, Resource

FEWEST_TOMBSTONES: Final = 1024
"""So many removed names are always remembered, however few resources there are."""

_HEARTBEATS: Final = 3
"""So many in a time to live."""

REMEMBERED_UPDATES: Final = 4
"""What the newest updates removed is always remembered, however much that is: whoever
reads them a moment later has not fallen behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The names that an update really changed: new or different, and gone."""

    applied: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.applied or self.removed)


@dataclass(slots=True, kw_only=True, eq=False)
class Publication:
    """A change of one or more tables, on its way to everybody whom it concerns.

    `sequences` are those that it brought the tables to. A listener that takes it on
    adds one to `outstanding`, and takes that away when its client has answered. The
    first notes in `heard_at` when that was, by its own clock.
    """

    sequences: "dict[Table, int]"
    outstanding: int = 0
    heard_at: float | None = None


Listener = Callable[[Publication], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """The last change of one name; a tombstone where `resource` is None.

    `before` is the content that this change ended, where the table keeps it.
    A reader that stopped before sequence `first` never saw the name: whoever is not
    told of a tombstone by this has not missed anything.
    """

    name: str
    sequence: int
    first: int
    resource: EncodedResource | None
    before: EncodedResource | None = None
    aliases: tuple[str, ...] = ()


class Table:
    """The resources of *type_url* that some nodes see; written by one task.

    `sequence` grows with every update that changes something and means nothing outside
    this process. `version` is a hash of the content alone: equal on every replica and
    after every restart. `expiring` are the names that have a time to live, by how often
    clients must hear of them: two times may be lost. `refreshed` are those that are
    sent again.
    """

    def __init__(self, type_url: str) -> None:
        """Start empty.

        The content before the last change is kept for the types of which a
        state-of-the-world response must be complete: a client that rejects the new
        content is sent the old.
        """
        self.type_url = type_url
        self.sequence = 0
        self.version = version_of(0)
        self.followers = Followers[Listener]()
        self._keeps_content = type_url in FULL_STATE_TYPES
        self.expiring = Upkeep()
        self.refreshed = Upkeep()
        self._named: dict[str, str] = {}  # by alias
        self._log: OrderedDict[str, Entry] = OrderedDict()
        self._tombstones = 0
        self._horizon = 0
        self._digest = 0

    def __len__(self) -> int:
        return len(self._log) - self._tombstones

    def __iter__(self) -> Iterator[EncodedResource]:
        """Yield the resources, longest unchanged first."""
        for entry in self._log.values():
            if entry.resource is not None:
                yield entry.resource

    def get(self, name: str) -> EncodedResource | None:
        """Return the resource called *name*, be it as an alias, if there is one."""
        entry = self._log.get(name) or self._log.get(self._named.get(name, name))
        return entry.resource if entry else None

    def sequence_of(self, name: str) -> int:
        """Return the sequence of the last change of *name*; 0 where there was none."""
        entry = self._log.get(name)
        return entry.sequence if entry else 0

    def before(self, name: str) -> EncodedResource | None:
        """Return what *name* was before its last change; None where it was not there.

        Only tables of FULL_STATE_TYPES know.
        """
        entry = self._log.get(name)
        return entry.before if entry else None

    def has_changed(self, name: str, sequence: int) -> bool:
        """Did *name* change after *sequence*?"""
        entry = self._log.get(name)
        return entry is not None and entry.sequence > sequence

    def names_of(self, name: str) -> tuple[str, ...]:
        """Return *name* and its aliases."""
        entry = self._log.get(name)
        return (name, *entry.aliases) if entry else (name,)

    def concerned(self, changes: Changes) -> Iterator[Listener]:
        """Yield who must hear of *changes*."""
        changed = (*changes.applied, *changes.removed)
        names = [known for name in changed for known in self.names_of(name)]
        return self.followers.concerned(names)

    def changed_since(self, sequence: int) -> list[Entry]:
        """Return the last change of each name that changed after *sequence*, in order.

        Names that a reader at *sequence* cannot have seen and that are gone again are
        left out. Ask `remembers` first where tombstones matter.
        """
        changed: list[Entry] = []
        for entry in reversed(self._log.values()):
            if entry.sequence <= sequence:
                break
            if entry.resource is not None or entry.first <= sequence:
                changed.append(entry)
        changed.reverse()
        return changed

    def remembers(self, sequence: int) -> bool:
        """Can a reader at *sequence* still learn of every removal since?

        Sequence 0 is a reader that has seen nothing, so it cannot miss a removal.
        """
        return sequence == 0 or sequence >= self._horizon

    def update(
        self, *, applied: Iterable[Resource] = (), deleted: Iterable[str] = ()
    ) -> Changes:
        """Apply what is there now and delete what is gone; return what that changed.

        A name that is both deleted and applied is there. Listeners are not woken: that
        is for whoever publishes, once all tables are up to date.

        Raises:
            ValueError: a resource is of another type; nothing was changed.
        """
        present = {resource.name: resource for resource in applied}
        for resource in present.values():
            if resource.type_url != self.type_url:
                message = f"{resource.name}: {resource.type_url} is not {self.type_url}"
                raise ValueError(message)
        sequence = self.sequence + 1
        changes = Changes(
            removed=tuple(
                name
                for name in deleted
                if name not in present and self._remove(name, sequence)
            ),
            applied=tuple(
                name
                for name, resource in present.items()
                if self._apply(resource, sequence)
            ),
        )
        if changes:
            self.sequence = sequence
            self.version = version_of(self._digest)
            self._forget()
        return changes

    def admit(self, resource: Resource) -> EncodedResource | None:
        """Add *resource*, which nobody has had a chance to miss, and return it.

        The sequence stays: nobody is behind because of it. Whoever asks finds it.
        """
        self._apply(resource, self.sequence)
        self.version = version_of(self._digest)
        return Table.get(self, resource.name)

    def dismiss(self, names: Iterable[str]) -> None:
        """Drop *names*, which nobody wants to hear of: nobody is told of it.

        What is remembered of them is undone, but for those that are gone already. The
        sequence grows all the same: what was said of a name until now is not said to
        whoever asks for it from now on.
        """
        for name in names:
            old = self._log.get(name)
            if old is not None and old.resource is not None:
                self._count(-old.resource.digest)
                self._rename(name, ())
                self._keep_up(name, None)
                del self._log[name]
        self.sequence += 1
        self.version = version_of(self._digest)

    def _apply(self, resource: Resource, sequence: int) -> bool:
        digest = digest_of(resource)
        old = self._log.get(resource.name)
        if old and old.resource and old.resource.digest == digest:
            now = made_of(resource, old.resource)
            if now is not old.resource:
                self._log[resource.name] = replace(old, resource=now)
            return False
        if old and old.resource is None:
            self._tombstones -= 1
        self._count(digest - (old.resource.digest if old and old.resource else 0))
        self._rename(resource.name, resource.aliases)
        self._keep_up(resource.name, resource)
        self._append(
            Entry(
                name=resource.name,
                sequence=sequence,
                first=old.first if old else sequence,
                resource=encode(resource, digest),
                before=old.resource if old and self._keeps_content else None,
                aliases=resource.aliases,
            )
        )
        return True

    def _remove(self, name: str, sequence: int) -> bool:
        old = self._log.get(name)
        if old is None or old.resource is None:
            return False
        self._tombstones += 1
        self._count(-old.resource.digest)
        self._append(
            Entry(
                name=name,
                sequence=sequence,
                first=old.first,
                resource=None,
                before=old.resource if self._keeps_content else None,
                aliases=old.aliases,
            )
        )
        self._rename(name, ())
        self._keep_up(name, None)
        return True

    def _keep_up(self, name: str, resource: Resource | None) -> None:
        """Note how often clients must hear of *name*, which is *resource* now."""
        ttl = resource.ttl if resource else None
        self.expiring.set(name, ttl / _HEARTBEATS if ttl else None)
        self.refreshed.set(name, resource.refresh if resource else None)

    def _rename(self, name: str, aliases: tuple[str, ...]) -> None:
        """Let *name* be known by *aliases*, and no more by those it had."""
        for alias in self.names_of(name)[1:]:
            if self._named.get(alias) == name:  # else it is another's by now
                del self._named[alias]
        self._named.update(dict.fromkeys(aliases, name))

    def _append(self, entry: Entry) -> None:
        self._log[entry.name] = entry
        self._log.move_to_end(entry.name)

    def _count(self, difference: int) -> None:
        # The version is the sum of the resources' hashes: it ignores order, and a
        # change costs one addition (an "AdHash", Bellare and Micciancio 1997).
        self._digest = (self._digest + difference) % (1 << DIGEST_BITS)

    def _forget(self) -> None:
        """Drop the older half of the tombstones once they outnumber the resources.

        Those of the newest updates stay.
        """
        if self._tombstones <= max(len(self), FEWEST_TOMBSTONES):
            return
        newest = self.sequence - REMEMBERED_UPDATES
        tombstones = [
            entry
            for entry in self._log.values()
            if entry.resource is None and entry.sequence <= newest
        ]
        for entry in tombstones[: len(tombstones) // 2]:
            del self._log[entry.name]
            self._tombstones -= 1
            self._horizon = entry.sequence
