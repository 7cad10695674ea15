"""A real Envoy spares a Service that fails, in proportion, and not for longer.

Of n requests in the window of which s succeeded, the next is refused with probability
(n - s / threshold) / (n + 1), at most the highest one. What is refused counts in
neither.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.envoy.resilience import World, run_world
from tests.integration.envoy.world import Json, until

pytestmark = pytest.mark.envoy

CONTROL: Json = {
    "successRateThreshold": 90,
    "samplingWindow": "2s",
    "rpsThreshold": 1,
    "maxRejectionPercent": 80,
}
NOT_FOUND, UNAVAILABLE = 5, 14
ASKED = 2000
SIGMAS = 6.5
"""Of a normal distribution less than 1e-10 is so far out."""


def answer_with(world: World, *statuses: int) -> None:
    """Let all endpoints answer with *statuses* in turn."""
    for endpoint in world.endpoints:
        endpoint.statuses = statuses


async def ask(world: World, number: int = ASKED) -> Counter[int]:
    """Return the statuses of so many requests, one after the other."""
    return Counter([(await world.ask()).status for _ in range(number)])


async def fill_window(world: World) -> None:
    """Return when nothing of before is in the window: after 3 s of requests."""
    clock = world.clock
    end = clock() + 3
    while clock() < end:
        await world.ask()


async def test_nothing_is_refused_while_enough_succeed(tmp_path: Path) -> None:
    """One of 20 fails: more than the threshold succeed, so the probability is 0."""
    async with run_world(tmp_path, {"admissionControl": CONTROL}, endpoints=1) as world:
        answer_with(world, *([200] * 19), 500)
        await ask(world, 200)

        assert await ask(world, 400) == {200: 380, 500: 20}


async def test_what_is_refused_is_in_proportion_to_what_fails(tmp_path: Path) -> None:
    """Half of it fails, so 1 - 0.5 / 0.9 of all is refused: 889 of 2,000.

    A draw each: 22 are a standard deviation. What is in the window differs by one
    request from half and half, of hundreds: the probability by less than 0.01, which is
    20 requests.
    """
    async with run_world(tmp_path, {"admissionControl": CONTROL}, endpoints=1) as world:
        answer_with(world, 200, 500)
        await fill_window(world)
        (endpoint,) = world.endpoints
        arrived = endpoint.arrived
        found = await ask(world)

        probability = 1 - 0.5 / 0.9
        sigma = (ASKED * probability * (1 - probability)) ** 0.5
        assert abs(found[503] - ASKED * probability) < SIGMAS * sigma + 20
        assert endpoint.arrived - arrived == ASKED - found[503]


async def test_all_may_fail_and_some_are_sent_to_find_out(tmp_path: Path) -> None:
    """A fifth of the requests, by the highest probability; until all is well again."""
    async with run_world(tmp_path, {"admissionControl": CONTROL}) as world:
        answer_with(world, 500)
        await fill_window(world)
        found = await ask(world)

        sigma = (ASKED * 0.8 * 0.2) ** 0.5
        assert abs(found[503] - ASKED * 0.8) < SIGMAS * sigma
        assert found[500] == ASKED - found[503]

        answer_with(world, 200)

        async def is_well() -> bool:
            return await ask(world, 100) == {200: 100}

        await until(is_well)


async def test_where_few_are_sent_none_is_refused(tmp_path: Path) -> None:
    control = {**CONTROL, "rpsThreshold": 1_000_000}
    async with run_world(tmp_path, {"admissionControl": control}) as world:
        answer_with(world, 500)

        assert await ask(world, 300) == {500: 300}


async def test_what_is_refused_is_not_sent_again_and_each_try_counts(
    tmp_path: Path,
) -> None:
    """Endpoints say 500 and nobody else says 503, so each 503 is one refusal."""
    retry: Json = {"retryOn": ["5xx"], "attempts": 2, "backoff": {"base": "1ms"}}
    sections: Json = {"admissionControl": CONTROL, "retry": retry}
    async with run_world(tmp_path, sections) as world:
        answer_with(world, 500)
        found = await ask(world, 300)
        arrived = sum(each.arrived for each in world.endpoints)
        refused = await world.stats("admission_control.rq_rejected")
        failed = await world.stats("admission_control.rq_failure")
        retries = await world.stats("upstream_rq_retry")

    assert found[503] == refused > 0
    assert failed == arrived
    assert arrived + refused == 300 + retries


async def test_no_endpoint_is_blamed_for_what_is_refused(tmp_path: Path) -> None:
    """404 is a failure by this policy, and none to the outlier detection."""
    sections: Json = {
        "admissionControl": {**CONTROL, "successStatuses": ["200-299"]},
        "outlierDetection": {"consecutive5xx": 1, "interval": "50ms"},
    }
    async with run_world(tmp_path, sections) as world:
        answer_with(world, 404)
        found = await ask(world, 300)
        ejections = await world.stats("ejections_detected_consecutive_5xx")

        assert found[503] > 0
        assert found[404] == 300 - found[503]
        assert ejections == 0


async def test_sound_failures_of_clients_are_none_by_default(tmp_path: Path) -> None:
    async with run_world(tmp_path, {"admissionControl": CONTROL}) as world:
        answer_with(world, 404)

        assert await ask(world, 300) == {404: 300}


async def test_a_grpc_request_is_judged_by_its_own_status(tmp_path: Path) -> None:
    """NOT_FOUND is an answer, UNAVAILABLE is none; both come with a status of 200.

    What is refused is UNAVAILABLE, too.
    """
    grpc = {"content-type": "application/grpc"}
    async with run_world(tmp_path, {"admissionControl": CONTROL}) as world:

        async def arrived(status: int) -> int:
            """Return how many of 100 requests reach an endpoint, and all end so."""
            before = sum(each.arrived for each in world.endpoints)
            for endpoint in world.endpoints:
                endpoint.headers = {**grpc, "grpc-status": str(status)}
            answers = [await world.ask(headers=grpc) for _ in range(100)]

            assert {each.headers["grpc-status"] for each in answers} == {str(status)}
            return sum(each.arrived for each in world.endpoints) - before

        assert await arrived(NOT_FOUND) == 100
        assert await arrived(UNAVAILABLE) < 100
