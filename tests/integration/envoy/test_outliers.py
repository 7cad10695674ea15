"""Real Envoys leave endpoints that answer badly, and come back to them."""

from pathlib import Path

import pytest

from tests.integration.envoy.resilience import listen, run_world
from tests.integration.envoy.world import Json, until

pytestmark = pytest.mark.envoy

OFTEN: Json = {"interval": "100ms"}
LONG: Json = {**OFTEN, "baseEjectionTime": "1h"}


async def test_an_outlier_gets_nothing_for_its_time_and_then_its_part_again(
    tmp_path: Path,
) -> None:
    """Of three, one may be out: Envoy's own default of 10 % would eject none."""
    detection: Json = {"consecutive5xx": 3, "baseEjectionTime": "1s", **OFTEN}
    async with run_world(tmp_path, {"outlierDetection": detection}) as world:
        await world.until_used(0, 1, 2)
        world.endpoints[1].statuses = [500]
        await world.until_used(0, 2)
        world.endpoints[1].statuses = [200]
        await world.until_used(0, 1, 2)


async def test_an_outlier_stays_out_though_it_passes_its_health_checks(
    tmp_path: Path,
) -> None:
    check: Json = {
        "type": "HTTP",
        "interval": "50ms",
        "timeout": "50ms",
        "healthyThreshold": 1,
        "http": {"path": "/"},
    }
    sections: Json = {"outlierDetection": LONG, "healthCheck": check}
    async with run_world(tmp_path, sections) as world:
        await world.until_used(0, 1, 2)
        failing = world.endpoints[1]
        failing.statuses = [503]
        await world.until_used(0, 2)
        checks = failing.checks

        async def is_checked_again() -> bool:
            return failing.checks >= checks + 5

        await until(is_checked_again)
        await world.until_used(0, 2)

        assert await world.stats("outlier_detection.ejections_active") == 1


@pytest.mark.parametrize(
    "detector",
    [
        {"failurePercentage": {"threshold": 50, "minimumHosts": 3, "requestVolume": 6}},
        {"successRate": {"stdevFactor": 1.2, "minimumHosts": 3, "requestVolume": 6}},
    ],
    ids=["failurePercentage", "successRate"],
)
async def test_an_endpoint_that_often_fails_is_an_outlier_without_a_row_of_errors(
    tmp_path: Path, detector: Json
) -> None:
    detection: Json = {
        "consecutive5xx": 0,
        "interval": "500ms",
        "baseEjectionTime": "1h",
        **detector,
    }
    async with run_world(tmp_path, {"outlierDetection": detection}) as world:
        await world.until_used(0, 1, 2)
        world.endpoints[0].statuses = [500, 200, 500]
        await world.until_used(1, 2)


async def test_gateway_errors_alone_may_count(tmp_path: Path) -> None:
    detection: Json = {**LONG, "consecutive5xx": 0, "consecutiveGatewayErrors": 2}
    async with run_world(tmp_path, {"outlierDetection": detection}) as world:
        world.endpoints[2].statuses = [500]
        answers = [await world.ask() for _ in range(60)]
        failed = [each for each in answers if each.status == 500]
        world.endpoints[1].statuses = [502, 503]
        await world.until_used(0, 2)

        assert len(failed) == 20


async def test_failures_to_connect_may_count_by_themselves(tmp_path: Path) -> None:
    """An endpoint that answers with errors is then none that cannot be reached."""
    detection: Json = {
        **OFTEN,
        "baseEjectionTime": "1s",
        "consecutive5xx": 0,
        "consecutiveLocalErrors": 2,
    }
    sections: Json = {"outlierDetection": detection}
    async with run_world(tmp_path, sections, silent=[1]) as world:
        world.endpoints[0].statuses = [500]
        await world.until_used(0, 2)
        async with listen(world.endpoints[1]):
            await world.until_used(0, 1, 2)
