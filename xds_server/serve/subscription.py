"""What a client wants of one resource type: a value, and how requests change it.

In: the names that a request lists, adds or takes away. Out: the next subscription. What
is sent because of it is decided by the two protocol variants. The rules are those of
xds_protocol, "How the client specifies what resources to return".
"""

from collections.abc import Iterator, Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from xds_server.serve.xdstp import canonical, glob_of, is_glob
from xds_server.snapshot.encoding import EncodedResource
from xds_server.snapshot.table import Table
from xds_server.xds import FULL_STATE_TYPES

WILDCARD: Final = "*"


def resolve(names: AbstractSet[str], table: Table) -> AbstractSet[str]:
    """Return *names* with each glob that has members replaced by these."""
    globs = {name: False for name in names if is_glob(name)}
    if not globs:
        return names
    members = set()
    for resource in table:
        glob = glob_of(resource.name)
        if glob in globs:
            globs[glob] = True
            members.add(resource.name)
    return members.union(name for name in names if not globs.get(name))


@lru_cache(maxsize=1)
def _reach(names: frozenset[str]) -> frozenset[str]:
    """Return *names* and the globs that they are matched by.

    Remembered, for all subscriptions are asked about the same change in a row.
    """
    return names.union(filter(None, map(glob_of, names)))


def _named(names: AbstractSet[str]) -> frozenset[str]:
    return frozenset(map(canonical, names - {WILDCARD}))


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Subscription:
    """The names a client asked for, and whether it asked for everything.

    `is_legacy` says that it wants everything because it has never named anything.
    """

    names: frozenset[str] = frozenset()
    is_wildcard: bool = False
    is_legacy: bool = False

    def __bool__(self) -> bool:
        return self.is_wildcard or bool(self.names)

    def covers(self, name: str) -> bool:
        """Does the client want the resource called *name*?"""
        if self.is_wildcard or name in self.names:
            return True
        return glob_of(name) in self.names

    def covers_any(self, names: frozenset[str]) -> bool:
        """Does the client want one of the resources called *names*?"""
        return self.is_wildcard or not self.names.isdisjoint(_reach(names))

    def includes(self, other: "Subscription") -> bool:
        """Is all that *other* names named here too, be it the wildcard?"""
        return self.is_wildcard >= other.is_wildcard and self.names >= other.names

    def select(self, table: Table) -> Iterator[EncodedResource]:
        """Yield all of *table* that the client wants."""
        if self.is_wildcard:
            yield from table
            return
        found = {
            each.name: each
            for each in map(table.get, resolve(self.names, table))
            if each is not None
        }
        yield from found.values()

    @classmethod
    def first(cls, type_url: str, names: AbstractSet[str]) -> "Subscription":
        """Return what the first request of a type on a stream asks for."""
        if not names and type_url in FULL_STATE_TYPES:
            return cls(is_wildcard=True, is_legacy=True)
        return cls(names=_named(names), is_wildcard=WILDCARD in names)

    def replaced(self, names: AbstractSet[str]) -> "Subscription":
        """Return what a later state-of-the-world request asks for: *names* is all."""
        if self.is_legacy and not names:
            return self
        return Subscription(names=_named(names), is_wildcard=WILDCARD in names)

    def changed(
        self, *, subscribe: AbstractSet[str], unsubscribe: AbstractSet[str]
    ) -> "Subscription":
        """Return what a later delta request asks for.

        A name in both lists is subscribed: too much harms less than too little.
        """
        if not subscribe and not unsubscribe:
            return self
        names = (self.names - _named(unsubscribe)) | _named(subscribe)
        keeps = self.is_wildcard and WILDCARD not in unsubscribe
        return Subscription(
            names=names,
            is_wildcard=keeps or WILDCARD in subscribe,
        )
