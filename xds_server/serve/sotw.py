"""One resource type on one state-of-the-world stream, without any I/O.

Listeners and clusters come as a full state; other types only as what changed or was
newly asked for. What both variants have in common is in `substream`.
"""

from collections.abc import (
    Callable,
    Hashable,
    Iterable,
    Iterator,
    Sequence,
    Set as AbstractSet,
)
from dataclasses import replace

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from xds_server.serve.cohort import Difference
from xds_server.serve.exchange import Verdict
from xds_server.serve.response import Delivery, Mode, Response, encode_sotw
from xds_server.serve.subscription import Subscription, resolve
from xds_server.serve.substream import NOTHING, Substream
from xds_server.snapshot.encoding import EncodedResource
from xds_server.xds import FULL_STATE_TYPES


class SotwSubstream(Substream[DiscoveryRequest]):
    """The state of one type.

    A client that comes back is sent everything it asks for: its old version says
    nothing of what it asked for then.
    """

    mode = Mode.SOTW

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
            self.exchange.quarantine.retain(self._covers)
        return verdict

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
        self._resubscribe(subscription)
        added = resolve(self.subscription.names - before.names, self.table)
        self._again |= added
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

    @property
    def _is_full_state(self) -> bool:
        return self.table.type_url in FULL_STATE_TYPES

    def _difference(self) -> Difference:
        """Return what changed; what was sent and is gone, even if that is forgotten."""
        difference = super()._difference()
        sent = self.exchange.sent
        if not self._is_full_state or self.table.remembers(self._sequence) or not sent:
            return difference
        gone = {name for name in sent.names if self.table.get(name) is None}
        return replace(difference, removed=tuple(gone.union(difference.removed)))

    def _is_due(self, difference: Difference) -> bool:
        if self._is_full_state or self.exchange.quarantine.is_searching:
            return super()._is_due(difference)
        # There is no way to say that something does not exist.
        return bool(self._pending(difference))

    def _respond(
        self, difference: Difference, *, holds_removals: bool
    ) -> Delivery | None:
        if self._is_full_state:
            return self._respond_in_full(difference, holds_removals=holds_removals)
        return self._respond_in_part(difference)

    def _respond_in_full(
        self, difference: Difference, *, holds_removals: bool
    ) -> Delivery | None:
        if holds_removals and not (self._owes_news() or difference.changed):
            return None
        again = {each.name for each in map(self.table.get, self._again) if each}
        withheld = NOTHING
        if not self._owes_answer:  # else all of it was asked for
            withheld = self.exchange.quarantine.withheld - again
        removed = self._held_back.difference(difference.changed_names)
        removed = removed.union(difference.removed) - self._again
        held_back = removed if holds_removals else NOTHING
        response = self._encode_in_full(withheld, held_back)
        changed = difference.changed_names
        if again:
            changed = tuple(again.intersection(response.head.names).union(changed))
        return self._deliver(response, changed, removed, held_back)

    def _respond_in_part(self, difference: Difference) -> Delivery | None:
        resources = self._pending(difference)
        if not resources:
            self._settle()
            return None
        outlook = self._outlook(resources.values())
        key = (self.subscription, self._sequence, frozenset(self._again), outlook)
        response = self._encode(key, lambda: self._here(resources.values()))
        return self._deliver(response, changed=response.head.names)

    def _heartbeat(self, resources: Sequence[EncodedResource]) -> Response:
        """Return *resources* as they are, or the full state with them.

        The protocol would have them without their bodies. In the state of the world
        Envoy 1.40 passes over such (measured): the time runs out, and then it crashes;
        and a full state without bodies deletes everything.
        """
        if not self._is_full_state:
            names = frozenset(each.name for each in resources)
            key = names, self._outlook(resources)
            return self._encode(key, lambda: self._here(resources))
        return self._encode_in_full(self.exchange.quarantine.withheld, self._held_back)

    def _encode_in_full(
        self, withheld: AbstractSet[str], held_back: AbstractSet[str]
    ) -> Response:
        """Return the full state, shared by all places in which it is the same.

        What a name was before may have had forms too.
        """
        kept = map(self.table.before, (*withheld, *held_back))
        placed = self._cohorts.placed(self.table, self.subscription)
        outlook = self._outlook((*placed, *kept))
        return self._encode(
            (self.subscription, frozenset(withheld), frozenset(held_back), outlook),
            lambda: self._here(self._full_state(withheld, held_back)),
        )

    def _pending(self, difference: Difference) -> dict[str, EncodedResource]:
        """Return what a response in part would carry."""
        again = [self.table.get(name) for name in self._again]
        return {
            resource.name: resource
            for resource in (*difference.changed, *again)
            if resource is not None
        }

    def _here(
        self, resources: Iterable[EncodedResource]
    ) -> tuple[EncodedResource, ...]:
        return tuple(each.at(self.place) for each in resources)

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

        def make() -> Response:
            found = resources()  # first: a table filled by demand has its version then
            return encode_sotw(
                table.type_url,
                table.version,
                nonce,
                found,
                tells_ttl=self._tells_ttl,
            )

        return self._cohorts.responses.recall(
            table, (Mode.SOTW, self._tells_ttl, nonce, key), make
        )

    def _deliver(
        self,
        response: Response,
        changed: tuple[str, ...],
        removed: frozenset[str] = NOTHING,
        held_back: frozenset[str] = NOTHING,
    ) -> Delivery:
        about = changed + tuple(removed - held_back)
        self.exchange.send(response.head, about=about)
        self._settle(held_back)
        return Delivery(response=response, changed=changed, cause=self._cause)
