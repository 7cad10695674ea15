"""Requests through an Envoy, and who served each.

Requests in, the address of the backend that served each one out, in the order of the
requests. All traffic stays on loopback. Streams instead of an HTTP client: measured,
that is a third less for each round trip.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Self

from xds_server.lab.backend import HOLD_HEADER, IDENTITY_HEADER, Address
from xds_server.lab.error import LabError
from xds_server.mesh.model import Protocol

DEFAULT_SOURCE: Final = "127.0.0.1"
_ANSWER_TIMEOUT: Final = 15.0
"""Seconds: longer than any connect timeout of the policies that the lab measures."""


class AnswerError(LabError):
    """Envoy gave no answer, or not the one of a backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A listener of Envoy, and the Service behind it that is meant."""

    listener: Address
    authority: str
    protocol: Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, or one connection on TCP. `source` is the client's IP address."""

    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    source: str = DEFAULT_SOURCE

    def encode(self, authority: str) -> bytes:
        """Return the request as HTTP/1.1."""
        lines = [f"GET {self.path} HTTP/1.1", f"host: {authority}"]
        lines += (f"{name}: {value}" for name, value in self.headers)
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def send(
    target: Target,
    requests: Sequence[Request],
    *,
    concurrency: int = 1,
) -> list[str]:
    """Send *requests*, at most *concurrency* at a time, and return who served each.

    With a concurrency of 1 each waits for the one before it, so the result's order is
    the order in which Envoy chose. Requests of one source share a connection as long as
    it lasts; on TCP each has its own. Raises `AnswerError` where no backend answers.
    """
    served = [""] * len(requests)
    waiting = iter(enumerate(requests))

    async def work() -> None:
        connection: _Connection | None = None
        try:
            for position, request in waiting:
                if connection is None or not connection.suits(request):
                    if connection is not None:
                        connection.close()
                    connection = await _Connection.open(target, request.source)
                served[position] = await connection.ask(request)
        finally:
            if connection is not None:
                connection.close()

    try:
        async with asyncio.TaskGroup() as workers:
            for number in range(min(concurrency, len(requests))):
                workers.create_task(work(), name=f"client {number}")
    except ExceptionGroup as group:
        raise _first(group) from None
    return served


async def connect(
    target: Target, source: str = DEFAULT_SOURCE
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to *target* from the address *source*.

    Raises `LabError` where nobody listens.
    """
    try:
        return await asyncio.open_connection(*target.listener, local_addr=(source, 0))
    except OSError as error:
        message = f"Envoy does not listen on {target.listener}: {error}"
        raise LabError(message) from None


@asynccontextmanager
async def hold(target: Target, requests: Iterable[Request]) -> AsyncIterator[list[str]]:
    """Keep *requests* in flight until the context ends; tells who has each.

    On TCP an open connection is what is in flight.
    """
    async with AsyncExitStack() as stack:
        holders = []
        for request in requests:
            connection = await _Connection.open(target, request.source)
            stack.callback(connection.close)
            holders.append(await connection.ask(_held(request)))
        yield holders


def _held(request: Request) -> Request:
    """Return *request* as one that a backend never finishes."""
    return replace(request, headers=(*request.headers, (HOLD_HEADER, "1")))


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


class _Connection:
    """One client connection to Envoy."""

    def __init__(
        self,
        target: Target,
        source: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._target = target
        self._source = source
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, target: Target, source: str) -> Self:
        """Connect from the address *source*."""
        return cls(target, source, *await connect(target, source))

    def suits(self, request: Request) -> bool:
        """Whether *request* may go over this connection, too."""
        is_http = self._target.protocol is not Protocol.TCP
        return is_http and request.source == self._source

    def close(self) -> None:
        """Close at once; what is in flight ends."""
        self._writer.close()

    async def ask(self, request: Request) -> str:
        """Return who serves *request*."""
        name = self._target.authority
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                if self._target.protocol is Protocol.TCP:
                    return (await self._reader.readuntil(b"\n")).decode().strip()
                self._writer.write(request.encode(name))
                head = await self._reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            message = f"{name}: no answer from Envoy in {_ANSWER_TIMEOUT:g} s"
            raise AnswerError(message) from None
        except (OSError, asyncio.IncompleteReadError) as error:
            message = f"{name}: Envoy closed the connection: {error}"
            raise AnswerError(message) from None
        return _server_of(head.decode("latin-1"), name)


def _server_of(head: str, name: str) -> str:
    status, _, fields = head.partition("\r\n")
    for line in fields.lower().splitlines():
        field, _, value = line.partition(":")
        if field == IDENTITY_HEADER and " 200 " in f"{status} ":
            return value.strip()
    message = f"{name}: Envoy answered {status.partition(' ')[2]!r}"
    raise AnswerError(message)
