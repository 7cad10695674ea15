"""The gRPC shell: listens, tells calls apart, and turns endings into gRPC statuses.

In: connections of Envoys and other xDS clients. Out: the discovery services in both
variants, LRS and CSDS.
Messages pass as bytes: requests are decoded by upb, responses are joined encodings.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, NoReturn, Protocol, TypeVar

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types
from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
)
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest
from envoy.service.status.v3.csds_pb2 import ClientStatusRequest

from xds_server.serve.binding import bind
from xds_server.serve.client import ClientStatus, Connection, Observer
from xds_server.serve.cohort import Cohorts
from xds_server.serve.csds import client_status
from xds_server.serve.ending import (
    ClientGoneError,
    NotReadyError,
    RequestError,
    StoppingError,
    StreamEndError,
)
from xds_server.serve.fetch import fetch
from xds_server.serve.lrs import (
    IgnoredReports,
    LoadDemand,
    LoadReportSink,
    LoadStream,
)
from xds_server.serve.node import Node, ViewDirectory, node_of
from xds_server.serve.service import (
    CLIENT_STATUS_SERVICE,
    DISCOVERY_SERVICES,
    LOAD_REPORTING_SERVICE,
    DiscoveryService,
)
from xds_server.serve.session import Session, decode
from xds_server.serve.stream import DELTA, SOTW, Variant
from xds_server.snapshot.view import Snapshot

MOST_REQUEST_BYTES: Final = 64 * 1024 * 1024
"""Longer requests end their call with RESOURCE_EXHAUSTED; responses have no limit."""

MOST_STREAMS: Final = 100_000
"""More streams than this on one connection wait: an Envoy without ADS opens one for
every cluster."""

_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # or a second server on the same port would go unnoticed
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", MOST_REQUEST_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # of pings that measure bandwidth: else 60
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_concurrent_streams", MOST_STREAMS),
    # More than 1,000 calls that wait to be taken would else be refused: a mesh that
    # comes back all at once.
    ("grpc.server.max_pending_requests", MOST_STREAMS),
    ("grpc.server.max_pending_requests_hard_limit", MOST_STREAMS),
)

Request = TypeVar("Request", DiscoveryRequest, DeltaDiscoveryRequest)
AnySession = Session[DiscoveryRequest] | Session[DeltaDiscoveryRequest]


class Call(Protocol):
    """What is used of a grpc.aio.ServicerContext."""

    def peer(self) -> str:
        """Return the other end, as gRPC names it."""
        ...

    async def send_initial_metadata(self, metadata: tuple[()]) -> None:
        """Accept the call."""
        ...

    async def write(self, message: bytes) -> None:
        """Send a response; return when there is room for another."""
        ...

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call with a status."""
        ...


Conversation = Callable[
    [asyncio.TaskGroup, AsyncIterator[bytes], Call], Awaitable[None]
]


class XdsServer:
    """Serves a snapshot to whoever connects.

    *directory* says what each node sees. *answer_timeout* is how long a client may take
    to accept or reject a response; Envoy itself waits 15 s for what a new resource
    refers to. *load_report_sink* is told of the traffic to all clusters, or to those of
    `ask_for_load`, every *report_interval*, or less often where that is too much.
    """

    def __init__(
        self,
        *,
        snapshot: Snapshot,
        directory: ViewDirectory,
        load_report_sink: LoadReportSink | None = None,
        observers: Sequence[Observer] = (),
        answer_timeout: timedelta = timedelta(seconds=30),
        report_interval: timedelta = timedelta(seconds=2),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._snapshot = snapshot
        self._directory = directory
        self._load_report_sink = load_report_sink or IgnoredReports()
        self._observers = tuple(observers)
        self._answer_timeout = answer_timeout
        matter = None if load_report_sink else ()  # None are all clusters
        self._load_demand = LoadDemand(matter, report_interval)
        self._clock = clock
        self._cohorts = Cohorts()
        self._stopping = asyncio.Event()
        self._sessions: dict[Connection, AnySession] = {}

    def statuses(self) -> tuple[ClientStatus, ...]:
        """Return the state of every connected client, oldest connection first."""
        return tuple(session.status for session in self._sessions.values())

    def ask_for_load(
        self, clusters: Collection[str] | None, interval: timedelta | None = None
    ) -> None:
        """Let Envoys report the load of these *clusters*, None for all, and no more.

        They do so every *interval*, or less often where that is too much; left out,
        as often as before.
        Who is connected is told at the end of its period. That a client cannot report
        all without their names is rule 42 of docs/protocol.md: it reports none then.
        """
        self._load_demand.ask_for(clusters, interval)

    @property
    def report_interval(self) -> timedelta:
        """How often Envoys are asked to report now: it grows with what they report."""
        return self._load_demand.request.interval

    @asynccontextmanager
    async def listening(
        self, address: str, *, grace: timedelta = timedelta(seconds=5)
    ) -> AsyncIterator[str]:
        """Serve on *address* (`host:port`) inside the block; yield the bound address.

        At the end of the block every stream ends with UNAVAILABLE, so that clients go
        elsewhere; what still runs after *grace* is cut off.

        Raises:
            OSError: the address cannot be bound.
        """
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers(self._services())
        bound = bind(server, address)
        self._stopping.clear()
        await server.start()
        try:
            yield bound
        finally:
            self._stopping.set()
            await server.stop(grace.total_seconds())

    def _services(self) -> tuple[grpc.GenericRpcHandler, ...]:
        load_stats = {"StreamLoadStats": self._streaming(self._collect_reports)}
        client_status = {
            "StreamClientStatus": self._streaming(self._tell_statuses),
            "FetchClientStatus": grpc.unary_unary_rpc_method_handler(
                partial(self._answer, self._tell_status)
            ),
        }
        return (
            *map(self._discovery_service, DISCOVERY_SERVICES),
            grpc.method_handlers_generic_handler(LOAD_REPORTING_SERVICE, load_stats),
            grpc.method_handlers_generic_handler(CLIENT_STATUS_SERVICE, client_status),
        )

    def _discovery_service(self, service: DiscoveryService) -> grpc.GenericRpcHandler:
        methods = {
            service.sotw: self._streaming(partial(self._serve, SOTW, service.type_url)),
            service.delta: self._streaming(
                partial(self._serve, DELTA, service.type_url)
            ),
        }
        if service.fetch and service.type_url:
            answer = partial(self._answer, partial(self._fetch, service.type_url))
            methods[service.fetch] = grpc.unary_unary_rpc_method_handler(answer)
        return grpc.method_handlers_generic_handler(service.name, methods)

    def _streaming(self, conversation: Conversation) -> grpc.RpcMethodHandler:
        return grpc.stream_stream_rpc_method_handler(
            partial(self._conduct, conversation)
        )

    async def _conduct(
        self, conversation: Conversation, messages: AsyncIterator[bytes], call: Call
    ) -> None:
        """Run *conversation* until it is over or must end; say why it must."""
        endings: list[StreamEndError] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch_for_stop(), name="watch for stop")
                self._check_ready()
                # A first write would do this; but if it is cancelled half done, gRPC
                # does it again to end the call, and fails.
                await call.send_initial_metadata(())
                await conversation(tasks, messages, call)
                watch.cancel()
        except* StreamEndError as group:
            endings += [e for e in group.exceptions if isinstance(e, StreamEndError)]
        if endings:
            await call.abort(grpc.StatusCode[endings[0].status], str(endings[0]))

    def _check_ready(self) -> None:
        if not self._snapshot.is_ready:
            message = "not ready: waiting for the sources to list"
            raise NotReadyError(message)

    async def _watch_for_stop(self) -> None:
        await self._stopping.wait()
        message = "the server is stopping"
        raise StoppingError(message)

    async def _answer(
        self, answer: Callable[[bytes], Awaitable[bytes]], message: bytes, call: Call
    ) -> bytes:
        """Answer a unary request."""
        try:
            self._check_ready()
            return await answer(message)
        except StreamEndError as error:
            await call.abort(grpc.StatusCode[error.status], str(error))

    async def _fetch(self, type_url: str, message: bytes) -> bytes:
        """Return all that is asked for (the gRPC form of REST-JSON polling)."""
        request = decode(DiscoveryRequest, message)
        node = _identify(request.node)
        view = self._directory.acquire(node)
        try:
            return fetch(view, type_url, request)
        finally:
            self._directory.release(node)

    async def _tell_status(self, message: bytes) -> bytes:
        """Return what each client has (CSDS)."""
        request = decode(ClientStatusRequest, message)
        sessions = tuple(self._sessions.values())
        clients = ((each.connection, each.types) for each in sessions)
        return await client_status(request, clients)

    async def _tell_statuses(
        self, _: asyncio.TaskGroup, messages: AsyncIterator[bytes], call: Call
    ) -> None:
        """Run one CSDS stream."""
        with suppress(ClientGoneError):
            async for message in messages:
                await _write(call, await self._tell_status(message))

    async def _serve(
        self,
        variant: Variant[Request],
        type_url: str | None,
        tasks: asyncio.TaskGroup,
        messages: AsyncIterator[bytes],
        call: Call,
    ) -> None:
        """Run one stream of all types, or of *type_url* alone."""
        message = await anext(messages, None)
        if message is None:
            return
        request = decode(variant.request, message)
        node = _identify(request.node)
        connection = Connection(
            node=node,
            mode=variant.substream.mode,
            peer=call.peer(),
            connected_at=self._clock(),
        )
        session: Session[Request] = Session(
            connection=connection,
            variant=variant,
            type_url=type_url,
            view=self._directory.acquire(node),
            cohorts=self._cohorts,
            observers=self._observers,
            answer_timeout=self._answer_timeout,
        )
        try:
            self._open(session)
            await session.run(tasks, request, messages, partial(_write, call))
        finally:
            self._close(session)

    def _open(self, session: AnySession) -> None:
        self._sessions[session.connection] = session
        for observer in self._observers:
            observer.on_connect(session.connection)

    def _close(self, session: AnySession) -> None:
        del self._sessions[session.connection]
        self._directory.release(session.connection.node)
        for observer in self._observers:
            observer.on_disconnect(session.connection)

    async def _collect_reports(
        self, tasks: asyncio.TaskGroup, messages: AsyncIterator[bytes], call: Call
    ) -> None:
        """Run one LRS stream: the first request says who it is, all others report."""
        message = await anext(messages, None)
        if message is None:
            return
        stream = LoadStream(
            _identify(decode(LoadStatsRequest, message).node),
            self._load_demand,
            self._load_report_sink,
            partial(_write, call),
        )
        await stream.run(tasks, messages)


async def _write(call: Call, message: bytes) -> None:
    try:
        await call.write(message)
    except grpc.aio.InternalError:
        raise ClientGoneError from None


def _identify(message: NodeMessage) -> Node:
    if not message.id:
        text = "the first request of a stream must carry a node with an id"
        raise RequestError(text)
    return node_of(message)
