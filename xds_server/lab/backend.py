"""The servers behind an Envoy: one real listening socket for each endpoint.

A backend answers with its own address, so that whoever asked knows who served. A
request with the header `x-lab-hold` gets the head of its answer and never the end: it
stays in flight until its client goes away. An Envoy's health check is answered with
the status that the backend has for it. A backend may report its load in the ORCA
header (https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/upstream/load_balancing/orca).
On TCP it says its address to each connection.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from xds_server.lab.cache import Cache
from xds_server.lab.error import LabError
from xds_server.lab.pace import Pace
from xds_server.mesh.model import Protocol

IDENTITY_HEADER: Final = "x-lab-endpoint"
HOLD_HEADER: Final = "x-lab-hold"
LOAD_HEADER: Final = "endpoint-load-metrics"
KEY_HEADER: Final = "x-lab-key"
"""What a request is about: a backend with a cache may have the answer at hand."""
HIT_HEADER: Final = "x-lab-hit"
"""Where that was so."""
_CHECK: Final = b"user-agent: envoy/hc"
"""What the health checks of an Envoy have in their heads."""
_OK: Final = 200
_END_OF_HEAD: Final = b"\r\n\r\n"


class Address(NamedTuple):
    """An IP address and a port, written `IP:port`."""

    ip: str
    port: int

    def __str__(self) -> str:
        return (
            f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"
        )


@dataclass(slots=True, kw_only=True)
class Backend:
    """One server.

    `load` are the numbers of its ORCA report; empty sends none. `check_status` is what
    it answers to health checks over HTTP. With a `pace` it takes its time over other
    requests, and may fail some; without, each is answered at once. With a `cache`
    beside it, requests for a key that it has take less of that time.
    """

    address: Address
    protocol: Protocol
    load: Mapping[str, float] = field(default_factory=dict)
    check_status: int = _OK
    pace: Pace | None = None
    cache: Cache | None = None

    def head(self, *, held: bool, status: int = _OK, is_hit: bool = False) -> bytes:
        """Return the head of an answer; a held one announces a body that never ends.

        One that *is a hit* was at hand.
        """
        lines = [f"HTTP/1.1 {status} told", f"{IDENTITY_HEADER}: {self.address}"]
        lines.append("transfer-encoding: chunked" if held else "content-length: 0")
        if is_hit:
            lines.append(f"{HIT_HEADER}: yes")
        if self.load:
            lines.append(f"{LOAD_HEADER}: JSON {json.dumps(nested(self.load))}")
        return "\r\n".join(lines).encode() + _END_OF_HEAD


def nested(load: Mapping[str, float]) -> dict[str, float | dict[str, float]]:
    """Return the report's JSON; `named_metrics.x` is `x` inside `named_metrics`."""
    report: dict[str, float | dict[str, float]] = {}
    for name, value in load.items():
        group, _, key = name.partition(".")
        members = report.setdefault(group, {}) if key else None
        if isinstance(members, dict):
            members[key] = value
        else:
            report[name] = value
    return report


@asynccontextmanager
async def serve_backends(backends: Iterable[Backend]) -> AsyncIterator[None]:
    """Let all *backends* listen until the context ends.

    Raises `LabError` when an address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    connections: set[asyncio.Transport] = set()
    with ExitStack() as stack:
        stack.callback(_abort, connections)
        for backend in backends:
            speaks = _Greeter if backend.protocol is Protocol.TCP else _Responder
            try:
                server = await loop.create_server(
                    partial(speaks, backend, connections), *backend.address
                )
            except OSError as error:
                message = f"no backend can listen on {backend.address}: {error}"
                raise LabError(message) from None
            stack.callback(server.close)
        yield


def _abort(connections: Iterable[asyncio.Transport]) -> None:
    for connection in tuple(connections):
        connection.abort()


class _Speaker(asyncio.Protocol):
    """One connection to a backend, known to *connections* while it lasts."""

    def __init__(self, backend: Backend, connections: set[asyncio.Transport]) -> None:
        self._backend = backend
        self._connections = connections
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._transport is not None:
            self._connections.discard(self._transport)

    def say(self, data: bytes) -> None:
        """Send *data*, if anyone still listens."""
        if self._transport is not None:
            self._transport.write(data)


class _Greeter(_Speaker):
    """Says who it is to each connection, and leaves the closing to the client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.say(f"{self._backend.address}\n".encode())


class _Responder(_Speaker):
    """HTTP/1.1 for requests without a body, which is all that the lab sends.

    A web framework costs a third more of each round trip, and round trips are what the
    lab spends its time on.
    """

    def __init__(self, backend: Backend, connections: set[asyncio.Transport]) -> None:
        super().__init__(backend, connections)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(_END_OF_HEAD)
        for request in requests:
            lower = request.lower()
            if _CHECK in lower:
                self._answer(self._backend.check_status)
            elif self._backend.pace is None:
                self._answer(held=HOLD_HEADER.encode() in lower)
            else:
                self._serve(self._backend.pace, lower)

    def _serve(self, pace: Pace, request: bytes) -> None:
        """Answer *request*, which is in lower case, when its time has come."""
        cache, key = self._backend.cache, _key(request)
        is_hit = cache is not None and key is not None and cache.has(key)
        speedup = cache.speedup if cache is not None and is_hit else 1.0
        loop = asyncio.get_running_loop()
        when, status = pace.serve(loop.time(), speedup)
        answer = partial(self._answer, status, is_hit=is_hit)
        loop.call_at(when, answer)

    def _answer(
        self, status: int = _OK, *, held: bool = False, is_hit: bool = False
    ) -> None:
        self.say(self._backend.head(held=held, status=status, is_hit=is_hit))


def _key(request: bytes) -> str | None:
    """Return what *request* is about, if it says so."""
    _, found, rest = request.partition(f"\r\n{KEY_HEADER}: ".encode())
    return rest.partition(b"\r\n")[0].decode("latin-1") if found else None
