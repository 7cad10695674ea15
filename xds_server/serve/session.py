"""One discovery stream as it runs: the loops around the protocol.

In: encoded requests of a call, wake-ups from tables. Out: encoded responses for the
call, and events for observers. The protocol itself, without I/O, is in `stream`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, Generic, TypeVar

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
)
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest
from envoy.service.status.v3.csds_pb2 import ClientStatusRequest
from google.protobuf.message import DecodeError

from xds_server.serve.client import (
    ClientStatus,
    Connection,
    FollowedType,
    Observer,
    SendTimes,
    type_status,
)
from xds_server.serve.cohort import Cohorts
from xds_server.serve.ending import ClientGoneError, RequestError
from xds_server.serve.exchange import Verdict
from xds_server.serve.response import Cause, Delivery
from xds_server.serve.stream import Stream, Variant
from xds_server.serve.substream import NOTHING
from xds_server.snapshot.table import Publication
from xds_server.snapshot.view import View

MOST_PUBLICATIONS: Final = 1000
"""The last so many are followed until the client answers; one that never does holds no
more."""

Request = TypeVar("Request", DiscoveryRequest, DeltaDiscoveryRequest)
Message = TypeVar(
    "Message",
    DiscoveryRequest,
    DeltaDiscoveryRequest,
    LoadStatsRequest,
    ClientStatusRequest,
)


def decode(kind: type[Message], message: bytes) -> Message:
    """Return *message* as a message of this *kind*.

    Raises:
        RequestError: it is not one.
    """
    try:
        return kind.FromString(message)
    except DecodeError:
        text = f"not an encoded {kind.__name__}"
        raise RequestError(text) from None


def imply_type(request: Request, type_url: str) -> None:
    """Let *request*, to a service of one type, be about that type.

    Raises:
        RequestError: it says that it is about another one.
    """
    if request.type_url not in {"", type_url}:
        text = f"type_url must be {type_url} or empty (got {request.type_url})"
        raise RequestError(text)
    request.type_url = type_url


class Session(Generic[Request]):
    """Runs one stream until its client leaves or it must end.

    It is about all types, or about *type_url* alone.

    A client that does not read keeps at most one response a type waiting: `write`
    returns when there is room, and the next response is made only then. A response that
    is not answered within *answer_timeout* counts as rejected, and what has changed
    since then is sent.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        variant: Variant[Request],
        type_url: str | None,
        view: View,
        cohorts: Cohorts,
        observers: Sequence[Observer],
        answer_timeout: timedelta,
    ) -> None:
        self.connection = connection
        self._wake = asyncio.Event()
        self._request: type[Request] = variant.request
        self._type_url = type_url
        self._stream: Stream[Request] = Stream(
            view=view,
            variant=variant,
            cohorts=cohorts,
            wake=self._hear,
            features=connection.node.client_features,
        )
        self._observers = observers
        self._answer_timeout = answer_timeout
        self._publications: list[Publication] = []
        self._due_since: float | None = None
        self._deadlines: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._beaten_at: dict[timedelta, float] = {}
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def types(self) -> Iterator[FollowedType]:
        """The state of each type that the client follows or followed."""
        for substream in self._stream.substreams.values():
            if substream.subscription or substream.exchange.sent:
                yield substream

    @property
    def status(self) -> ClientStatus:
        """What the client holds now."""
        return ClientStatus(
            connection=self.connection, types=tuple(map(type_status, self.types))
        )

    async def run(
        self,
        tasks: asyncio.TaskGroup,
        first: Request,
        messages: AsyncIterator[bytes],
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Answer *first* and *messages* until there are no more of them.

        *write* may raise ClientGoneError.

        Raises:
            StreamEndError: here or in *tasks*: the stream must end.
        """
        try:
            self._receive(first)
            sender = tasks.create_task(self._send(write), name="send responses")
            async for message in messages:
                self._receive(decode(self._request, message))
            sender.cancel()
        finally:
            self._stream.close()
            self._settle(is_closing=True)
            if self._alarm is not None:
                self._alarm.cancel()

    def _hear(self, publication: Publication) -> None:
        """Take on a publication: the client is to answer it."""
        now = self._loop.time()
        if len(self._publications) >= MOST_PUBLICATIONS:
            self._finish(self._publications.pop(0))
        publication.outstanding += 1
        if publication.heard_at is None:
            publication.heard_at = now
        self._publications.append(publication)
        if self._due_since is None:
            self._due_since = now
        self._wake.set()

    def _receive(self, request: Request) -> None:
        if self._type_url is not None:
            imply_type(request, self._type_url)
        before = self._stream.substreams.get(request.type_url)
        wanted = before.subscription if before else None
        verdict = self._stream.receive(request)
        substream = self._stream.substreams[request.type_url]
        if substream.subscription != wanted:
            for observer in self._observers:
                observer.on_subscribe(
                    self.connection, request.type_url, substream.subscription
                )
        if substream.kept:
            for observer in self._observers:
                observer.on_kept(self.connection, request.type_url, substream.kept)
            substream.kept = NOTHING
        if verdict in {Verdict.ACK, Verdict.NACK}:
            self._deadlines.pop(request.type_url, None)
        for observer in self._observers:
            self._tell(observer, verdict, request.type_url)
        self._settle()
        if self._stream.is_behind:
            self._wake.set()

    def _tell(self, observer: Observer, verdict: Verdict, type_url: str) -> None:
        """Tell *observer* what the client said of its last response."""
        exchange = self._stream.substreams[type_url].exchange
        if verdict is Verdict.ACK and exchange.sent:
            observer.on_ack(self.connection, exchange.sent)
        elif verdict is Verdict.NACK and exchange.newest_rejection:
            observer.on_nack(self.connection, exchange.newest_rejection)
        elif verdict is Verdict.STALE:
            observer.on_stale(self.connection, type_url)

    def _settle(self, *, is_closing: bool = False) -> None:
        """Finish the publications that the client has answered, oldest first."""
        while self._publications:
            if not is_closing and not self._stream.has_answered(self._publications[0]):
                return
            self._finish(self._publications.pop(0))

    def _finish(self, publication: Publication) -> None:
        """Await no answer to *publication* any more."""
        publication.outstanding -= 1
        if publication.outstanding or publication.heard_at is None:
            return
        now = self._loop.time()
        for observer in self._observers:
            observer.on_converged(timedelta(seconds=now - publication.heard_at))

    async def _send(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        with suppress(ClientGoneError):
            while True:
                self._wake.clear()
                while (delivery := self._stream.next_response()) is not None:
                    made_at = self._loop.time()
                    self._announce(delivery)
                    await write(delivery.response.body)
                    self._report(delivery, made_at, self._loop.time())
                if not self._stream.is_behind:
                    self._due_since = None
                self._settle()
                self._set_alarm()
                await self._wake.wait()

    def _announce(self, delivery: Delivery) -> None:
        for observer in self._observers:
            observer.on_response(self.connection, delivery)

    def _report(self, delivery: Delivery, made_at: float, sent_at: float) -> None:
        """Tell how long it took; from now on the client has time to answer."""
        type_url = delivery.response.head.type_url
        if self._stream.substreams[type_url].exchange.is_waiting:
            timeout = self._answer_timeout.total_seconds()
            self._deadlines[type_url] = sent_at + timeout
        is_change = delivery.cause is Cause.CHANGE and self._due_since is not None
        queued = timedelta(seconds=made_at - (self._due_since or made_at))
        times = SendTimes(
            queued=queued if is_change else None,
            sent=timedelta(seconds=sent_at - made_at),
        )
        for observer in self._observers:
            observer.on_sent(self.connection, delivery, times)

    def _set_alarm(self) -> None:
        """Let `_ring` be called once an answer is overdue or a heartbeat is due.

        It may ring early and find nothing: most answers come in time, and a timer for
        each would cost more than the answer.
        """
        times = list(self._deadlines.values())
        times += map(self._due_at, self._stream.heartbeat_intervals)
        due = min(times, default=None)
        if due is None or (self._alarm and self._alarm.when() <= due):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._loop.time()
        self._give_up(now)
        intervals = self._stream.heartbeat_intervals
        due = {interval for interval in intervals if now >= self._due_at(interval)}
        if due:
            self._beaten_at.update(dict.fromkeys(due, now))
            self._stream.beat(due)
        self._wake.set()

    def _due_at(self, interval: timedelta) -> float:
        """Return when there must be a heartbeat of what is due each *interval*."""
        before = self._beaten_at.get(interval, self._started_at)
        return before + interval.total_seconds()

    def _give_up(self, now: float) -> None:
        due = [type_url for type_url, when in self._deadlines.items() if when <= now]
        message = f"no answer in {self._answer_timeout.total_seconds():g} s"
        for type_url in due:
            del self._deadlines[type_url]
            rejection = self._stream.substreams[type_url].exchange.give_up(message)
            if rejection is not None:
                for observer in self._observers:
                    observer.on_nack(self.connection, rejection)
