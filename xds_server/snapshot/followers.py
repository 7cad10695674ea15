"""Who follows a table, by what they want to hear of.

In: interests, and the names that changed. Out: the listeners that this concerns. That
is found by asking every distinct interest once, however many follow it and however many
names it covers: in a mesh, most clients of a kind ask for the same.
"""

from collections.abc import Collection, Hashable, Iterator
from typing import Generic, Protocol, TypeVar

L = TypeVar("L", bound=Hashable)


class Interest(Protocol):
    """What somebody wants to hear of; equal ones cover the same names."""

    def __hash__(self) -> int: ...

    @property
    def names(self) -> frozenset[str]:
        """What is wanted by name."""
        ...

    def covers_any(self, names: frozenset[str]) -> bool:
        """Does it matter what becomes of one of the resources called *names*?

        It is asked about every change: let it cost no Python for each name.
        """
        ...


class Followers(Generic[L]):
    """The listeners of each interest."""

    def __init__(self) -> None:
        self._listeners: dict[Interest, dict[L, None]] = {}

    def add(self, interest: Interest, listener: L) -> None:
        """Let *listener* hear of changes that *interest* covers."""
        self._listeners.setdefault(interest, {})[listener] = None

    def remove(self, interest: Interest, listener: L) -> None:
        """Undo `add`, if it was done."""
        listeners = self._listeners.get(interest, {})
        listeners.pop(listener, None)
        if not listeners:
            self._listeners.pop(interest, None)

    def concerned(self, names: Collection[str]) -> Iterator[L]:
        """Yield who must hear that the resources called *names* changed."""
        changed = frozenset(names)
        for interest, listeners in self._listeners.items():
            if interest.covers_any(changed):
                yield from listeners

    def named(self, names: frozenset[str]) -> frozenset[str]:
        """Return those of *names* that somebody wants by name."""
        interests = self._listeners
        return frozenset().union(*(names & each.names for each in interests))
