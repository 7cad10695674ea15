"""Real Envoys send again what failed, elsewhere, and not too much of it."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.envoy.resilience import run_world
from tests.integration.envoy.world import Json, until

pytestmark = pytest.mark.envoy


async def test_one_endpoint_of_three_that_fails_is_no_error_to_a_client(
    tmp_path: Path,
) -> None:
    async with run_world(tmp_path, {"retry": {"retryOn": ["5xx"]}}) as world:
        world.endpoints[1].statuses = [503]
        answers = [await world.ask() for _ in range(60)]
        retries = await world.stats("upstream_rq_retry")

    assert {each.status for each in answers} == {200}
    assert world.endpoints[1].arrived == retries > 0


async def test_by_default_what_no_endpoint_has_seen_is_sent_again(
    tmp_path: Path,
) -> None:
    """And nothing else: the author of a request knows alone what happens twice."""
    async with run_world(tmp_path, {"retry": {}}, silent=[1]) as world:
        unheard = [await world.ask() for _ in range(30)]
        retries = await world.stats("upstream_rq_retry")
        world.endpoints[0].statuses = [503]
        heard = [await world.ask() for _ in range(30)]

    assert {each.status for each in unheard} == {200}
    assert retries > 0
    assert {each.status for each in heard} == {200, 503}


@pytest.mark.parametrize("attempts", [0, 1, 4])
async def test_a_request_is_sent_again_so_often_and_not_more(
    tmp_path: Path, attempts: int
) -> None:
    retry: Json = {"retryOn": ["5xx"], "attempts": attempts, "backoff": {"base": "1ms"}}
    async with run_world(tmp_path, {"retry": retry}, endpoints=2) as world:
        for endpoint in world.endpoints:
            endpoint.statuses = [503]
        answers = [await world.ask() for _ in range(5)]

    assert {each.status for each in answers} == {503}
    assert sum(each.arrived for each in world.endpoints) == 5 * (1 + attempts)


async def test_a_new_try_goes_to_another_endpoint(tmp_path: Path) -> None:
    """Of two endpoints one fails always, and each choice is drawn.

    A new try looks for another endpoint in 3 more draws: of 400 requests 1/32 fail,
    12.5 in the mean, and 100 if tried endpoints were not avoided. More than 50 are 10
    standard deviations too many: less than 1e-6.
    """
    sections: Json = {
        "loadBalancer": {"type": "Random"},
        "retry": {"retryOn": ["5xx"], "attempts": 1, "backoff": {"base": "1ms"}},
    }
    async with run_world(tmp_path, sections, endpoints=2) as world:
        world.endpoints[0].statuses = [503]
        answers = Counter([(await world.ask()).status for _ in range(400)])

    assert answers[503] <= 50
    assert answers[200] + answers[503] == 400


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        ({}, 3),
        ({"maxRetries": 1}, 1),
        ({"retryBudget": {"percent": 0.1, "minRetryConcurrency": 2}}, 2),
        ({"retryBudget": {"percent": 100}}, None),
    ],
    ids=["default", "maxRetries", "small budget", "large budget"],
)
async def test_retries_at_once_are_limited(
    tmp_path: Path, limits: Json, allowed: int | None
) -> None:
    """One endpoint fails at once, and the other one keeps all that is sent again."""
    sections: Json = {"retry": {"retryOn": ["5xx"]}, "circuitBreaker": limits}
    async with run_world(tmp_path, sections, endpoints=2) as world:
        failing, keeping = world.endpoints
        failing.statuses = [503]
        keeping.gate.clear()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(world.ask()) for _ in range(12)]

            async def are_all_somewhere() -> bool:
                done = sum(task.done() for task in tasks)
                return done + keeping.arrived == len(tasks)

            await until(are_all_somewhere)
            retries = await world.stats("upstream_rq_retry")
            keeping.gate.set()
        found = Counter(task.result().status for task in tasks)

    assert retries == (failing.arrived if allowed is None else allowed)
    assert found[503] == failing.arrived - retries
    assert found[200] + found[503] == len(tasks)


@pytest.mark.parametrize("percent", [25, 50])
async def test_a_budget_is_a_part_of_what_is_in_flight(
    tmp_path: Path, percent: int
) -> None:
    """Of 40 requests 20 fail at once, and 20 to 40 are in flight then."""
    budget = {"percent": percent, "minRetryConcurrency": 0}
    sections: Json = {
        "retry": {"retryOn": ["5xx"], "attempts": 1},
        "circuitBreaker": {"retryBudget": budget},
    }
    async with run_world(tmp_path, sections, endpoints=2) as world:
        failing, keeping = world.endpoints
        failing.statuses = [503]
        for endpoint in world.endpoints:
            endpoint.gate.clear()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(world.ask()) for _ in range(40)]

            async def are_all_there() -> bool:
                return failing.arrived + keeping.arrived == len(tasks)

            await until(are_all_there)
            half = failing.arrived
            failing.gate.set()

            async def are_all_settled() -> bool:
                done = sum(task.done() for task in tasks)
                return done + keeping.arrived == len(tasks)

            await until(are_all_settled)
            retries = await world.stats("upstream_rq_retry")
            keeping.gate.set()

    assert half == 20
    assert percent * 20 / 100 <= retries <= percent * 40 / 100 + 1
