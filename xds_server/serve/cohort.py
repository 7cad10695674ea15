"""What streams in equal state share, so that it is worked out once.

In: a table and the state of a stream. Out: what the table has for it, or the response
itself, out of memory where another stream was in the same state. Every stream asks
about a table's newest sequence, so what belongs to an older one is dropped.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from weakref import ReferenceType, WeakKeyDictionary, ref

from xds_server.serve.response import Response
from xds_server.serve.subscription import Subscription
from xds_server.snapshot.encoding import EncodedResource, by_lens
from xds_server.snapshot.table import Table

REMEMBERED: Final = 64
"""How many states of streams are remembered for the newest sequence of a table."""

T = TypeVar("T")


class Memo(Generic[T]):
    """Values that belong to the newest sequence of a table."""

    def __init__(self) -> None:
        self._remembered: WeakKeyDictionary[Table, tuple[int, dict[Hashable, T]]] = (
            WeakKeyDictionary()
        )

    def recall(self, table: Table, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of *key* at the table's sequence, made if it is not there.

        *key* must hold all that `make` depends on besides the content of *table*.
        """
        sequence, values = self._remembered.get(table, (-1, {}))
        if sequence != table.sequence:
            values = {}
            self._remembered[table] = (table.sequence, values)
        if key in values:
            return values[key]
        value = make()
        if len(values) >= REMEMBERED:
            del values[next(iter(values))]
        values[key] = value
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changed for a subscription since some sequence.

    `placed` are those of `changed` that have other forms in some places, one for each
    way in which these differ.
    """

    changed: tuple[EncodedResource, ...] = ()
    placed: tuple[EncodedResource, ...] = ()
    changed_names: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


class Cohorts:
    """The memory of one server; a cohort is the streams that share a key."""

    def __init__(self) -> None:
        self._differences = Memo[Difference]()
        self._subscriptions: WeakKeyDictionary[
            Subscription, ReferenceType[Subscription]
        ] = WeakKeyDictionary()
        self.responses = Memo[Response]()

    def share(self, subscription: Subscription) -> Subscription:
        """Return the one subscription that all streams with an equal one hold.

        A thousand names are then kept once, and looked up without comparing them.
        """
        reference = self._subscriptions.get(subscription)
        shared = reference() if reference else None
        if shared is None:
            self._subscriptions[subscription] = ref(subscription)
            return subscription
        return shared

    def placed(
        self, table: Table, subscription: Subscription
    ) -> tuple[EncodedResource, ...]:
        """Return what *subscription* selects in *table* and is another in some places.

        One for each way in which these differ. A full state asks for it: there are few,
        and a scan for each stream would cost as much as the response that they share.
        It is remembered beside the differences, so that whoever asks for one of a newer
        sequence drops it, too.
        """
        found = self._differences.recall(
            table,
            subscription,
            lambda: Difference(placed=by_lens(subscription.select(table))),
        )
        return found.placed

    def difference(
        self, table: Table, sequence: int, subscription: Subscription
    ) -> Difference:
        """Return what changed in *table* after *sequence* for *subscription*."""
        return self._differences.recall(
            table,
            (sequence, subscription),
            lambda: _difference(table, sequence, subscription),
        )


def _difference(table: Table, sequence: int, subscription: Subscription) -> Difference:
    entries = [
        entry
        for entry in table.changed_since(sequence)
        if subscription.covers(entry.name)
        or any(map(subscription.covers, entry.aliases))
    ]
    changed = tuple(e.resource for e in entries if e.resource is not None)
    return Difference(
        changed=changed,
        placed=by_lens(changed),
        changed_names=tuple(resource.name for resource in changed),
        removed=tuple(e.name for e in entries if e.resource is None),
    )
