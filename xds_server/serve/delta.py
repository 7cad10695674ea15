"""One resource type on one delta stream, without any I/O.

In: requests, and a table that changes. Out: what the request said of the last response,
and the next response when one is due: what changed, what was asked for, what is gone.
"""

from collections.abc import Collection, Mapping, Sequence, Set as AbstractSet
from typing import Final

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

from xds_server.serve.cohort import Cohorts, Difference
from xds_server.serve.ending import LaggingError
from xds_server.serve.exchange import Verdict
from xds_server.serve.response import (
    Cause,
    Delivery,
    Mode,
    Response,
    encode_delta,
    encode_heartbeat,
)
from xds_server.serve.subscription import WILDCARD, Subscription, resolve
from xds_server.serve.substream import NOTHING, Substream
from xds_server.serve.xdstp import canonical
from xds_server.snapshot.encoding import EncodedResource
from xds_server.snapshot.table import Table
from xds_server.xds import NOWHERE, Place

MOST_DISTRUSTED: Final = 1000
"""So many names are remembered before a type's first request; then none is trusted."""


class DeltaSubstream(Substream[DeltaDiscoveryRequest]):
    """The state of one type."""

    mode = Mode.DELTA

    def __init__(
        self,
        table: Table,
        cohorts: Cohorts,
        features: AbstractSet[str] = frozenset(),
        place: Place = NOWHERE,
    ) -> None:
        super().__init__(table, cohorts, features, place)
        self._distrusted: tuple[Collection[str], ...] | None = ()

    def receive(self, request: DeltaDiscoveryRequest) -> Verdict:
        """Take in a request of this type; return what it says of the last response.

        What it subscribes to counts even if its nonce is stale: no later request will
        repeat it.
        """
        error = (
            request.error_detail.message if request.HasField("error_detail") else None
        )
        verdict = self.exchange.hear(request.response_nonce, error)
        subscribe = frozenset(map(canonical, request.resource_names_subscribe))
        unsubscribe = frozenset(map(canonical, request.resource_names_unsubscribe))
        if self._has_started:
            self._change(subscribe, unsubscribe)
        else:
            self._start(subscribe, request.initial_resource_versions)
        self.exchange.quarantine.retain(self._covers)
        return verdict

    def resend(self, names: Collection[str]) -> None:
        """Send the resources called *names* again, of those the client asked for."""
        if self._has_started:
            super().resend(names)
        else:
            self._distrust(names)

    def respond(self, *, holds_removals: bool = False) -> Delivery | None:
        """Return the next response; see Substream."""
        if not self.table.remembers(self._sequence) and not self.is_current:
            self._catch_up()
        return super().respond(holds_removals=holds_removals)

    def _catch_up(self) -> None:
        """Make up for removals that are forgotten.

        Names that are not there are told once more. What a wildcard client holds cannot
        be known; it says so when it comes back.
        """
        if self.subscription.is_wildcard:
            message = f"too far behind in {self.table.type_url}: reconnect"
            raise LaggingError(message)
        names = self.subscription.names
        self._again.update(name for name in names if self.table.get(name) is None)

    def _start(self, subscribe: frozenset[str], versions: Mapping[str, str]) -> None:
        """Take in the first request: *versions* are those the client says it holds."""
        self._has_started = True
        self._resubscribe(Subscription.first(self.table.type_url, subscribe))
        self._again = set(resolve(self.subscription.names, self.table))
        self._sequence = self.table.sequence
        if versions:
            self._promise_difference(versions)
            if not self._again:
                self.exchange.sent_sequence = self.table.sequence
                self.exchange.accept(self.table.version)
        elif self.subscription.is_wildcard:
            self._sequence = 0
            self._owes_answer = True
        self.is_asked = self._owes_something()
        self._distrusted = ()

    def _promise_difference(self, versions: Mapping[str, str]) -> None:
        if self.subscription.is_wildcard:
            self._again.update(resource.name for resource in self.table)
        self._again.update(name for name in versions if self._covers(name))
        if self._distrusted is None:
            return
        kept = set[str]()
        for name, version in versions.items():
            resource = self.table.get(name)
            if resource is None or resource.refresh is not None:
                continue  # the time since the client was last sent it is not known
            here = resource.at(self.place)
            if here.version == version:
                self._again.discard(name)
            elif here.yields_to(version):
                self._again.discard(name)
                kept.add(name)
        self._again.update(
            name
            for names in self._distrusted
            for name in names
            if self._covers(name) and self.table.get(name)
        )
        self.kept = frozenset(kept - self._again)

    def _distrust(self, names: Collection[str]) -> None:
        """Remember that the client needs *names* whatever it will say that it holds.

        They are kept as they come: all streams that got a response share its names.
        """
        if self._distrusted is None:
            return
        if sum(map(len, self._distrusted)) + len(names) > MOST_DISTRUSTED:
            self._distrusted = None
        else:
            self._distrusted = (*self._distrusted, names)

    def _change(self, subscribe: frozenset[str], unsubscribe: frozenset[str]) -> None:
        if not subscribe and not unsubscribe:
            return
        self._resubscribe(
            self.subscription.changed(subscribe=subscribe, unsubscribe=unsubscribe)
        )
        again = set(resolve(subscribe, self.table))
        if self.subscription.is_wildcard:
            # The client may have dropped what it unsubscribed, but still wants it.
            again |= resolve(unsubscribe, self.table)
        if WILDCARD in subscribe:
            again.update(resource.name for resource in self.table)
        again.discard(WILDCARD)
        self._again |= again
        self._owes_answer = self._owes_answer or WILDCARD in subscribe
        is_asking = bool(again) or WILDCARD in subscribe
        self.is_asked = (self.is_asked or is_asking) and self._owes_something()

    def _respond(
        self, difference: Difference, *, holds_removals: bool
    ) -> Delivery | None:
        again = {name: self.table.get(name) for name in self._again}
        missing = {name for name, resource in again.items() if resource is None}
        gone = self._held_back.difference(difference.changed_names)
        gone = gone.union(difference.removed) - again.keys()
        removed = missing if holds_removals else missing | gone
        response = None
        if difference.changed or again or removed or self._owes_answer:
            response = self._encode(difference, again, removed)
        self._settle(gone if holds_removals else NOTHING)
        if response is None:
            return None
        head = response.head
        self.exchange.send(head, about=head.names + head.removed)
        return Delivery(response=response, changed=head.names, cause=self._cause)

    def _heartbeat(self, resources: Sequence[EncodedResource]) -> Response:
        """Return *resources*, most of them without their bodies."""
        table, nonce = self.table, self.exchange.next_nonce

        def encode() -> Response:
            return encode_heartbeat(
                table.type_url,
                table.version,
                nonce,
                [each.at(self.place) for each in resources],
                tells_ttl=self._tells_ttl,
            )

        names = frozenset(each.name for each in resources)
        variant = (Cause.HEARTBEAT, self._tells_ttl, self._outlook(resources))
        return self._cohorts.responses.recall(table, (variant, nonce, names), encode)

    def _encode(
        self,
        difference: Difference,
        again: Mapping[str, EncodedResource | None],
        removed: AbstractSet[str],
    ) -> Response:
        table, nonce = self.table, self.exchange.next_nonce

        def encode() -> Response:
            resources = {resource.name: resource for resource in difference.changed}
            resources.update({r.name: r for r in again.values() if r is not None})
            return encode_delta(
                table.type_url,
                table.version,
                nonce,
                [each.at(self.place) for each in resources.values()],
                removed,
                tells_ttl=self._tells_ttl,
            )

        key = (self.subscription, self._sequence, frozenset(again), frozenset(removed))
        outlook = self._outlook((*difference.placed, *again.values()))
        variant = (Mode.DELTA, self._tells_ttl, outlook)
        return self._cohorts.responses.recall(table, (variant, nonce, key), encode)
