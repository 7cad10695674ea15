"""One stream, without any I/O: it is fed with requests and asked for responses.

In: requests in arrival order, and a view whose tables change under it. Out: one
response at a time, in the order that keeps traffic flowing. Reading, writing and waking
up are done by the gRPC shell; what one type needs is known by its sub-stream.

The order is make before break (xds_protocol, "Eventual consistency considerations"):

- Clusters, assignments, listeners, routes; then clusters and assignments that are gone,
  and extensions and secrets.
- A cluster that was sent needs its assignment again, even if that is unchanged, or it
  warms until a timeout. Here an assignment has the name of its cluster.
- Assignments never wait: Envoy acknowledges clusters once their assignments are there.
- Changed listeners and routes wait for that acknowledgement, which says that the
  clusters they refer to are ready; what a client asks for never waits.
"""

from collections.abc import Mapping, Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic, TypeVar

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
)

from xds_server.serve.cohort import Cohorts
from xds_server.serve.delta import DeltaSubstream
from xds_server.serve.ending import RequestError
from xds_server.serve.exchange import Verdict
from xds_server.serve.response import KNOWS_TTL, Delivery, Mode
from xds_server.serve.sotw import SotwSubstream
from xds_server.serve.substream import Substream
from xds_server.snapshot.table import Listener, Publication
from xds_server.snapshot.view import View
from xds_server.xds import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    PUSH_ORDER,
    ROUTE,
    SECRET,
    VIRTUAL_HOST,
)

MOST_TYPES: Final = 64
"""More types than this on one stream are refused; xDS defines about a dozen."""

_REFERRED_TO: Final = (CLUSTER, ENDPOINT, EXTENSION, SECRET)
_REFERRING: Final = (LISTENER, ROUTE)
_POSITIONS: Final = {type_url: place for place, type_url in enumerate(PUSH_ORDER)}


Request = TypeVar("Request", DiscoveryRequest, DeltaDiscoveryRequest)
Request_contra = TypeVar("Request_contra", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant(Generic[Request]):
    """A variant of the protocol: its requests, and the state of one type in it."""

    request: type[Request]
    substream: type[Substream[Request]]


SOTW: Final = Variant(request=DiscoveryRequest, substream=SotwSubstream)
DELTA: Final = Variant(request=DeltaDiscoveryRequest, substream=DeltaSubstream)


class Stream(Generic[Request]):
    """All types of one client connection.

    *wake* is called whenever something that the client asked for has changed; the
    stream follows its tables until `close`.
    """

    def __init__(
        self,
        *,
        view: View,
        variant: Variant[Request],
        cohorts: Cohorts,
        wake: Listener,
        features: AbstractSet[str] = frozenset(),
    ) -> None:
        self._view = view
        self._variant: Variant[Request] = variant
        self._cohorts = cohorts
        self._wake = wake
        self._features = features
        self._beating: list[str] = []
        self._beats: frozenset[timedelta] = frozenset()
        self._substreams: dict[str, Substream[Request]] = {}

    @property
    def substreams(self) -> Mapping[str, Substream[Request]]:
        """The state of each type that the client follows, in push order."""
        return self._substreams

    @property
    def is_behind(self) -> bool:
        """Is there something to send, now or once the client has answered?"""
        substreams = self._substreams.values()
        return bool(self._beating) or not all(each.is_current for each in substreams)

    def receive(self, request: Request) -> Verdict:
        """Take in *request*; return what it says of the last response of its type.

        Raises:
            RequestError: no type URL, or too many types.
        """
        if not request.type_url:
            message = "type_url is required on an aggregated stream"
            raise RequestError(message)
        substream = self._substream(request.type_url)
        before = substream.subscription
        verdict = substream.receive(request)
        if substream.subscription is not before:
            substream.table.followers.remove(before, self._wake)
            substream.table.followers.add(substream.subscription, self._wake)
        return verdict

    def next_response(self) -> Delivery | None:
        """Return the response to send now, with the newest content; None to wait.

        Raises:
            LaggingError: the client must come back and say what it holds.
        """
        referring = (self._substreams.get(type_url) for type_url in _REFERRING)
        is_referred_to = any(each and each.is_stale() for each in referring)
        for type_url, substream in self._substreams.items():
            if self._must_wait(type_url, substream):
                continue
            holds_removals = is_referred_to and type_url in _REFERRED_TO
            delivery = substream.respond(holds_removals=holds_removals)
            if delivery is not None:
                if type_url == CLUSTER and delivery.changed:
                    self._substream(ENDPOINT).resend(delivery.changed)
                return delivery
        return self._next_heartbeat()

    @property
    def heartbeat_intervals(self) -> AbstractSet[timedelta]:
        """How often to `beat`, for all that has to be heard of as often."""
        tables = [each.table for each in self._substreams.values()]
        found = {interval for table in tables for interval in table.refreshed.intervals}
        if KNOWS_TTL in self._features:
            found.update(*(table.expiring.intervals for table in tables))
        return found

    def beat(self, intervals: AbstractSet[timedelta]) -> None:
        """Say that *intervals* are over: `next_response` returns what is due then."""
        self._beats = self._beats.union(intervals)
        self._beating = list(self._substreams)

    def _next_heartbeat(self) -> Delivery | None:
        while self._beating:
            delivery = self._substreams[self._beating.pop()].beat(self._beats)
            if delivery is not None:
                return delivery
        self._beats = frozenset()
        return None

    def has_answered(self, publication: Publication) -> bool:
        """Has the client answered all of *publication* that concerns it?"""
        return all(
            substream.has_answered(publication.sequences[table])
            for substream in self._substreams.values()
            if (table := substream.table) in publication.sequences
        )

    def close(self) -> None:
        """Stop following the tables."""
        for substream in self._substreams.values():
            substream.table.followers.remove(substream.subscription, self._wake)

    def _substream(self, type_url: str) -> Substream[Request]:
        substream = self._substreams.get(type_url)
        if substream is not None:
            return substream
        if type_url == VIRTUAL_HOST and self._variant.substream.mode is Mode.SOTW:
            message = "virtual hosts are served in delta alone (xds_protocol, VHDS)"
            raise RequestError(message)
        if len(self._substreams) >= MOST_TYPES:
            message = f"more than {MOST_TYPES} resource types on one stream"
            raise RequestError(message)
        table = self._view.table(type_url)
        self._substreams[type_url] = self._variant.substream(
            table, self._cohorts, self._features, self._view.place
        )
        last = len(_POSITIONS)
        self._substreams = dict(
            sorted(
                self._substreams.items(),
                key=lambda item: _POSITIONS.get(item[0], last),
            )
        )
        return self._substreams[type_url]

    def _must_wait(self, type_url: str, substream: Substream[Request]) -> bool:
        clusters = self._substreams.get(CLUSTER)
        return (
            type_url in _REFERRING
            and clusters is not None
            and clusters.exchange.is_waiting
            and not substream.is_asked
        )
