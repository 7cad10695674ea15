"""Real Envoys stay near as long as they are served there, and come back.

Turns are exact, so who serves is, too; only how much goes to a next place is drawn.
"""

import asyncio
import math
from pathlib import Path

import pytest

from tests.integration.envoy.places import Spot, World, run_world, zones
from tests.integration.envoy.world import Json, until

pytestmark = pytest.mark.envoy

BY_ZONE: Json = {"type": "Failover", "failover": {"order": ["Zone"]}}
CHECK: Json = {
    "type": "TCP",
    "interval": "100ms",
    "timeout": "100ms",
    "noTrafficInterval": "100ms",
    "unhealthyThreshold": 2,
    "healthyThreshold": 1,
}
EJECT: Json = {
    "consecutive5xx": 1,
    "interval": "100ms",
    "baseEjectionTime": "200ms",
    "maxEjectionTime": "200ms",
    "maxEjectionPercent": 50,
}


async def seconds_to_be_served(world: World, *numbers: int) -> float:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await world.until_served("a", *numbers)
    return loop.time() - start


@pytest.mark.parametrize(
    "noticed",
    [
        {"healthCheck": CHECK, "retry": {}},
        {"outlierDetection": EJECT, "retry": {}},
    ],
    ids=["health checks", "outlier detection"],
)
async def test_a_zone_that_dies_is_left_within_a_second_and_come_back_to(
    tmp_path: Path, noticed: Json
) -> None:
    """Nobody says that it died: its servers are gone, and its endpoints are not.

    A machine may be busy once, so one of three deaths has to be noticed in time.
    """
    sections: Json = {"locality": BY_ZONE, **noticed}
    async with run_world(tmp_path, zones("aabb"), sections) as world:
        await world.add_client("a", "--zone", "a")
        await world.until_served("a", 0, 1)
        times = []
        for _ in range(3):
            await world.kill("a")
            times.append(await seconds_to_be_served(world, 2, 3))
            await world.revive("a")
            await world.until_served("a", 0, 1)

        assert min(times) < 1


async def test_endpoints_that_are_taken_away_are_left_and_come_back_to(
    tmp_path: Path,
) -> None:
    """The zone, then the region, then all others; each change by EDS alone."""
    spots = [
        Spot(zone=zone, region=region)
        for zone, region in (("a", "north"), ("b", "north"), ("c", "south"))
    ]
    sections: Json = {"locality": {"type": "Failover"}}
    async with run_world(tmp_path, spots, sections) as world:
        await world.add_client("a", "--zone", "a", "--region", "north")
        await world.add_client("c", "--zone", "c", "--region", "south", mode="sotw")
        await world.until_served("a", 0)
        await world.until_served("c", 2)
        times = []
        for _ in range(3):
            world.write(sections, only=[1, 2])
            times.append(await seconds_to_be_served(world, 1))
            await world.until_served("c", 2)
            world.write(sections, only=[2])
            await world.until_served("a", 2)
            world.write(sections)
            await world.until_served("a", 0)
            await world.until_served("c", 2)
        world.write(sections, only=[0, 1])
        await world.until_served("c", 0, 1)

        assert min(times) < 1


async def test_labels_are_compared_in_the_order_that_is_written(
    tmp_path: Path,
) -> None:
    """The client's rack first, wherever that is, then its zone."""
    spots = [
        Spot(zone="a", labels={"rack": "r2"}),
        Spot(zone="b", labels={"rack": "r1"}),
        Spot(zone="a"),
        Spot(zone="b", labels={"rack": "r3"}),
    ]
    order: Json = {"order": ["label:rack", "Zone"]}
    sections: Json = {"locality": {"type": "Failover", "failover": order}}
    async with run_world(tmp_path, spots, sections) as world:
        await world.add_client("racked", "--zone", "a", "--label", "rack=r1")
        await world.add_client("a", "--zone", "a", mode="sotw")
        await world.until_served("racked", 1)
        await world.until_served("a", 0, 2)
        world.write(sections, only=[0, 2, 3])
        await world.until_served("racked", 0, 2)
        world.write(sections, only=[3])
        await world.until_served("racked", 3)
        await world.until_served("a", 3)


@pytest.mark.parametrize(("percent", "near"), [(100, 0.5), (140, 0.7), (200, 1.0)])
async def test_half_of_a_zone_keeps_what_the_overprovisioning_leaves_it(
    tmp_path: Path, percent: int, near: float
) -> None:
    """Of four endpoints two fail: min(1, 2/4 * factor) stay, drawn for each request.

    H0: each of 2,000 requests stays with that probability. Beyond 6.2 standard
    deviations it does not; a false alarm is a matter of 6e-10.
    """
    failover: Json = {"order": ["Zone"], "overprovisioningPercent": percent}
    check: Json = {
        **CHECK,
        "type": "HTTP",
        "http": {"path": "/"},
        "interval": "200ms",
        "timeout": "200ms",
        "unhealthyThreshold": 3,
    }
    sections: Json = {
        "locality": {"type": "Failover", "failover": failover},
        "healthCheck": check,
    }
    async with run_world(tmp_path, zones("aaaabbbb"), sections) as world:
        client = await world.add_client("a", "--zone", "a")
        for backend in world.backends[:2]:
            backend.check_status = 503
        healthy = {"shop/web/80": world.addresses(2, 3, 4, 5, 6, 7)}
        await client.envoy.wait_for_hosts(healthy)

        async def is_known_to_workers() -> bool:
            return (await world.shares("a", 40))[:2] == [0, 0]

        await until(is_known_to_workers)
        counts = await world.shares("a", 2000)
        await client.envoy.wait_for_hosts(healthy)

        assert counts[:2] == [0, 0]
        expected, sigma = 2000 * near, math.sqrt(2000 * near * (1 - near))
        assert abs(sum(counts[2:4]) - expected) <= 6.2 * sigma
        assert abs(counts[2] - counts[3]) <= 1


async def test_a_policy_takes_the_place_of_the_traffic_distribution(
    tmp_path: Path,
) -> None:
    """With the type None nobody is near, and without a policy the Service counts."""
    async with run_world(tmp_path, zones("ab"), {"locality": BY_ZONE}) as world:
        await world.add_client("a", "--zone", "a")
        await world.until_served("a", 0)
        nowhere: Json = {"locality": {"type": "None"}}
        world.write(nowhere, distribution="PreferSameZone")
        await world.until_served("a", 0, 1)
        world.write({"panicThreshold": 0}, distribution="PreferSameZone")
        await world.until_served("a", 0)
        world.write({"panicThreshold": 0})
        await world.until_served("a", 0, 1)
