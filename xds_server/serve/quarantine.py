"""What a client rejected, and the search for the resource that it was about.

In: rejected responses, and what they were about. Out: names to send again by
themselves, and names to leave out.

A client may drop a whole response for one bad resource in it, so the good ones are sent
again without the bad: it is what the client's words name, or else it is found by
halving, in about log2(n) more responses for one bad resource of n. What is bad is not
sent again before its content changes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from xds_server.serve.response import Head
from xds_server.snapshot.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A response that the client did not accept, and why.

    `suspects` are the resources that it is about, as far as that can be told, and
    `owners` what these were made of.
    """

    head: Head
    message: str
    suspects: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Names that were rejected together, as of a sequence of their table."""

    names: tuple[str, ...]
    sequence: int


class Quarantine:
    """What is kept from one client, of one resource type."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._groups: list[_Group] = []  # the next one to send is the last
        self._bad: dict[str, tuple[int, Rejection]] = {}

    @property
    def is_searching(self) -> bool:
        """Is there something to send again?"""
        return any(map(self._unchanged, self._groups))

    @property
    def rejections(self) -> Mapping[str, Rejection]:
        """Why each bad resource was rejected, by its name; those that are gone are not.

        A state-of-the-world client cannot be told that a route is gone, so it would
        never accept that.
        """
        return {
            name: rejection
            for name, (_, rejection) in self._bad.items()
            if self._table.get(name) is not None
        }

    @property
    def withheld(self) -> frozenset[str]:
        """The names whose present content must not be sent for now."""
        held = {
            name
            for name, (sequence, _) in self._bad.items()
            if not self._table.has_changed(name, sequence)
        }
        for group in self._groups:
            held.update(self._unchanged(group))
        return frozenset(held)

    def reject(
        self, rejection: Rejection, about: tuple[str, ...], sequence: int
    ) -> None:
        """Hear that a response was rejected; *about* are the names it brought news of.

        It carried the table as of *sequence*. Where the suspects are of an earlier
        response, this one was processed: an Envoy may hold an error back.
        """
        for name in rejection.suspects:
            self._bad[name] = (sequence, rejection)
        rest = tuple(name for name in about if name not in rejection.suspects)
        if not rejection.suspects:
            middle = len(rest) // 2
            self._push(rest[middle:], sequence)
            self._push(rest[:middle], sequence)
        elif len(rest) < len(about):
            self._push(rest, sequence)

    def accept(self, about: Iterable[str]) -> None:
        """Hear that the client accepted what it was sent *about* these names."""
        for name in about:
            self._bad.pop(name, None)

    def next_group(self) -> tuple[str, ...]:
        """Take the names to send again now; empty where there are none.

        Names that have changed since are left out: they are on their way anyway.
        """
        while self._groups:
            names = self._unchanged(self._groups.pop())
            if names:
                return names
        return ()

    def retain(self, covers: Callable[[str], bool]) -> None:
        """Forget what the client does not ask for any more."""
        self._bad = {name: bad for name, bad in self._bad.items() if covers(name)}
        self._keep(covers)

    def pass_by(self, about: Iterable[str]) -> None:
        """Hear that these names are sent anyway, and need not be sent again."""
        if self._groups:
            sent = frozenset(about)
            self._keep(lambda name: name not in sent)

    def _keep(self, is_kept: Callable[[str], bool]) -> None:
        groups, self._groups = self._groups, []
        for group in groups:
            self._push(tuple(filter(is_kept, group.names)), group.sequence)

    def _push(self, names: tuple[str, ...], sequence: int) -> None:
        if names:
            self._groups.append(_Group(names=names, sequence=sequence))

    def _unchanged(self, group: _Group) -> tuple[str, ...]:
        return tuple(
            name
            for name in group.names
            if not self._table.has_changed(name, group.sequence)
        )
