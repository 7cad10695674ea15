"""Real Envoys in two zones: each stays in its own while somebody is there to serve it.

Turns inside a zone are exact, so every share here is too.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.integration.envoy.world import (
    LOOPBACK,
    Client,
    Json,
    run_client,
    run_server,
    until,
)
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.scenario import free_port
from xds_server.mesh.model import Protocol

pytestmark = pytest.mark.envoy

ZONES = {"127.0.10.1": "a", "127.0.10.2": "a", "127.0.10.3": "b", "127.0.10.4": "b"}
"""Where each backend is."""
ENDING: Json = {"ready": False, "serving": True, "terminating": True}


@dataclass(kw_only=True)
class World:
    """A Service that prefers the same zone, and an Envoy in each zone."""

    file: Path
    port: int
    a: Client
    b: Client

    def write(self, *addresses: str, ending: Sequence[str] = ()) -> None:
        """Let the endpoints be at *addresses*; some of them are *ending*."""
        self.file.write_text(manifests(self.port, addresses, ending))

    async def until_served(self, client: Client, *addresses: str) -> None:
        """Return when these serve the requests of *client* in equal parts."""
        each = 60 // len(addresses)

        async def holds() -> bool:
            return await client.shares(60) == Counter(
                {f"{address}:{self.port}": each for address in addresses}
            )

        await until(holds)


def manifests(port: int, addresses: Sequence[str], ending: Sequence[str]) -> str:
    objects: list[Json] = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {
                "ports": [{"name": "http", "port": 80}],
                "trafficDistribution": "PreferSameZone",
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": "shop",
                "name": "web-1",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": port}],
            "endpoints": [
                {
                    "addresses": [address],
                    "zone": ZONES[address],
                    "conditions": ENDING if address in ending else {},
                }
                for address in addresses
            ],
        },
    ]
    return yaml.safe_dump_all(objects)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Run everything: the Envoy in `a` speaks delta, that in `b` state of the world."""
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    port = free_port()
    backends = [
        Backend(address=Address(address, port), protocol=Protocol.HTTP1)
        for address in ZONES
    ]
    (folder := tmp_path / "mesh").mkdir()
    file = folder / "web.yaml"
    file.write_text(manifests(port, tuple(ZONES), ()))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve_backends(backends))
        await stack.enter_async_context(
            run_server([folder], tmp_path / "server.log", xds=xds, admin=admin)
        )
        a, b = [
            await stack.enter_async_context(run_client(tmp_path, xds, mode, zone=zone))
            for mode, zone in (("delta", "a"), ("sotw", "b"))
        ]
        for client in (a, b):
            await until(client.answers)
        yield World(file=file, port=port, a=a, b=b)


async def test_traffic_stays_in_its_zone_fails_over_and_comes_back(
    world: World,
) -> None:
    await world.until_served(world.a, "127.0.10.1", "127.0.10.2")
    await world.until_served(world.b, "127.0.10.3", "127.0.10.4")
    world.write("127.0.10.3", "127.0.10.4")
    await world.until_served(world.a, "127.0.10.3", "127.0.10.4")
    await world.until_served(world.b, "127.0.10.3", "127.0.10.4")
    world.write("127.0.10.1", "127.0.10.3", "127.0.10.4")
    await world.until_served(world.a, "127.0.10.1")
    await world.until_served(world.b, "127.0.10.3", "127.0.10.4")


async def test_what_is_ending_sends_nothing_to_the_other_zone(world: World) -> None:
    """Half of a zone drains: as a part of it that has failed it would cost it 30 %."""
    await world.until_served(world.a, "127.0.10.1", "127.0.10.2")
    world.write(*ZONES, ending=["127.0.10.2"])
    await world.until_served(world.a, "127.0.10.1")
    await world.until_served(world.b, "127.0.10.3", "127.0.10.4")
    world.write(*ZONES, ending=["127.0.10.1", "127.0.10.2"])
    await world.until_served(world.a, "127.0.10.3", "127.0.10.4")
