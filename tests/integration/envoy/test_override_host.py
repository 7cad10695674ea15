"""A real Envoy sends a request to the endpoint that its caller names."""

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.envoy.resilience import World, run_world
from tests.integration.envoy.world import Json, until

pytestmark = pytest.mark.envoy

SECTIONS: Json = {"overrideHost": {"header": {"name": "X-Endpoint"}}}
NOBODY = "10.255.255.1:80"


async def who(world: World, *named: str, requests: int = 12) -> Counter[str]:
    """Return who answers *requests* that name these endpoints."""
    headers = {"x-endpoint": ", ".join(named)} if named else {}
    answers = [await world.ask(headers=headers) for _ in range(requests)]
    return Counter(each.body for each in answers)


async def test_the_named_endpoint_answers(tmp_path: Path) -> None:
    """All that name none, or one that is none, take turns; those that do, do not."""
    async with run_world(tmp_path, SECTIONS) as world:
        names = [each.name for each in world.endpoints]
        turns = Counter(dict.fromkeys(names, 4))
        for name in names:
            assert await who(world, name) == {name: 12}
            assert await who(world) == turns
        for unknown in (NOBODY, "nonsense", names[0].partition(":")[0]):
            assert await who(world, unknown) == turns
        assert await who(world, NOBODY, names[1], names[2]) == {names[1]: 12}


async def test_a_hash_decides_where_nothing_is_named(tmp_path: Path) -> None:
    balancer: Json = {"type": "Maglev", "hashOn": [{"header": {"name": "x-user"}}]}
    sections = {**SECTIONS, "loadBalancer": balancer}
    async with run_world(tmp_path, sections) as world:

        async def who_has(user: str, **headers: str) -> set[str]:
            asked = {"x-user": user, **headers}
            return {(await world.ask(headers=asked)).body for _ in range(6)}

        kept = {str(user): await who_has(str(user)) for user in range(20)}

        assert {len(each) for each in kept.values()} == {1}
        assert len(set.union(*kept.values())) == 3
        for user in kept:
            named = world.endpoints[0].name
            assert await who_has(user, **{"x-endpoint": named}) == {named}


async def test_a_retry_goes_to_the_next_that_is_named(tmp_path: Path) -> None:
    sections = {**SECTIONS, "retry": {"retryOn": ["5xx"], "attempts": 1}}
    async with run_world(tmp_path, sections) as world:
        failing, *others = world.endpoints
        failing.statuses = [503]
        for other in others:
            assert await who(world, failing.name, other.name) == {other.name: 12}
        assert failing.arrived == 24


async def test_health_is_not_asked_for(tmp_path: Path) -> None:
    """Two endpoints whose checks fail, of which one is named; the other gets none."""
    check: Json = {"type": "HTTP", "interval": "50ms", "http": {"path": "/"}}
    sections = {**SECTIONS, "healthCheck": check, "panicThreshold": 0}
    async with run_world(tmp_path, sections) as world:
        well, named, other = world.endpoints
        named.check_status = other.check_status = 500
        await world.until_used(0)

        assert await who(world, named.name) == {named.name: 12}
        assert await who(world) == {well.name: 12}


async def test_a_policy_that_is_taken_away_takes_the_choice_away(
    tmp_path: Path,
) -> None:
    async with run_world(tmp_path, SECTIONS) as world:
        name = world.endpoints[0].name
        assert await who(world, name) == {name: 12}
        world.write({"panicThreshold": 50})

        async def is_without_effect() -> bool:
            return len(await who(world, name)) == 3

        await until(is_without_effect)
