"""Real Envoys that find endpoints by name: who is behind it, and who of them is near.

The answers of DNS may be kept for ten minutes, which no test would wait for.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.integration.envoy.name_server import NameServer, envoy_asking, serve_names
from tests.integration.envoy.world import (
    LOOPBACK,
    Client,
    run_client,
    run_server,
    until,
)
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import AnswerError
from xds_server.mesh.model import Protocol

pytestmark = pytest.mark.envoy

A1, A2, B1 = "127.0.8.1", "127.0.8.2", "127.0.8.3"
ROUND = 60
PATIENCE = timedelta(seconds=120)
"""Many questions to DNS on a busy machine, and far from the time to live."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A Service of one name in each of the zones `a` and `b`, and Envoys in three."""

    folder: Path
    port: int
    names: NameServer
    clients: tuple[Client, ...]

    def write_service(self, *, distribution: str = "PreferSameZone") -> None:
        """Write the Service, which prefers near endpoints by *distribution*."""
        spec = {"ports": [{"name": "http", "port": 80}]}
        near = {"trafficDistribution": distribution} if distribution else {}
        objects = [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": "shop", "name": "web"},
                "spec": {**spec, **near},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "namespace": "shop",
                    "name": "web-1",
                    "labels": {"kubernetes.io/service-name": "web"},
                },
                "addressType": "FQDN",
                "ports": [{"name": "http", "port": self.port}],
                "endpoints": [
                    {"addresses": [f"web-{zone}.test"], "zone": zone} for zone in "ab"
                ],
            },
        ]
        (self.folder / "service.yaml").write_text(yaml.safe_dump_all(objects))

    async def until_served(self, *expected: set[str]) -> None:
        """Return when these serve the requests of each Envoy in equal parts."""
        for client, ips in zip(self.clients, expected, strict=True):
            wanted = Counter(
                {str(Address(ip, self.port)): ROUND // len(ips) for ip in ips}
            )

            async def holds(
                client: Client = client, wanted: Counter[str] = wanted
            ) -> bool:
                try:
                    return await client.shares(ROUND) == wanted
                except AnswerError:  # from an endpoint that has just gone
                    return False

            await until(holds, PATIENCE)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Run everything: Envoys in the zones `a` and `b`, and one that says no zone."""
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    port = free_port()
    backends = [
        Backend(address=Address(ip, port), protocol=Protocol.HTTP1)
        for ip in (A1, A2, B1)
    ]
    (folder := tmp_path / "mesh").mkdir()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve_backends(backends))
        names = await stack.enter_async_context(
            serve_names({"web-a.test": [A1], "web-b.test": [B1]})
        )
        envoy = envoy_asking(names, tmp_path)
        world = World(folder=folder, port=port, names=names, clients=())
        world.write_service()
        await stack.enter_async_context(
            run_server([folder], tmp_path / "server.log", xds=xds, admin=admin)
        )
        clients = tuple(
            [
                await stack.enter_async_context(
                    run_client(tmp_path, xds, mode, zone=zone, envoy=envoy)
                )
                for mode, zone in (("delta", "a"), ("sotw", "b"), ("sotw", ""))
            ]
        )
        for client in clients:
            await until(client.answers, PATIENCE)
        yield World(folder=folder, port=port, names=names, clients=clients)


async def test_names_of_the_same_zone_are_first_and_replicas_are_noticed(
    world: World,
) -> None:
    """A name that has no address any more is as if it had failed: others take over."""
    await world.until_served({A1}, {B1}, {A1, B1})
    world.names.names["web-a.test"] = [A1, A2]
    await world.until_served({A1, A2}, {B1}, {A1, A2, B1})
    world.names.names["web-b.test"] = []
    await world.until_served({A1, A2}, {A1, A2}, {A1, A2})


async def test_another_distribution_is_another_cluster_at_once(world: World) -> None:
    """What a client holds of a cluster is replaced, in both variants."""
    await world.until_served({A1}, {B1}, {A1, B1})
    world.write_service(distribution="")
    await world.until_served({A1, B1}, {A1, B1}, {A1, B1})
    world.write_service()
    await world.until_served({A1}, {B1}, {A1, B1})
