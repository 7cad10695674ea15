"""What becomes of reports of load: errors count against an endpoint, old ones for none.

Shares are p/Σp with p = rate / (utilization + errorPenalty * errors / rate): exact but
for rounding, so that a share may be 2 % of all requests off.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.envoy.world import Client, Json, run_world, until
from xds_server.lab.backend import Backend

pytestmark = pytest.mark.envoy

REQUESTS = 300
SLACK = 0.02 * REQUESTS


def orca(**fields: object) -> Json:
    """Return an algorithm that goes by reports, soon."""
    block = {"source": "OrcaHeaders", "blackoutPeriod": "1ms", "updatePeriod": "100ms"}
    return {"type": "PerformanceBased", "performanceBased": {**block, **fields}}


@asynccontextmanager
async def run_two(
    home: Path, load_balancer: Json
) -> AsyncIterator[tuple[Client, Sequence[Backend]]]:
    """Run two endpoints behind an Envoy."""
    async with run_world(home, backends=2, load_balancer=load_balancer) as world:
        yield world.clients[0], world.mesh.backends


async def expect_shares(
    client: Client, backends: Sequence[Backend], *shares: float
) -> None:
    """Return when each endpoint has its share of the requests."""

    async def has_them() -> bool:
        served = await client.shares(REQUESTS)
        return all(
            abs(served[str(backend.address)] - share * REQUESTS) <= SLACK
            for backend, share in zip(backends, shares, strict=True)
        )

    await until(has_them)


async def test_errors_count_as_the_policy_says(tmp_path: Path) -> None:
    """Half of one's requests fail: 0.4 becomes 0.4 + 2 * 0.5 = 1.4; 7/9 and 2/9."""
    async with run_two(tmp_path, orca(errorPenalty=2)) as (client, backends):
        sound, failing = backends
        sound.load = {"rps_fractional": 100.0, "cpu_utilization": 0.4}
        failing.load = {**sound.load, "eps": 50.0}

        await expect_shares(client, backends, 7 / 9, 2 / 9)


async def test_errors_may_count_nothing(tmp_path: Path) -> None:
    """The utilizations alone are 1:3."""
    async with run_two(tmp_path, orca(errorPenalty=0)) as (client, backends):
        sound, failing = backends
        sound.load = {"rps_fractional": 100.0, "cpu_utilization": 0.6}
        failing.load = {"rps_fractional": 100.0, "cpu_utilization": 0.2, "eps": 90.0}

        await expect_shares(client, backends, 1 / 4, 3 / 4)


async def test_a_report_expires(tmp_path: Path) -> None:
    """Without newer ones the endpoint is an ordinary one again: both are equal."""
    async with run_two(tmp_path, orca(expiration="2s")) as (client, backends):
        for backend, utilization in zip(backends, (0.2, 0.8), strict=True):
            backend.load = {"rps_fractional": 9.0, "cpu_utilization": utilization}
        await expect_shares(client, backends, 4 / 5, 1 / 5)
        for backend in backends:
            backend.load = {}

        await expect_shares(client, backends, 1 / 2, 1 / 2)
