"""Load reports: what Envoys say of the traffic that they sent (LRS).

In: which clusters matter, and the requests of StreamLoadStats streams, as bytes. Out:
the responses that tell each client what to report and how often, and `LoadReport`
values for a sink. What they mean is known elsewhere.

Every client is asked for the clusters that matter, by name, and for nothing where none
does. It is asked again where that changes: a cluster that it has not been told since
loses its first period. A response begins a period anew, so it is sent when one has just
ended, unless the client reports nothing.

Reports cost the server time, however many clients there are: so all are asked to report
less often, twice and twice again, where more comes in a second than `MOST_PER_SECOND`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final, Protocol

from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsResponse

from xds_server.load import LoadReport
from xds_server.serve.ending import ClientGoneError
from xds_server.serve.load_decoding import decode_report
from xds_server.serve.node import Node

SENDS_ALL_CLUSTERS: Final = "envoy.lrs.supports_send_all_clusters"
"""The client feature without which `send_all_clusters` must not be used."""

MOST_PER_SECOND: Final = 16_000
"""Endpoints that may be reported in a second, by all clients: `make bench` has what one
costs. A report counts like `REPORT_WEIGHT` endpoints by itself."""

REPORT_WEIGHT: Final = 20

NOTHING_MATTERS: Final = timedelta(hours=1)
"""How often who has nothing to report says so; an Envoy takes 61 kB for it."""

SELDOM: Final = timedelta(minutes=4)
"""Who reports as seldom is not asked to report less often, whatever it costs: what is
older tells nothing, and one client that says very much is not to silence the others."""

_RELAX: Final = 0.7
"""Reports come more often again when they would fill no more than this part."""

_EVERYTHING: Final[frozenset[str] | None] = None


class LoadReportSink(Protocol):
    """Takes load reports; must be quick and must not raise."""

    def submit(self, report: LoadReport) -> None:
        """Take what a client measured since its last report: any numbers may be in it.

        Clusters that do not matter are left out.
        """
        ...


class IgnoredReports:
    """A sink for servers that have no use for reports."""

    def submit(self, report: LoadReport) -> None:
        """Drop the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """What clients are asked for: some clusters, or all (None), and how often."""

    clusters: frozenset[str] | None
    interval: timedelta

    @property
    def is_empty(self) -> bool:
        """Whether nothing matters."""
        return self.clusters == frozenset()

    def response_for(self, node: Node) -> bytes:
        """Return the encoded LoadStatsResponse for *node*.

        A client that cannot report all clusters would have to be given their names,
        which nobody knows here: it is asked for none.
        """
        return _response(self, SENDS_ALL_CLUSTERS in node.client_features)


@lru_cache(maxsize=16)
def _response(request: LoadRequest, sends_all: bool) -> bytes:  # noqa: FBT001 - cached
    response = LoadStatsResponse(
        clusters=sorted(request.clusters or ()),
        send_all_clusters=request.clusters is _EVERYTHING and sends_all,
        report_endpoint_granularity=True,
    )
    response.load_reporting_interval.FromTimedelta(
        NOTHING_MATTERS if request.is_empty else request.interval
    )
    return response.SerializeToString()


class LoadDemand:
    """What all clients are asked for now; changed by who wants to know, and by cost."""

    def __init__(self, clusters: Collection[str] | None, interval: timedelta) -> None:
        """Ask for *clusters*, None for all, every *interval* or less often.

        Raises:
            ValueError: *interval* is no time.
        """
        _check(interval)
        names = clusters if clusters is None else frozenset(clusters)
        self.request = LoadRequest(clusters=names, interval=interval)
        self.changed = asyncio.Event()
        self._shortest = interval
        self._sizes: dict[LoadStream, int] = {}
        self._total = 0

    def ask_for(
        self, clusters: Collection[str] | None, interval: timedelta | None = None
    ) -> None:
        """Let these *clusters* matter, and no others; None leaves how often."""
        names = clusters if clusters is None else frozenset(clusters)
        often = self.request.interval
        if interval is not None and interval != self._shortest:
            _check(interval)
            self._shortest = often = interval
            often = _slower(often, self._needed)
        self._replace(LoadRequest(clusters=names, interval=often))

    def count(self, stream: "LoadStream", endpoints: int) -> None:
        """Take in how much the newest report of *stream* had to say."""
        self._resize(stream, REPORT_WEIGHT + endpoints)

    def forget(self, stream: "LoadStream") -> None:
        """Take in that *stream* has ended."""
        self._resize(stream, 0)
        self._sizes.pop(stream, None)

    def _resize(self, stream: "LoadStream", size: int) -> None:
        self._total += size - self._sizes.get(stream, 0)
        self._sizes[stream] = size
        needed, interval = self._needed, self.request.interval
        interval = _slower(interval, needed)
        while interval > self._shortest and needed <= interval / 2 * _RELAX:
            interval /= 2
        if interval != self.request.interval:
            self._replace(
                LoadRequest(clusters=self.request.clusters, interval=interval)
            )

    @property
    def _needed(self) -> timedelta:
        """The time that all reports take, by what one says that says as much."""
        return timedelta(seconds=self._total / MOST_PER_SECOND)

    def _replace(self, request: LoadRequest) -> None:
        if request != self.request:
            self.request = request
            self.changed.set()
            self.changed = asyncio.Event()


def _slower(interval: timedelta, needed: timedelta) -> timedelta:
    while needed > interval and interval < SELDOM:
        interval *= 2
    return interval


def _check(interval: timedelta) -> None:
    if interval <= timedelta(0):
        message = f"reports every {interval}: must be more than 0"
        raise ValueError(message)


class LoadStream:
    """The load reports of one client, and what it is asked for."""

    def __init__(
        self,
        node: Node,
        demand: LoadDemand,
        sink: LoadReportSink,
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._node = node
        self._demand = demand
        self._sink = sink
        self._write = write
        self._reported = asyncio.Event()

    async def run(
        self, tasks: asyncio.TaskGroup, messages: AsyncIterator[bytes]
    ) -> None:
        """Take reports until the client has no more; *tasks* has what asks for them.

        Raises:
            RequestError: a message is no report.
        """
        asking = tasks.create_task(self._ask(), name="ask for load reports")
        try:
            async for message in messages:
                self._take(message)
        finally:
            asking.cancel()
            self._demand.forget(self)

    def _take(self, message: bytes) -> None:
        wanted = self._demand.request.clusters
        report = decode_report(message, self._node.id, wanted)
        self._demand.count(self, sum(len(each.endpoints) for each in report.clusters))
        self._sink.submit(report)
        self._reported.set()

    async def _ask(self) -> None:
        """Tell the client what to report, and again when it is something else."""
        asked: LoadRequest | None = None
        with suppress(ClientGoneError):
            while True:
                request, changed = self._demand.request, self._demand.changed
                if request != asked:
                    await self._write(request.response_for(self._node))
                    asked = request
                await changed.wait()
                if not asked.is_empty:
                    await self._end_of_period(asked.interval)

    async def _end_of_period(self, interval: timedelta) -> None:
        """Wait for the next report; but clients may be silent, too."""
        self._reported.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * interval.total_seconds()):
                await self._reported.wait()
