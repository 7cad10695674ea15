"""A real Envoy turns away so much of the requests, and no connections of TCP."""

from math import sqrt
from pathlib import Path

import pytest

from tests.integration.envoy.resilience import World, run_world
from tests.integration.envoy.world import Json, until

pytestmark = pytest.mark.envoy

REQUESTS = 2000
DEVIATIONS = 6.2
"""How far a share may be off: right behaviour is further with less than 1e-9."""


async def until_dropped(world: World) -> None:
    """Return when a request has been turned away."""

    async def is_dropped() -> bool:
        return (await world.ask()).status == 503

    await until(is_dropped)


async def dropped(world: World) -> float:
    """Return the part of requests that are turned away, each by an independent draw.

    Nothing else is an error, and endpoints see only the others.
    """
    before = sum(each.arrived for each in world.endpoints)
    answers = [await world.ask() for _ in range(REQUESTS)]
    arrived = sum(each.arrived for each in world.endpoints) - before
    refused = [each for each in answers if each.status == 503]

    assert {each.status for each in answers} <= {200, 503}
    assert {each.body for each in refused} <= {"drop overload"}
    assert arrived == REQUESTS - len(refused)

    return len(refused) / REQUESTS


def tolerance(share: float) -> float:
    return DEVIATIONS * sqrt(share * (1 - share) / REQUESTS)


async def test_requests_are_turned_away_at_random(tmp_path: Path) -> None:
    """30 %, then 2.5 %, then none any more."""
    async with run_world(tmp_path, {"overload": {"dropPercent": 30}}) as world:
        await until_dropped(world)
        first = await dropped(world)
        world.write({"overload": {"dropPercent": 100}})

        async def are_all_dropped() -> bool:
            return set(await world.answers(20)) == {503}

        await until(are_all_dropped)
        world.write({"overload": {"dropPercent": 2.5}})

        async def are_few_dropped() -> bool:
            return set(await world.answers(1)) == {200}

        await until(are_few_dropped)
        second = await dropped(world)
        world.write({})
        await world.until_used(0, 1, 2)
        third = await dropped(world)

    assert abs(first - 0.3) < tolerance(0.3)
    assert abs(second - 0.025) < tolerance(0.025)
    assert third == 0


async def test_what_is_turned_away_is_not_tried_again(tmp_path: Path) -> None:
    sections: Json = {
        "overload": {"dropPercent": 50},
        "retry": {"retryOn": ["5xx"], "attempts": 10},
    }
    async with run_world(tmp_path, sections) as world:
        await until_dropped(world)
        found = await dropped(world)

    assert abs(found - 0.5) < tolerance(0.5)
