"""Real Envoys share their traffic among localities by the weights of a policy."""

import math
from pathlib import Path

import pytest

from tests.integration.envoy.places import World, run_world, zones
from tests.integration.envoy.world import Json, until
from xds_server.lab.traffic import Request, send

pytestmark = pytest.mark.envoy

KEYS = 2400
TURNS: Json = {"type": "RoundRobin"}
BY_USER: Json = {"hashOn": [{"header": {"name": "x-user"}}]}


def to(**weights: int) -> list[Json]:
    return [{"zone": zone, "weight": weight} for zone, weight in weights.items()]


def weighted(*rules: Json, **more: object) -> Json:
    return {"type": "Weighted", "weighted": {"rules": list(rules), **more}}


ONE_TO_NINE = weighted({"to": to(a=10, b=90)})


async def by_key(world: World) -> list[str]:
    """Return who serves each of many keys."""
    return await send(
        world.clients["a"].target,
        [Request(headers=(("x-user", f"key-{n}"),)) for n in range(KEYS)],
    )


async def until_zone_a_gets(world: World, client: str, low: int, high: int) -> None:
    """Return when the first backend gets so many of 100 requests."""

    async def holds() -> bool:
        return low <= (await world.shares(client, 100))[0] <= high

    await until(holds)


@pytest.mark.parametrize(
    ("balancer", "inside"),
    [
        (TURNS, (40, 120, 120, 120)),
        (
            {
                "type": "Weighted",
                "weights": {"rules": [{"addresses": ["127.0.13.2"], "weight": 4}]},
            },
            (40, 240, 60, 60),
        ),
    ],
    ids=["in turn", "weighted"],
)
async def test_turns_are_shared_by_the_weights_of_localities(
    tmp_path: Path, balancer: Json, inside: tuple[int, ...]
) -> None:
    """Exactly, but for where a schedule begins; without the section, 1/4 each."""
    sections: Json = {"loadBalancer": balancer}
    async with run_world(tmp_path, zones("abbb"), sections) as world:
        await world.add_client("a")
        world.write({**sections, "locality": ONE_TO_NINE})
        await until_zone_a_gets(world, "a", 9, 11)
        counts = await world.shares("a", 400)

        assert all(abs(n - m) <= 2 for n, m in zip(counts, inside, strict=True))


@pytest.mark.parametrize("kind", ["RingHash", "Maglev"])
async def test_keys_are_shared_too_and_keep_their_endpoint(
    tmp_path: Path, kind: str
) -> None:
    """H0: a key is of zone a with a chance of 10 %, by the table's own entries.

    Beyond 6.2 standard deviations of 2,400 keys it is not: a false alarm is a matter
    of 6e-10. A ring of 65,536 entries has shares within 1 % of its weights.
    """
    ring: Json = {"ringHash": {"minimumRingSize": 65536}} if kind == "RingHash" else {}
    balancer: Json = {"type": kind, **ring, **BY_USER}
    sections: Json = {"loadBalancer": balancer, "locality": ONE_TO_NINE}
    async with run_world(tmp_path, zones("abbb"), sections) as world:
        await world.add_client("a")
        first = await by_key(world)
        again = await by_key(world)
        a = str(world.backends[0].address)
        sigma = math.sqrt(KEYS * 0.1 * 0.9)
        slack = KEYS * 0.01 if ring else 0

        assert first == again
        assert abs(first.count(a) - KEYS * 0.1) <= 6.2 * sigma + slack
        assert len(set(first)) == 4


async def test_reports_of_load_count_inside_of_a_locality(tmp_path: Path) -> None:
    """The zone keeps its share, however well its endpoints are."""
    balancer: Json = {
        "type": "PerformanceBased",
        "performanceBased": {
            "source": "OrcaHeaders",
            "blackoutPeriod": "1ms",
            "updatePeriod": "100ms",
        },
    }
    sections: Json = {"loadBalancer": balancer, "locality": ONE_TO_NINE}
    async with run_world(tmp_path, zones("abb"), sections) as world:
        for backend, utilization in zip(world.backends, (0.1, 0.2, 0.8), strict=True):
            backend.load = {"cpu_utilization": utilization, "rps_fractional": 100}
        await world.add_client("a")

        async def is_shared() -> bool:
            """By 10 %, and 4:1 of the rest: 72 and 18."""
            counts = await world.shares("a", 400)
            expected = zip(counts, (40, 288, 72), strict=True)
            return all(abs(n - m) <= 8 for n, m in expected)

        await until(is_shared)


async def test_the_clients_place_picks_the_rule(tmp_path: Path) -> None:
    """Whoever no rule is for shares as if there were no localities."""
    locality = weighted(
        {"from": {"zone": "a"}, "to": to(a=90, b=10)},
        {"from": {"region": "south"}, "to": to(a=0)},
    )
    async with run_world(tmp_path, zones("ab"), {"locality": locality}) as world:
        await world.add_client("a", "--zone", "a")
        await world.add_client("s", "--region", "south", "--zone", "z", mode="sotw")
        await world.add_client("z", "--region", "north", "--zone", "z")
        await until_zone_a_gets(world, "a", 89, 91)
        await world.until_served("s", 1)
        await world.until_served("z", 0, 1)


async def test_what_nobody_is_there_to_take_goes_to_the_others(tmp_path: Path) -> None:
    """A zone without endpoints, and one that is not named: as many as it has."""
    locality = weighted({"to": to(a=1, b=2)})
    async with run_world(tmp_path, zones("abcc"), {"locality": locality}) as world:
        await world.add_client("a")
        await until_zone_a_gets(world, "a", 19, 21)  # 1 of 1 + 2 + 2
        world.write({"locality": locality}, only=[0, 2, 3])
        await world.until_served("a", 0, 2, 3)
        world.write({"locality": weighted({"to": to(a=1, b=2)}, default="None")})
        await until_zone_a_gets(world, "a", 32, 35)
        assert (await world.shares("a", 100))[2:] == [0, 0]


async def test_a_locality_that_is_half_ill_gives_a_part_of_its_share(
    tmp_path: Path,
) -> None:
    """Zone a has half, of which min(1, 1/2 * 140 %) stay: 0.35 / 0.85 = 41 %."""
    check: Json = {
        "type": "HTTP",
        "http": {"path": "/"},
        "interval": "200ms",
        "timeout": "200ms",
        "noTrafficInterval": "200ms",
    }
    locality = weighted({"to": to(a=1, b=1)})
    sections: Json = {"locality": locality, "healthCheck": check}
    async with run_world(tmp_path, zones("aabb"), sections) as world:
        await world.add_client("a")
        world.backends[1].check_status = 503

        async def is_shared() -> bool:
            counts = await world.shares("a", 400)
            return counts[1] == 0 and abs(counts[0] - 165) <= 2

        await until(is_shared)
