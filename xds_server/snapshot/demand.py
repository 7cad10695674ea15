"""A table that is filled by demand: a resource is made when somebody names it.

In: how to make a resource. Out: a table like any other to those who ask by name. What
nobody has asked for costs nothing; what somebody has is in the table. Whoever publishes
asks which names are still wanted when they change, and keeps these up to date; the
others leave. Who wants what is known by the followers, so nothing is kept of names.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from xds_server.snapshot.encoding import EncodedResource, digest_of, encode
from xds_server.snapshot.table import Table
from xds_server.xds import Resource

Make = Callable[[str], Resource | None]
"""Returns the resource of a name, None if there is none."""

_REMEMBERED: Final = 4096


class DemandTable(Table):
    """A `Table` whose resources *make* makes when they are asked for.

    *otherwise* is asked for the names that have none: what it returns, always the same
    for a name, is sent like a resource but is none of the table's.
    """

    def __init__(
        self, type_url: str, make: Make, otherwise: Make | None = None
    ) -> None:
        super().__init__(type_url)
        self._make = make

        @lru_cache(maxsize=_REMEMBERED if otherwise else 0)
        def encoded(name: str) -> EncodedResource | None:
            resource = otherwise(name) if otherwise else None
            return None if resource is None else encode(resource, digest_of(resource))

        self._otherwise = encoded

    def get(self, name: str) -> EncodedResource | None:
        """Return the resource called *name*, made if it can be."""
        found = super().get(name)
        if found is not None:
            return found
        made = self._make(name)
        return self._otherwise(name) if made is None else self.admit(made)

    def sift(self, names: frozenset[str]) -> frozenset[str]:
        """Return those of *names*, about to change, that somebody must hear of.

        They are those that are wanted by name, be they there or not, and those that are
        there if somebody wants everything. The others leave the table.
        """
        named = self.followers.named(names)
        rest = frozenset(name for name in names - named if Table.get(self, name))
        is_heard_of = bool(rest) and any(True for _ in self.followers.concerned(rest))
        self.dismiss(() if is_heard_of else rest)
        return named | rest if is_heard_of else named
