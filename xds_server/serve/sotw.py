"""One resource type on one state-of-the-world stream, without any I/O.

In: requests, and a table that changes. Out: what the request said of the last response,
and the next response when one is due. Listeners and clusters come as a full state;
other types only as what changed or was newly asked for.
"""

from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterator,
    Sequence,
    Set as AbstractSet,
)

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from xds_server.serve.cohort import Cohorts, Difference
from xds_server.serve.exchange import Exchange, Verdict
from xds_server.serve.response import (
    Cause,
    Delivery,
    Mode,
    Response,
    cause_of,
    encode_sotw,
)
from xds_server.serve.subscription import Subscription
from xds_server.snapshot.encoding import EncodedResource
from xds_server.snapshot.table import Table
from xds_server.xds import FULL_STATE_TYPES


class SotwSubstream:
    """The state of one type: the client is in sync with the table as of a sequence.

    Exceptions to that are the names it was promised again, the removals that were held
    back, and a full state that it is owed even if nothing changed. A client that comes
    back is sent everything it asks for: its old version says nothing of what it asked
    for then.
    """

    def __init__(self, table: Table, cohorts: Cohorts) -> None:
        self.table = table
        self.exchange = Exchange(table)
        self.subscription = Subscription()
        self.is_asked = False
        self._cohorts = cohorts
        self._is_full_state = table.type_url in FULL_STATE_TYPES
        self._cause = Cause.REQUEST
        self._has_started = False
        self._sequence = 0
        self._again: set[str] = set()
        self._held_back: frozenset[str] = frozenset()
        self._owes_answer = False  # a full state, even if it is empty

    def receive(self, request: DiscoveryRequest) -> Verdict:
        """Take in a request of this type; return what it says of the last response.

        A request with a stale nonce is ignored: another one that has seen the newest
        response follows, and lists all names too.
        """
        error = (
            request.error_detail.message if request.HasField("error_detail") else None
        )
        verdict = self.exchange.hear(request.response_nonce, error)
        if verdict is not Verdict.STALE:
            self._subscribe(frozenset(request.resource_names))
            self.exchange.quarantine.retain(self.subscription.covers)
        return verdict

    def resend(self, names: Collection[str]) -> None:
        """Send the resources called *names* again, of those the client asked for."""
        if self.subscription:
            self._again.update(
                name
                for name in names
                if self.subscription.covers(name) and self.table.get(name)
            )

    def is_stale(self) -> bool:
        """Does the client lack something that it can be told?"""
        if self._is_current():
            return False
        if self._is_full_state:
            return self._is_due(self._difference())
        is_searching = self.exchange.quarantine.is_searching
        return is_searching or bool(self._pending(self._difference()))

    def respond(self, *, holds_removals: bool = False) -> Delivery | None:
        """Return the next response, if one is due and none waits for its answer.

        *holds_removals* keeps what is gone in a full state for now.
        """
        if self._is_current():
            return None
        difference = self._difference()
        if not self._is_due(difference):
            self._sequence = self.table.sequence
            return None
        if self.exchange.is_waiting:
            return None
        rejected = self.exchange.quarantine.next_group()
        self._again.update(rejected)
        self._cause = cause_of(is_asked=self.is_asked, is_again=bool(rejected))
        if self._is_full_state:
            return self._respond_in_full(difference, holds_removals=holds_removals)
        return self._respond_in_part(difference)

    def _subscribe(self, names: frozenset[str]) -> None:
        before = self.subscription
        if self._has_started:
            subscription = before.replaced(names)
        else:
            self._has_started = True
            subscription = Subscription.first(self.table.type_url, names)
            self._sequence = self.table.sequence
        if subscription == before:
            return
        self.subscription = self._cohorts.share(subscription)
        self._again = {name for name in self._again if self.subscription.covers(name)}
        self._held_back = frozenset(filter(self.subscription.covers, self._held_back))
        added = self.subscription.names - before.names
        self._again |= added
        self._owes_answer = self._owes_answer and self.subscription.is_wildcard
        if self.subscription.is_wildcard and not before.is_wildcard:
            self._start_again()
        is_asking = bool(added) or not before.is_wildcard
        self.is_asked = (self.is_asked or is_asking) and self._owes_something()

    def _start_again(self) -> None:
        """Promise everything to a client that asks for everything now."""
        if self._is_full_state:
            self._sequence = 0
            self._owes_answer = True
        else:
            self._again.update(resource.name for resource in self.table)

    def _is_current(self) -> bool:
        return (
            self._sequence == self.table.sequence
            and not self._owes_something()
            and not self.exchange.quarantine.is_searching
        )

    def _owes_something(self) -> bool:
        return self._owes_news() or bool(self._held_back)

    def _owes_news(self) -> bool:
        return self._owes_answer or bool(self._again)

    def _is_due(self, difference: Difference) -> bool:
        is_searching = self.exchange.quarantine.is_searching
        return self._owes_something() or is_searching or bool(difference)

    def _difference(self) -> Difference:
        return self._cohorts.difference(self.table, self._sequence, self.subscription)

    def _respond_in_full(
        self, difference: Difference, *, holds_removals: bool
    ) -> Delivery | None:
        if holds_removals and not (self._owes_news() or difference.changed):
            return None
        withheld: AbstractSet[str] = frozenset()
        if not self._owes_answer:  # else all of it was asked for
            withheld = self.exchange.quarantine.withheld - self._again
        removed = self._held_back.difference(difference.changed_names)
        removed = removed.union(difference.removed) - self._again
        held_back = removed if holds_removals else frozenset[str]()
        response = self._encode(
            (self.subscription, withheld, held_back),
            lambda: tuple(self._full_state(withheld, held_back)),
        )
        changed = difference.changed_names
        if self._again:
            again = self._again.intersection(response.head.names)
            changed = tuple(again.union(changed))
        delivery = self._deliver(response, changed, tuple(removed - held_back))
        self._held_back = held_back
        return delivery

    def _respond_in_part(self, difference: Difference) -> Delivery | None:
        resources = self._pending(difference)
        if not resources:
            # There is no way to say that something does not exist.
            self._settle()
            return None
        key = (self.subscription, self._sequence, frozenset(self._again))
        response = self._encode(key, lambda: tuple(resources.values()))
        return self._deliver(response, changed=response.head.names)

    def _pending(self, difference: Difference) -> dict[str, EncodedResource]:
        """Return what a response in part would carry."""
        again = [self.table.get(name) for name in self._again]
        return {
            resource.name: resource
            for resource in (*difference.changed, *again)
            if resource is not None
        }

    def _full_state(
        self, withheld: AbstractSet[str], held_back: AbstractSet[str]
    ) -> Iterator[EncodedResource]:
        """Yield all that is wanted.

        What is *withheld*, and what is gone but *held_back*, is what it was before, if
        that is known: what is left out is deleted.
        """
        for resource in self.subscription.select(self.table):
            if resource.name not in withheld:
                yield resource
            elif before := self.table.before(resource.name):
                yield before
        for name in held_back:
            if before := self.table.before(name):
                yield before

    def _encode(
        self, key: Hashable, resources: Callable[[], Sequence[EncodedResource]]
    ) -> Response:
        table, nonce = self.table, self.exchange.next_nonce
        return self._cohorts.responses.recall(
            table,
            (Mode.SOTW, nonce, key),
            lambda: encode_sotw(table.type_url, table.version, nonce, resources()),
        )

    def _deliver(
        self,
        response: Response,
        changed: tuple[str, ...],
        removed: tuple[str, ...] = (),
    ) -> Delivery:
        self.exchange.send(response.head, about=(*changed, *removed))
        self._settle()
        return Delivery(response=response, changed=changed, cause=self._cause)

    def _settle(self) -> None:
        """Say that the client holds what the table holds now, or soon will."""
        self._sequence = self.table.sequence
        self._again = set()
        self._owes_answer = self.is_asked = False
