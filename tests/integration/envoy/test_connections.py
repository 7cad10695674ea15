"""Real Envoys keep connections as long, and use them as often, as a policy says.

Times are short, and all is waited for: whoever waits for Envoy's own times fails.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.envoy.resilience import run_world
from tests.integration.envoy.world import Json, until
from xds_server.lab.backend import Address

pytestmark = pytest.mark.envoy


@contextmanager
def deaf(address: Address) -> Iterator[None]:
    """Let nobody connect to *address*: what is not accepted fills its queue.

    The kernel drops what more comes, as a host does that is gone.
    """
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(address)
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)  # noqa: FBT003 - has no name for it
            client.connect_ex(address)
        yield


async def test_an_endpoint_that_cannot_be_connected_to_is_given_up_in_time(
    tmp_path: Path,
) -> None:
    """10 requests in 20 s: of Envoy's own 5 s they would take 50."""
    sections: Json = {"connection": {"connectTimeout": "300ms"}}
    async with run_world(tmp_path, sections, endpoints=1, silent=[0]) as world:
        with deaf(world.endpoints[0].address):
            async with asyncio.timeout(60):
                answers = [await world.ask() for _ in range(10)]
            timeouts = await world.stats("upstream_cx_connect_timeout")

    assert {each.status for each in answers} == {503}
    assert {each.body.rpartition(": ")[2] for each in answers} == {"connection timeout"}
    assert timeouts == 10


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    """10 times in 30 s: of the 4 s that are usual they would take 40."""
    sections: Json = {"connection": {"idleTimeout": "200ms"}}
    async with run_world(tmp_path, sections, endpoints=1) as world:
        (endpoint,) = world.endpoints

        async def is_closed() -> bool:
            return endpoint.open_connections == 0

        async with asyncio.timeout(60):
            for _ in range(10):
                await world.ask()
                await until(is_closed)

        assert [each.requests for each in endpoint.connections] == [1] * 10


async def test_a_connection_has_so_many_requests_and_no_more(tmp_path: Path) -> None:
    sections: Json = {"connection": {"maxRequestsPerConnection": 3}}
    async with run_world(tmp_path, sections, endpoints=1) as world:
        for _ in range(30):
            await world.ask()
        (endpoint,) = world.endpoints

        assert [each.requests for each in endpoint.connections] == [3] * 10


async def test_a_connection_that_is_in_use_ends_all_the_same(tmp_path: Path) -> None:
    sections: Json = {"connection": {"maxConnectionDuration": "200ms"}}
    async with run_world(tmp_path, sections, endpoints=1) as world:
        (endpoint,) = world.endpoints

        async def is_the_fifth() -> bool:
            answer = await world.ask()
            return answer.status == 200 and len(endpoint.connections) == 5

        await until(is_the_fifth)
        closed = endpoint.connections[:-1]

        assert all(each.requests > 1 for each in closed)


@pytest.mark.parametrize(
    ("app_protocol", "protocol", "first"),
    [
        ("http", None, b"GET / HTTP/1.1"),
        ("http", "HTTP2", b"PRI * HTTP/2.0"),
        ("http", "Same", b"GET / HTTP/1.1"),
        ("http2", None, b"PRI * HTTP/2.0"),
        ("http2", "HTTP1", b"GET / HTTP/1.1"),
        ("http2", "Same", b"GET / HTTP/1.1"),
    ],
)
async def test_endpoints_are_spoken_with_as_the_policy_says(
    tmp_path: Path, app_protocol: str, protocol: str | None, first: bytes
) -> None:
    """By a client of HTTP/1: what is the same is that."""
    sections: Json = {"connection": {"protocol": protocol}}
    async with run_world(
        tmp_path, sections, endpoints=1, app_protocol=app_protocol
    ) as world:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(world.ask())
            (endpoint,) = world.endpoints

            async def has_begun() -> bool:
                return any(each.first for each in endpoint.connections)

            await until(has_begun)
            for writer in endpoint.speakers.values():
                writer.transport.abort()
            await asking

        assert endpoint.connections[0].first == first
