"""A real Envoy lets through what a bucket of tokens has, and not more.

Buckets are counted, and where one fills while requests come, what may pass is bounded
by the time that was measured.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.envoy.resilience import Answer, World, run_world
from tests.integration.envoy.world import Json, run_client, until

pytestmark = pytest.mark.envoy

FIVE: Json = {"rateLimit": {"requests": 5, "per": "1h"}}
GRPC_RESOURCE_EXHAUSTED = "8"


async def asked(world: World, number: int = 30) -> Sequence[Answer]:
    """Return the answers to so many requests, one after the other."""
    return [await world.ask() for _ in range(number)]


def passed(answers: Sequence[Answer]) -> int:
    """Return how many were let through; all others were limited."""
    statuses = [each.status for each in answers]
    assert set(statuses) <= {200, 429}
    return statuses.count(200)


async def test_a_bucket_is_emptied_and_then_refuses(tmp_path: Path) -> None:
    """Whatever the endpoint: what is refused reaches none. It says who limits."""
    async with run_world(tmp_path, FIVE) as world:
        answers = await asked(world)
        arrived = sum(each.arrived for each in world.endpoints)

    assert passed(answers[:5]) == passed(answers) == arrived == 5
    refused = [each for each in answers if each.status == 429]
    assert {each.body for each in refused} == {"local_rate_limited"}
    assert {each.headers["x-rate-limited-by"] for each in refused} == {"shop/web/80"}


async def test_a_bucket_may_hold_more_or_less_than_comes_in_its_time(
    tmp_path: Path,
) -> None:
    limit: Json = {"requests": 5, "per": "1h", "burst": 12}
    async with run_world(tmp_path, {"rateLimit": limit}) as world:
        assert passed(await asked(world)) == 12


async def test_requests_pass_at_the_rate(tmp_path: Path) -> None:
    """A bucket of 40 that is filled with 20 a second, from full, until 120 have passed.

    By any time no more has passed than it held and what came in, since before the first
    request was sent. And no less than that, since the first was answered, but for what
    came in while no request was there to take it: between two of them. None is awaited
    for 2 s, in which the bucket would run over.
    """
    limit: Json = {"requests": 10, "per": "500ms", "burst": 40}
    async with run_world(tmp_path, {"rateLimit": limit}) as world:
        begun = asked_at = world.clock()
        answered_first = float("inf")
        longest_pause, count = 0.0, 0
        while count < 120:
            longest_pause = max(longest_pause, world.clock() - asked_at)
            asked_at = world.clock()
            status = (await world.ask()).status
            answered_first = min(answered_first, world.clock())
            count += status == 200

            assert status in {200, 429}
            assert count <= 40 + 20 * (world.clock() - begun)

    assert longest_pause < 2
    assert count >= 40 + 20 * (asked_at - answered_first - longest_pause) - 2


async def test_a_retry_takes_no_token(tmp_path: Path) -> None:
    retry: Json = {"retryOn": ["5xx"], "attempts": 3, "backoff": {"base": "1ms"}}
    async with run_world(tmp_path, {**FIVE, "retry": retry}) as world:
        for endpoint in world.endpoints:
            endpoint.statuses = [500]
        statuses = [each.status for each in await asked(world)]

        assert statuses == [500] * 5 + [429] * 25
        assert sum(each.arrived for each in world.endpoints) == 5 * 4


async def test_what_a_server_limits_is_its_own_word(tmp_path: Path) -> None:
    async with run_world(tmp_path, FIVE, endpoints=1) as world:
        world.endpoints[0].statuses = [429]
        (answer,) = await asked(world, 1)

    assert answer.status == 429
    assert "x-rate-limited-by" not in answer.headers


async def test_a_grpc_client_is_told_in_its_own_words(tmp_path: Path) -> None:
    headers = {"content-type": "application/grpc"}
    async with run_world(tmp_path, FIVE) as world:
        answers = [await world.ask(headers=headers) for _ in range(6)]

    assert answers[-1].headers["grpc-status"] == GRPC_RESOURCE_EXHAUSTED


async def test_each_port_and_each_envoy_has_a_bucket_of_its_own(tmp_path: Path) -> None:
    async with (
        run_world(tmp_path, FIVE) as world,
        run_client(tmp_path, world.server.xds, "sotw") as other,
    ):
        assert passed(await asked(world)) == 5

        port = {"host": "web.shop:81"}
        by_port = [await world.ask(headers=port) for _ in range(30)]
        assert passed(by_port) == 5
        assert by_port[-1].headers["x-rate-limited-by"] == "shop/web/81"

        async def is_routed() -> bool:
            return (await world.ask(client=other)).status != 404

        await until(is_routed)
        elsewhere = [await world.ask(client=other) for _ in range(30)]
        assert passed(elsewhere) == 4


async def test_only_the_selected_clients_are_limited(tmp_path: Path) -> None:
    batch: Json = {"clientSelector": {"matchLabels": {"tier": "batch"}}}
    async with (
        run_world(tmp_path, {**FIVE, **batch}) as world,
        run_client(tmp_path, world.server.xds, "delta", label="tier=batch") as client,
    ):

        async def is_limited() -> bool:
            return (await world.ask(client=client)).status == 429

        await until(is_limited)
        assert passed(await asked(world)) == 30


async def test_a_new_policy_is_a_new_bucket(tmp_path: Path) -> None:
    """And a policy that is gone is none, in open connections too."""
    async with run_world(tmp_path, FIVE) as world:
        assert passed(await asked(world)) == 5
        world.write({"rateLimit": {"requests": 7, "per": "1h"}})

        async def passes() -> bool:
            return (await world.ask()).status == 200

        await until(passes)
        assert passed(await asked(world)) == 6
        world.write({"panicThreshold": 50})
        await until(passes)
        assert passed(await asked(world)) == 30


async def test_another_service_fills_the_bucket_and_an_endpoint_does_not(
    tmp_path: Path,
) -> None:
    """Routes are of all Services: a change makes them anew."""
    async with run_world(tmp_path, FIVE) as world:
        assert passed(await asked(world)) == 5
        world.write(FIVE, present=[0, 1])
        used = frozenset(each.address for each in world.endpoints[:2])
        await world.client.envoy.wait_for_hosts({"shop/web/80": used})
        assert passed(await asked(world)) == 0

        another: Json = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": "shop", "name": "another"},
            "spec": {"ports": [{"name": "http", "port": 80}]},
        }
        (world.folder / "another.yaml").write_text(json.dumps(another))

        async def passes() -> bool:
            return (await world.ask()).status == 200

        await until(passes)
        assert passed(await asked(world)) == 4
