"""Real Envoys leave their zone when its endpoints report more load than the others'.

A locality gets endpoints * (1 - utilization). Draws are judged at 6.2 standard
deviations: a false alarm is a matter of 6e-10.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.envoy.places import Spot, World, run_world, zones
from tests.integration.envoy.world import Json, until

pytestmark = pytest.mark.envoy

DRAWS = 2000
QUICK: Json = {"smoothing": "100ms", "updatePeriod": "100ms"}


def aware(**block: object) -> Json:
    return {"locality": {"type": "LoadAware", "loadAware": {**QUICK, **block}}}


def report(world: World, *loads: float, metric: str = "cpu_utilization") -> None:
    """Let each backend report its load."""
    for backend, load in zip(world.backends, loads, strict=True):
        backend.load = {metric: load, "rps_fractional": 100}


async def until_zone_a_gets(
    world: World, client: str, part: float, slack: float = 0.07
) -> None:
    """Return when the first two backends get this part of 400 requests."""

    async def holds() -> bool:
        counts = await world.shares(client, 400)
        return abs(sum(counts[:2]) / 400 - part) <= slack

    await until(holds)


async def expect(world: World, client: str, part: float) -> Sequence[int]:
    """Return the counts of a round of draws, of which zone a gets this part."""
    counts = await world.shares(client, DRAWS)
    sigma = math.sqrt(DRAWS * part * (1 - part))

    # What is smoothed is near the reports, and not quite there.
    assert abs(sum(counts[:2]) - DRAWS * part) <= 6.2 * sigma + 0.02 * DRAWS
    return counts


@pytest.mark.parametrize(
    "told",
    [("--zone", "a", "--region", "north"), ("--zone", "a")],
    ids=["region and zone", "zone"],
)
async def test_traffic_leaves_a_loaded_zone_and_comes_back(
    tmp_path: Path, told: tuple[str, ...]
) -> None:
    """All but 3 % stay; at 0.9 and 0.1 a tenth does; and all again."""
    spots = [Spot(zone=zone, region="north") for zone in "aabb"]
    async with run_world(tmp_path, spots, aware()) as world:
        report(world, 0.3, 0.3, 0.3, 0.3)
        await world.add_client("a", *told)
        await until_zone_a_gets(world, "a", 0.97, 0.03)
        counts = await expect(world, "a", 0.97)
        assert abs(counts[0] - counts[1]) <= 1
        report(world, 0.9, 0.9, 0.1, 0.1)
        await until_zone_a_gets(world, "a", 0.1)
        counts = await expect(world, "a", 0.1)
        assert abs(counts[2] - counts[3]) <= 1
        report(world, 0.2, 0.2, 0.3, 0.3)
        await until_zone_a_gets(world, "a", 0.97, 0.03)


async def test_a_little_more_load_changes_nothing(tmp_path: Path) -> None:
    """Up to the threshold; above it, all that is left counts: 0.3 to 0.7."""
    async with run_world(
        tmp_path, zones("aabb"), aware(varianceThreshold=0.5)
    ) as world:
        report(world, 0.7, 0.7, 0.3, 0.3)
        await world.add_client("a", "--zone", "a", mode="sotw")
        await until_zone_a_gets(world, "a", 0.97, 0.03)
        await expect(world, "a", 0.97)
        world.write(aware(varianceThreshold=0.2))
        await until_zone_a_gets(world, "a", 0.3)
        await expect(world, "a", 0.3)


async def test_how_much_goes_elsewhere_to_know_more_is_written(tmp_path: Path) -> None:
    async with run_world(
        tmp_path, zones("aabb"), aware(remoteProbePercent=20)
    ) as world:
        report(world, 0.3, 0.3, 0.3, 0.3)
        await world.add_client("a", "--zone", "a")
        await until_zone_a_gets(world, "a", 0.8)
        await expect(world, "a", 0.8)
        world.write(aware(remoteProbePercent=0))
        await world.until_served("a", 0, 1)


async def test_other_metrics_may_be_the_load(tmp_path: Path) -> None:
    block = {"metrics": ["named_metrics.queue"]}
    async with run_world(tmp_path, zones("aabb"), aware(**block)) as world:
        report(world, 0.8, 0.8, 0.2, 0.2, metric="named_metrics.queue")
        await world.add_client("a", "--zone", "a")
        await until_zone_a_gets(world, "a", 0.2)
        await expect(world, "a", 0.2)


async def test_a_load_that_is_not_told_any_more_does_not_count(tmp_path: Path) -> None:
    """Then localities share by the number of their endpoints."""
    async with run_world(tmp_path, zones("aabb"), aware(expiration="300ms")) as world:
        report(world, 0.9, 0.9, 0.1, 0.1)
        await world.add_client("a", "--zone", "a")
        await until_zone_a_gets(world, "a", 0.1)
        for backend in world.backends:
            backend.load = {}
        await until_zone_a_gets(world, "a", 0.5)


async def test_inside_of_a_zone_reports_may_count_too(tmp_path: Path) -> None:
    """Zone a has a mean of 0.5 and zone b 0.1: 0.5 of 0.5 + 0.9 stays.

    Its two endpoints share that 9 to 1, by their load.
    """
    balancer: Json = {
        "type": "PerformanceBased",
        "performanceBased": {
            "source": "OrcaHeaders",
            "blackoutPeriod": "1ms",
            "updatePeriod": "100ms",
        },
    }
    sections: Json = {"loadBalancer": balancer, **aware()}
    async with run_world(tmp_path, zones("aabb"), sections) as world:
        report(world, 0.9, 0.1, 0.1, 0.1)
        await world.add_client("a", "--zone", "a")

        async def is_shared() -> bool:
            counts = await world.shares("a", 400)
            near = sum(counts[:2]) / 400
            return abs(near - 0.5 / 1.4) < 0.07 and counts[1] > 5 * counts[0] > 0

        await until(is_shared)
