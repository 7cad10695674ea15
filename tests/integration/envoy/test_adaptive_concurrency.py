"""A real Envoy sends fewer requests at once while answers take longer than they need.

How long an endpoint takes is made here, many times longer or shorter than what it is
compared with: how busy the machine is does not decide.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.envoy.resilience import World, run_world
from tests.integration.envoy.world import Client, Json, run_client, until

pytestmark = pytest.mark.envoy

REFUSED = "reached concurrency limit"
QUICK, SLOW = 0.01, 1.2
MOST, FEW = 24, 8
KNOWN: Json = {
    "maxConcurrency": MOST,
    "updateInterval": "50ms",
    "minRTT": {"fixedValue": "300ms"},
}
MEASURED: Json = {"adaptiveConcurrency": {"minRTT": {"interval": "1h"}}}
"""Its first 50 requests measure, 3 of them at once."""


@asynccontextmanager
async def load(world: World, number: int) -> AsyncIterator[Counter[int]]:
    """Let so many clients ask all the time; yield the statuses that they have got.

    One that is refused asks again at once.
    """
    found: Counter[int] = Counter()
    is_over = asyncio.Event()

    async def ask() -> None:
        while not is_over.is_set():
            found[(await world.ask()).status] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(number):
            group.create_task(ask())
        try:
            yield found
        finally:
            is_over.set()


def limit_is(
    world: World, holds: Callable[[int], bool]
) -> Callable[[], Awaitable[bool]]:
    """Return whether the limit of requests at once is as *holds* has it."""

    async def found() -> bool:
        return holds(await world.stats("concurrency_limit", of="gradient_controller"))

    return found


async def test_the_limit_falls_while_answers_are_slow_and_rises_again(
    tmp_path: Path,
) -> None:
    """Answers in a 30th of the time that is known to be good; then in four times.

    While all answers are slow, the limit falls to 4: half of 4, and the root of it.
    """
    async with run_world(
        tmp_path, {"adaptiveConcurrency": KNOWN}, endpoints=1
    ) as world:
        (endpoint,) = world.endpoints
        endpoint.seconds = QUICK
        async with load(world, 20) as found:
            await until(limit_is(world, lambda limit: limit == MOST))
            found.clear()
            await until(reached(found, 200, 200))
            assert set(found) == {200}

            endpoint.seconds = SLOW
            await until(limit_is(world, lambda limit: limit <= FEW))
            endpoint.most_at_once = 0
            found.clear()
            await until(reached(found, 200, 10))
            assert endpoint.most_at_once <= FEW
            assert found[503] > 0

            endpoint.seconds = QUICK
            await until(limit_is(world, lambda limit: limit == MOST))


def reached(
    found: Counter[int], status: int, number: int
) -> Callable[[], Awaitable[bool]]:
    """Return whether so many have got *status*."""

    async def has_come() -> bool:
        return found[status] >= number

    return has_come


async def held(world: World, number: int, client: Client | None = None) -> Counter[str]:
    """Return what is said to *number* requests at once, of which none is answered.

    What reaches an endpoint is, once all others have been refused.
    """
    for endpoint in world.endpoints:
        endpoint.gate.clear()
    before = sum(each.arrived for each in world.endpoints)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(world.ask(client=client)) for _ in range(number)]

        async def are_all_somewhere() -> bool:
            arrived = sum(each.arrived for each in world.endpoints) - before
            return sum(task.done() for task in tasks) + arrived == number

        await until(are_all_somewhere)
        for endpoint in world.endpoints:
            endpoint.gate.set()
    return Counter("" if t.result().status == 200 else t.result().body for t in tasks)


async def test_what_exceeds_the_limit_is_refused_at_once(tmp_path: Path) -> None:
    """While it is measured how long an answer takes, 3 are let through."""
    async with run_world(tmp_path, MEASURED) as world:
        assert await held(world, 10) == {"": 3, REFUSED: 7}


async def test_measuring_ends(tmp_path: Path) -> None:
    """After as many answers as are asked for; then the limit rises."""
    control: Json = {"minConcurrency": 2, "minRTT": {"requestCount": 10}}
    async with run_world(tmp_path, {"adaptiveConcurrency": control}) as world:
        assert await held(world, 6) == {"": 2, REFUSED: 4}
        for endpoint in world.endpoints:
            endpoint.seconds = QUICK
        async with load(world, 6):
            await until(limit_is(world, lambda limit: limit > 20))
        assert await held(world, 6) == {"": 6}


async def test_a_retry_is_part_of_its_request(tmp_path: Path) -> None:
    """Three requests of up to four tries each are three at once."""
    retry: Json = {"retryOn": ["5xx"], "attempts": 3, "backoff": {"base": "1ms"}}
    async with run_world(tmp_path, {**MEASURED, "retry": retry}) as world:
        for endpoint in world.endpoints:
            endpoint.statuses = [500, 200]
        found = [(await world.ask()).status for _ in range(30)]

    assert set(found) == {200}


async def test_each_port_has_a_limit_of_its_own(tmp_path: Path) -> None:
    """While one port has all that it may, another one is asked."""
    async with run_world(tmp_path, MEASURED, endpoints=1) as world:
        (endpoint,) = world.endpoints
        endpoint.gate.clear()
        async with asyncio.TaskGroup() as group:
            three = [group.create_task(world.ask()) for _ in range(3)]

            async def have_arrived() -> bool:
                return endpoint.arrived == 3

            await until(have_arrived)
            assert (await world.ask()).body == REFUSED
            other = group.create_task(world.ask(headers={"host": "web.shop:81"}))

            async def has_arrived() -> bool:
                return endpoint.arrived == 4

            await until(has_arrived)
            endpoint.gate.set()

        assert {task.result().status for task in (*three, other)} == {200}


async def test_only_the_selected_clients_are_limited(tmp_path: Path) -> None:
    batch: Json = {"clientSelector": {"matchLabels": {"tier": "batch"}}}
    async with (
        run_world(tmp_path, {**MEASURED, **batch}) as world,
        run_client(tmp_path, world.server.xds, "sotw", label="tier=batch") as client,
    ):

        async def is_routed() -> bool:
            return (await world.ask(client=client)).status == 200

        await until(is_routed)
        assert await held(world, 10, client) == {"": 3, REFUSED: 7}
        assert await held(world, 10) == {"": 10}
