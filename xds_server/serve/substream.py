"""One resource type on one stream, without any I/O: what both variants have in common.

In: requests, and a table that changes. Out: what a request said of the last response,
and the next response when one is due. How requests and responses look is known by
`delta` and `sotw`.

The client is in sync with the table as of a sequence; no list of what it holds is kept.
Exceptions are the names it was promised again, the removals that were held back, and an
answer that it is owed even if there is nothing to tell.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterable, Sequence, Set as AbstractSet
from datetime import timedelta
from typing import ClassVar, Final, Generic, TypeVar

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
)

from xds_server.serve.cohort import Cohorts, Difference
from xds_server.serve.exchange import Exchange, Verdict
from xds_server.serve.response import (
    KNOWS_TTL,
    UNWRAPS,
    Cause,
    Delivery,
    Mode,
    Response,
    cause_of,
)
from xds_server.serve.subscription import Subscription
from xds_server.snapshot.encoding import EncodedResource
from xds_server.snapshot.table import Table
from xds_server.xds import NOWHERE, Place

NOTHING: Final[frozenset[str]] = frozenset()
"""No names: kept once, for every stream holds it nearly always."""

Request = TypeVar("Request", DiscoveryRequest, DeltaDiscoveryRequest)


class Substream(ABC, Generic[Request]):
    """The state of one type on a stream of a client with some *features* at a *place*.

    A resource that has forms is sent in that of the place; all else of it, its name and
    when it changed, is the same everywhere.
    """

    mode: ClassVar[Mode]

    def __init__(
        self,
        table: Table,
        cohorts: Cohorts,
        features: AbstractSet[str] = frozenset(),
        place: Place = NOWHERE,
    ) -> None:
        self.table = table
        self.place = place
        self.exchange = Exchange(table, place)
        self.subscription = Subscription()
        self.is_asked = False
        self.kept = NOTHING
        """What the client came back with another one of, and was left with that."""
        self._cohorts = cohorts
        needed = {KNOWS_TTL, UNWRAPS} if self.mode is Mode.SOTW else {KNOWS_TTL}
        self._tells_ttl = features >= needed
        self._cause = Cause.REQUEST
        self._has_started = False
        self._sequence = 0
        self._again: set[str] = set()
        self._held_back = NOTHING
        self._owes_answer = False  # even if it is empty

    @abstractmethod
    def receive(self, request: Request) -> Verdict:
        """Take in a request of this type; return what it says of the last response."""

    @abstractmethod
    def _respond(
        self, difference: Difference, *, holds_removals: bool
    ) -> Delivery | None:
        """Return what is due, if it can be told; *difference* is part of it."""

    @abstractmethod
    def _heartbeat(self, resources: Sequence[EncodedResource]) -> Response:
        """Return what lets the client go on with *resources*."""

    def resend(self, names: Collection[str]) -> None:
        """Send the resources called *names* again, of those the client asked for."""
        if self.subscription:
            self._again.update(
                name for name in names if self._covers(name) and self.table.get(name)
            )

    def is_stale(self) -> bool:
        """Does the client lack something that it can be told, sent already or not?"""
        return not self.is_current and self._is_due(self._difference())

    def has_answered(self, sequence: int) -> bool:
        """Has the client answered what the table was at *sequence*, or need it not?"""
        exchange = self.exchange
        if exchange.answered_sequence >= sequence or not self.subscription:
            return True
        return not exchange.is_waiting and not self.is_stale()

    def respond(self, *, holds_removals: bool = False) -> Delivery | None:
        """Return the next response, if one is due and none waits for its answer.

        *holds_removals* keeps back what is gone, but for names just asked for.

        Raises:
            LaggingError: the client must come back and say what it holds.
        """
        if self.is_current:
            return None
        difference = self._difference()
        if not self._is_due(difference):
            self._settle()
            return None
        if self.exchange.is_waiting:
            return None
        rejected = self.exchange.quarantine.next_group()
        self._again.update(rejected)
        self._cause = cause_of(is_asked=self.is_asked, is_again=bool(rejected))
        return self._respond(difference, holds_removals=holds_removals)

    def beat(self, intervals: AbstractSet[timedelta]) -> Delivery | None:
        """Return what a client has to hear of again when *intervals* are over, if any.

        A heartbeat is only for content that the client holds: what it has not accepted
        is left out, and what is due comes first.
        """
        is_quiet = not self.exchange.is_waiting and self.is_current
        if not (is_quiet and self.exchange.accepted_version):
            return None
        kinds = [self.table.refreshed, *([self.table.expiring] * self._tells_ttl)]
        names = {n for kind in kinds for each in intervals for n in kind.names(each)}
        withheld = self.exchange.quarantine.withheld
        named = map(self.table.get, sorted(filter(self._covers, names)))
        resources = [each for each in named if each and each.name not in withheld]
        if not resources:
            return None
        response = self._heartbeat(resources)
        self.exchange.send(response.head, about=())
        return Delivery(response=response, changed=(), cause=Cause.HEARTBEAT)

    def _resubscribe(self, subscription: Subscription) -> None:
        """Let the client want *subscription* from now on."""
        before = self.subscription
        self.subscription = self._cohorts.share(subscription)
        if subscription.includes(before):
            return
        self._again = set(filter(self._covers, self._again))
        self._held_back = frozenset(filter(self._covers, self._held_back))
        self._owes_answer = self._owes_answer and subscription.is_wildcard

    def _covers(self, name: str) -> bool:
        """Does the client want what is called *name*, by whatever name?"""
        return any(map(self.subscription.covers, self.table.names_of(name)))

    @property
    def is_current(self) -> bool:
        """Is there certainly nothing to send?"""
        return (
            self._sequence == self.table.sequence
            and not self._owes_something()
            and not self.exchange.quarantine.is_searching
        )

    def _is_due(self, difference: Difference) -> bool:
        is_searching = self.exchange.quarantine.is_searching
        return self._owes_something() or is_searching or bool(difference)

    def _owes_something(self) -> bool:
        return self._owes_news() or bool(self._held_back)

    def _owes_news(self) -> bool:
        return self._owes_answer or bool(self._again)

    def _outlook(self, resources: Iterable[EncodedResource | None]) -> Hashable:
        """Return what tells apart places in which *resources* have other forms."""
        near = {
            each.name: each.nearest(self.place)
            for each in resources
            if each is not None and each.forms
        }
        return frozenset(near.items())

    def _difference(self) -> Difference:
        return self._cohorts.difference(self.table, self._sequence, self.subscription)

    def _settle(self, held_back: frozenset[str] = NOTHING) -> None:
        """Say that the client will hold what the table holds now, and *held_back*."""
        self._sequence = self.table.sequence
        self._again = set()
        self._held_back = held_back
        self._owes_answer = self.is_asked = False
