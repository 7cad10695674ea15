"""Clients and backends, with no Envoy between them: who was asked is who answers."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.error import LabError
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import AnswerError, Request, Target, hold, send
from xds_server.mesh.model import Protocol


def backend(protocol: Protocol = Protocol.HTTP1) -> Backend:
    return Backend(address=Address("127.1.255.1", free_port()), protocol=protocol)


def straight_to(server: Backend) -> Target:
    return Target(listener=server.address, authority="shop", protocol=server.protocol)


@pytest.fixture(params=[Protocol.HTTP1, Protocol.TCP])
async def target(request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    server = backend(request.param)
    async with serve_backends([server]):
        yield straight_to(server)


@pytest.mark.parametrize("concurrency", [1, 7])
async def test_every_request_learns_who_served_it(
    target: Target, concurrency: int
) -> None:
    served = await send(target, [Request()] * 50, concurrency=concurrency)

    assert served == [str(target.listener)] * 50


async def test_clients_may_have_addresses_of_their_own(target: Target) -> None:
    requests = [Request(source=f"127.0.3.{number}") for number in (1, 2, 2)]

    assert len(await send(target, requests)) == 3


async def test_held_requests_tell_who_has_them(target: Target) -> None:
    async with hold(target, [Request()] * 3) as holders:
        served = await send(target, [Request()])

    assert holders == [str(target.listener)] * 3
    assert served == [str(target.listener)]


async def test_nobody_listening_is_said() -> None:
    with pytest.raises(LabError, match="does not listen"):
        await send(straight_to(backend()), [Request()])


async def test_a_listener_that_hangs_up_is_no_answer() -> None:
    """As Envoy does on TCP where a Service has no endpoint."""
    async with _Hanging() as target:
        with pytest.raises(AnswerError, match="closed the connection"):
            await send(target, [Request()])


async def test_an_answer_without_identity_is_none_of_ours() -> None:
    async with _Hanging(b"HTTP/1.1 503 Service Unavailable\r\n\r\n") as target:
        with pytest.raises(AnswerError, match="503 Service Unavailable"):
            await send(target, [Request()])


async def test_an_address_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.1.255.1", 0))
        taken.listen()
        server = Backend(address=Address(*taken.getsockname()), protocol=Protocol.HTTP1)
        with pytest.raises(LabError, match="no backend can listen on"):
            async with serve_backends([server]):
                pass


def test_a_load_report_is_orca_json() -> None:
    server = backend()
    server.load = {"cpu_utilization": 0.5, "named_metrics.queue": 0.25}

    assert (
        b'endpoint-load-metrics: JSON {"cpu_utilization": 0.5, '
        b'"named_metrics": {"queue": 0.25}}\r\n' in server.head(held=False)
    )


class _Hanging:
    """A server that says *words* to whoever connects, and hangs up."""

    def __init__(self, words: bytes = b"") -> None:
        self._words = words

    async def __aenter__(self) -> Target:
        async def answer(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self._words)
            writer.close()

        self._server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = Address(*self._server.sockets[0].getsockname())
        return Target(listener=address, authority="shop", protocol=Protocol.HTTP1)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
