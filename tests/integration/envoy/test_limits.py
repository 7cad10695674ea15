"""What exceeds a limit a real Envoy refuses at once, and says why."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.envoy.resilience import Answer, World, run_world
from tests.integration.envoy.world import LOOPBACK, Json, until

pytestmark = pytest.mark.envoy


OVERFLOW = "upstream connect error or disconnect/reset before headers. reset reason: "
OVERFLOW += "overflow"


async def at_once(
    world: World, number: int, *, refused: int, first: int = 0
) -> Sequence[Answer]:
    """Return what *number* requests get, of which none is answered before all are sent.

    The *first* ones are at an endpoint before the others are sent. Endpoints answer
    once *refused* of them have been refused.
    """
    for endpoint in world.endpoints:
        endpoint.gate.clear()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(world.ask()) for _ in range(first)]

        async def have_arrived() -> bool:
            return sum(each.arrived for each in world.endpoints) == first

        await until(have_arrived)
        tasks += [group.create_task(world.ask()) for _ in range(number - first)]

        async def are_refused() -> bool:
            return sum(task.done() for task in tasks) >= refused

        await until(are_refused)
        for endpoint in world.endpoints:
            endpoint.gate.set()
    return [task.result() for task in tasks]


@pytest.mark.parametrize(
    ("limits", "first", "served"),
    [
        ({"maxRequests": 2}, 0, 2),
        ({"maxConnections": 1, "maxPendingRequests": 1}, 1, 2),
        ({"maxConnections": 1, "maxPendingRequests": 3}, 1, 4),
    ],
)
async def test_requests_above_a_limit_are_refused_and_told_why(
    tmp_path: Path, limits: Json, first: int, served: int
) -> None:
    number = 6
    async with run_world(tmp_path, {"circuitBreaker": limits}, endpoints=1) as world:
        refused = number - served
        answers = await at_once(world, number, refused=refused, first=first)
        again = await world.ask()

    assert Counter(each.status for each in answers) == {200: served, 503: refused}
    assert {each.body for each in answers if each.status == 503} == {OVERFLOW}
    assert again.status == 200


async def test_connections_to_an_endpoint_are_limited_and_requests_wait_for_them(
    tmp_path: Path,
) -> None:
    limits: Json = {"perEndpoint": {"maxConnections": 1}}
    async with run_world(tmp_path, {"circuitBreaker": limits}, endpoints=2) as world:
        answers = await at_once(world, 12, refused=0, first=2)
        connections = [len(endpoint.connections) for endpoint in world.endpoints]

    assert {each.status for each in answers} == {200}
    assert connections == [1, 1]


async def test_without_a_limit_of_an_endpoint_there_are_more(tmp_path: Path) -> None:
    """So that the test before means something."""
    async with run_world(tmp_path, {"circuitBreaker": {}}, endpoints=2) as world:
        await at_once(world, 12, refused=0, first=12)

        assert sum(len(endpoint.connections) for endpoint in world.endpoints) == 12


async def test_connections_of_tcp_above_the_limit_are_closed(tmp_path: Path) -> None:
    """A limit of requests, which has no effect there and is told so, has none."""
    limits: Json = {"maxConnections": 2, "maxRequests": 1}
    async with run_world(
        tmp_path, {"circuitBreaker": limits}, endpoints=1, app_protocol="tcp"
    ) as world:
        name = f"{world.endpoints[0].name}\n".encode()
        greetings, writers = [], []
        for _ in range(3):
            reader, writer = await asyncio.open_connection(LOOPBACK, world.listen_port)
            writers.append(writer)
            greetings.append(await reader.readline())
        writers[0].close()

        async def is_greeted() -> bool:
            reader, writer = await asyncio.open_connection(LOOPBACK, world.listen_port)
            writers.append(writer)
            return await reader.readline() == name

        await until(is_greeted)
        for writer in writers:
            writer.close()

    assert greetings == [name, name, b""]
