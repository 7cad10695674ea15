"""What a client wants of one resource type: a value, and how requests change it.

In: the names that a request lists, adds or takes away. Out: the next subscription. What
is sent because of it is decided by the two protocol variants. The rules are those of
xds_protocol, "How the client specifies what resources to return".
"""

from collections.abc import Iterator, Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from xds_server.snapshot.encoding import EncodedResource
from xds_server.snapshot.table import Table
from xds_server.xds import FULL_STATE_TYPES

WILDCARD: Final = "*"


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
        return self.is_wildcard or name in self.names

    def select(self, table: Table) -> Iterator[EncodedResource]:
        """Yield all of *table* that the client wants."""
        if self.is_wildcard:
            yield from table
            return
        for name in self.names:
            resource = table.get(name)
            if resource is not None:
                yield resource

    @classmethod
    def first(cls, type_url: str, names: AbstractSet[str]) -> "Subscription":
        """Return what the first request of a type on a stream asks for."""
        if not names and type_url in FULL_STATE_TYPES:
            return cls(is_wildcard=True, is_legacy=True)
        return cls(names=frozenset(names - {WILDCARD}), is_wildcard=WILDCARD in names)

    def replaced(self, names: AbstractSet[str]) -> "Subscription":
        """Return what a later state-of-the-world request asks for: *names* is all."""
        if self.is_legacy and not names:
            return self
        return Subscription(
            names=frozenset(names - {WILDCARD}), is_wildcard=WILDCARD in names
        )

    def changed(
        self, *, subscribe: AbstractSet[str], unsubscribe: AbstractSet[str]
    ) -> "Subscription":
        """Return what a later delta request asks for.

        A name in both lists is subscribed: too much harms less than too little.
        """
        if not subscribe and not unsubscribe:
            return self
        names = (self.names - unsubscribe) | subscribe
        keeps = self.is_wildcard and WILDCARD not in unsubscribe
        return Subscription(
            names=frozenset(names - {WILDCARD}),
            is_wildcard=keeps or WILDCARD in subscribe,
        )
