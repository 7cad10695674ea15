"""Below the panic threshold a real Envoy ignores health, above it does not."""

from pathlib import Path

import pytest

from tests.integration.envoy.resilience import Answer, run_world
from tests.integration.envoy.world import Json, until

pytestmark = pytest.mark.envoy

REFUSED = Answer(503, "no healthy upstream")

CHECK: Json = {
    "type": "HTTP",
    "interval": "100ms",
    "timeout": "100ms",
    "unhealthyThreshold": 1,
    "healthyThreshold": 1,
    "http": {"path": "/"},
}


async def test_at_0_health_counts_to_the_last_endpoint_and_then_answers_503(
    tmp_path: Path,
) -> None:
    sections: Json = {"healthCheck": CHECK, "panicThreshold": 0}
    async with run_world(tmp_path, sections) as world:
        await world.until_used(0, 1, 2)
        for endpoint in world.endpoints[:2]:
            endpoint.check_status = 503
        await world.until_used(2)
        world.endpoints[2].check_status = 503

        async def is_refused() -> bool:
            return await world.ask() == REFUSED

        await until(is_refused)
        arrived = [endpoint.arrived for endpoint in world.endpoints]
        answers = [await world.ask() for _ in range(20)]

        assert set(answers) == {REFUSED}
        assert [endpoint.arrived for endpoint in world.endpoints] == arrived


async def test_the_threshold_is_the_policys(tmp_path: Path) -> None:
    """2 of 3 are 66.7 %."""
    sections: Json = {"healthCheck": CHECK, "panicThreshold": 66.6}
    async with run_world(tmp_path, sections) as world:
        await world.until_used(0, 1, 2)
        world.endpoints[0].check_status = 503
        await world.until_used(1, 2)
        world.write({"healthCheck": CHECK, "panicThreshold": 67})
        await world.until_used(0, 1, 2)
