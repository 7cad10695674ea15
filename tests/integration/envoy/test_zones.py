"""Real Envoys in two zones: each stays in its own while somebody is there to serve it.

Turns inside a zone are exact, so every share here is too.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.envoy.world import (
    LOOPBACK,
    Client,
    Mesh,
    run_client,
    run_mesh,
    run_server,
    until,
)
from xds_server.lab.backend import Address
from xds_server.lab.scenario import free_port

pytestmark = pytest.mark.envoy

ROUND = 60


@dataclass(frozen=True, kw_only=True)
class World:
    """Two backends in each of two zones, and an Envoy in each zone."""

    mesh: Mesh
    a: Client
    b: Client

    @property
    def names(self) -> list[str]:
        """Two backends in the zone `a`, then two in the zone `b`."""
        return self.mesh.names


async def until_served(client: Client, *names: str) -> None:
    """Return when these backends serve the requests of *client* in equal parts."""
    expected = Counter(dict.fromkeys(names, ROUND // len(names)))

    async def holds() -> bool:
        return await client.shares(ROUND) == expected

    await until(holds)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Run everything: the Envoy in `a` speaks delta, that in `b` state of the world."""
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(
            run_mesh(tmp_path / "mesh", backends=4, zones="aabb")
        )
        await stack.enter_async_context(
            run_server([mesh.folder], tmp_path / "server.log", xds=xds, admin=admin)
        )
        a, b = [
            await stack.enter_async_context(run_client(tmp_path, xds, mode, zone=zone))
            for mode, zone in (("delta", "a"), ("sotw", "b"))
        ]
        for client in (a, b):
            await until(client.answers)
        yield World(mesh=mesh, a=a, b=b)


async def test_traffic_stays_in_its_zone_fails_over_and_comes_back(
    world: World,
) -> None:
    a1, a2, b1, b2 = world.names
    await until_served(world.a, a1, a2)
    await until_served(world.b, b1, b2)
    world.mesh.write_service(only=[b1, b2])
    await until_served(world.a, b1, b2)
    await until_served(world.b, b1, b2)
    world.mesh.write_service(only=[a1, b1, b2])
    await until_served(world.a, a1)
    await until_served(world.b, b1, b2)


async def test_what_is_ending_sends_nothing_to_the_other_zone(world: World) -> None:
    """Half of a zone drains: a half that had failed would cost it 30 % of its traffic.

    Envoy counts what is draining neither as there nor as failed.
    """
    a1, a2, b1, b2 = world.names
    await until_served(world.a, a1, a2)
    world.mesh.write_service(ending=[a2])
    await until_served(world.a, a1)
    await until_served(world.b, b1, b2)
    world.mesh.write_service(ending=[a1, a2])
    await until_served(world.a, b1, b2)
