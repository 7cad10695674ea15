"""Real Envoys keep in their zone what it can take, as they know their own Service.

Of the Service `front`, to which the Envoys belong, one is in each of three zones. Draws
are judged at 6.2 standard deviations: a false alarm is a matter of 6e-10.
"""

import math
from pathlib import Path

import pytest

from tests.integration.envoy.places import Spot, World, run_world, zones
from tests.integration.envoy.world import Json, until
from xds_server.lab.traffic import Request, send

pytestmark = pytest.mark.envoy

DRAWS = 2000
OWN = ("--namespace", "shop", "--service", "front", "--zone", "a")
HERE = (*OWN, "--region", "north")
ABC = zones("abc")
STRANGERS = (
    "zones do not count for them: their bootstraps have no --zone, or no --service "
    "that has endpoints there (locality)"
)


def north(names: str) -> list[Spot]:
    return [Spot(zone=name, region="north") for name in names]


def aware(**block: object) -> Json:
    return {"locality": {"type": "ZoneAware", "zoneAware": block}}


async def draws(world: World, client: str = "a") -> list[int]:
    """Return the parts of the zones a, b and c, in whole requests."""
    counts = await world.shares(client, DRAWS)
    found = dict.fromkeys("abc", 0)
    for spot, count in zip(world.spots, counts, strict=True):
        found[spot.zone] += count
    return list(found.values())


async def until_some_stay(world: World, client: str = "a") -> None:
    """Return when zones count: the endpoints of zone a get more than their part."""

    async def holds() -> bool:
        counts = await world.shares(client, 100)
        own = [c for c, s in zip(counts, world.spots, strict=True) if s.zone == "a"]
        return sum(own) > 30

    await until(holds)


async def until_even(world: World, client: str = "a") -> None:
    await world.until_served(client, *range(len(world.spots)))


@pytest.mark.parametrize("told", [HERE, OWN], ids=["region and zone", "zone"])
@pytest.mark.parametrize("mode", ["delta", "sotw"])
async def test_what_the_zone_cannot_take_goes_where_there_is_room(
    tmp_path: Path, mode: str, told: tuple[str, ...]
) -> None:
    """1, 3 and 2 endpoints: zone a has 1/6 of these and 1/3 of the clients.

    So half of it stays; zone b has 1/6 more than its part, and c is full. An Envoy that
    does not say the region, as endpoints' Nodes do, is told of none in its zone.
    """
    async with run_world(tmp_path, north("abbbcc"), aware()) as world:
        world.write(aware(), peers=north("abc"))
        await world.add_client("a", *told, mode=mode)
        await until_some_stay(world)
        a, b, c = await draws(world)

        assert abs(a - DRAWS / 2) <= 6.2 * math.sqrt(DRAWS / 4)
        assert (a + b, c) == (DRAWS, 0)


async def test_all_stays_in_a_zone_that_can_take_it(tmp_path: Path) -> None:
    """And leaves with what can, when endpoints go."""
    async with run_world(tmp_path, zones("aabbcc"), aware()) as world:
        world.write(aware(minimumClusterSize=3), peers=ABC)
        await world.add_client("a", *OWN)
        await world.until_served("a", 0, 1)
        world.write(aware(minimumClusterSize=3), peers=ABC, only=[2, 3, 4, 5])
        await world.until_served("a", 2, 3, 4, 5)
        world.write(aware(minimumClusterSize=3), peers=ABC)
        await world.until_served("a", 0, 1)


async def test_a_service_that_comes_and_goes_is_followed(tmp_path: Path) -> None:
    """An Envoy is not kept waiting for one that is not there; policies say so."""
    async with run_world(tmp_path, zones("aabbcc"), aware()) as world:
        await world.add_client("a", *OWN)
        await world.add_client("b", "--zone", "b", mode="sotw")
        await until_even(world)
        assert await warnings(world) == [f"2 of 2 Envoys: {STRANGERS}"]
        world.write(aware(), peers=ABC)
        await world.until_served("a", 0, 1)
        assert await warnings(world) == [f"1 of 2 Envoys: {STRANGERS}"]
        await until_even(world, "b")
        world.write(aware(), peers=zones("bc"))
        await until_even(world)


async def warnings(world: World) -> list[str]:
    status = await world.server.status()
    return [
        condition.message
        for policy in status.policies
        for target in policy.targets
        for condition in target.conditions
        if condition.type == "Warnings"
    ]


async def test_a_caller_may_choose_and_all_others_stay(tmp_path: Path) -> None:
    """What goes around the algorithm knows the zones of what is inside."""
    header: Json = {"overrideHost": {"header": {"name": "x-endpoint"}}}
    async with run_world(tmp_path, zones("aabbcc"), header) as world:
        world.write({**header, **aware()}, peers=ABC)
        client = await world.add_client("a", *OWN)
        await world.until_served("a", 0, 1)
        chosen = str(world.backends[5].address)
        served = await send(
            client.target, [Request(headers=(("x-endpoint", chosen),))] * 10
        )

        assert set(served) == {chosen}


async def test_few_endpoints_are_used_alike_unless_few_are_enough(
    tmp_path: Path,
) -> None:
    """With the default of 6, zones do not count for five."""
    async with run_world(tmp_path, zones("aabbc"), aware()) as world:
        world.write(aware(), peers=ABC)
        await world.add_client("a", *OWN)
        await until_even(world)
        world.write(aware(minimumClusterSize=5), peers=ABC)
        await world.until_served("a", 0, 1)


async def test_a_part_may_be_left_to_anybody(tmp_path: Path) -> None:
    """At 40 %, zone a gets these, and a third of the rest: 60 %; at 0, a third."""
    block = {"minimumClusterSize": 1, "routingPercent": 40}
    async with run_world(tmp_path, zones("abc"), aware(**block)) as world:
        world.write(aware(**block), peers=ABC)
        await world.add_client("a", *OWN)
        await until_some_stay(world)
        a, b, c = await draws(world)
        world.write(aware(minimumClusterSize=1, routingPercent=0), peers=ABC)
        await until_even(world)

        assert abs(a - DRAWS * 0.6) <= 6.2 * math.sqrt(DRAWS * 0.4 * 0.6)
        assert abs(b - c) <= 1


async def test_all_may_be_forced_into_the_zone(tmp_path: Path) -> None:
    """Unless it has fewer endpoints than are asked for."""
    async with run_world(tmp_path, zones("abbbcc"), aware()) as world:
        world.write(aware(forceLocalZone={}), peers=ABC)
        await world.add_client("a", *OWN)
        await world.until_served("a", 0)
        world.write(aware(forceLocalZone={"minimumEndpoints": 2}), peers=ABC)
        await until_some_stay(world)
        a, b, c = await draws(world)

        assert 0 < a < DRAWS
        assert (b > 0, c) == (True, 0)


async def test_weights_may_be_the_part_of_a_zone(tmp_path: Path) -> None:
    """One endpoint of weight 3, and three of 1: half, or a quarter of all."""
    balancer: Json = {
        "type": "Weighted",
        "weights": {"rules": [{"addresses": ["127.0.13.1"], "weight": 3}]},
    }
    counted: Json = {"loadBalancer": balancer, **aware(minimumClusterSize=1)}
    weighted: Json = {
        "loadBalancer": balancer,
        **aware(minimumClusterSize=1, basis="EndpointWeight"),
    }
    async with run_world(tmp_path, zones("abbb"), counted) as world:
        world.write(weighted, peers=zones("ab"))
        await world.add_client("a", *OWN)
        await world.until_served("a", 0)
        world.write(counted, peers=zones("ab"))

        async def is_shared() -> bool:
            return (await world.shares("a", 100))[0] < 90

        await until(is_shared)
        a, b, _ = await draws(world)

        assert abs(a - DRAWS / 2) <= 6.2 * math.sqrt(DRAWS / 4)
        assert a + b == DRAWS


async def test_a_panic_may_fail_requests_in_place_of_asking_anybody(
    tmp_path: Path,
) -> None:
    """Two of six are healthy: less than half."""
    check: Json = {
        "healthCheck": {
            "type": "HTTP",
            "http": {"path": "/"},
            "interval": "200ms",
            "timeout": "200ms",
            "noTrafficInterval": "200ms",
        }
    }
    async with run_world(tmp_path, zones("aabbcc"), {**aware(), **check}) as world:
        world.write({**aware(), **check}, peers=ABC)
        client = await world.add_client("a", *OWN)
        for backend in world.backends[:4]:
            backend.check_status = 503
        healthy = {"shop/web/80": world.addresses(4, 5)}
        await client.envoy.wait_for_hosts(healthy)
        await until_even(world)
        world.write({**aware(failOnPanic=True), **check}, peers=ABC)

        async def fails() -> bool:
            return not await client.answers()

        await until(fails)
