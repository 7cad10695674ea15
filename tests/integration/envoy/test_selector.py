"""Two real Envoys, of which one is a batch job's, with different policies each.

Turns and weighted turns are exact, so every share here is too.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

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
LABELLED = "node: {metadata: {labels: {tier: batch}}}"


@dataclass(frozen=True, kw_only=True)
class World:
    """Two backends, an Envoy with the label `tier: batch`, and one without labels."""

    mesh: Mesh
    batch: Client
    other: Client

    def write(self, name: str, **spec: object) -> None:
        """Write the policy *name*, in the namespace that its target is."""
        namespace = "xds-system" if name == "mesh" else "shop"
        target = {"kind": "Service", "name": "web"}
        if name in ("mesh", "space"):
            target = {"kind": "Namespace", "name": namespace}
        document = {
            "apiVersion": "traffic.xds-server.dev/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"targetRefs": [target], **spec},
        }
        # Renamed into place: half a file would be a version, too.
        (new := self.mesh.folder / f"{name}.new").write_text(yaml.safe_dump(document))
        new.rename(self.mesh.folder / f"{name}.yaml")

    def remove(self, name: str) -> None:
        """Take a policy away."""
        (self.mesh.folder / f"{name}.yaml").unlink()

    def weighted(self, *weights: int) -> Mapping[str, object]:
        """Return a load balancer with a weight for each backend."""
        rules: Sequence[object] = [
            {"addresses": [backend.address.ip], "weight": weight}
            for backend, weight in zip(self.mesh.backends, weights, strict=True)
        ]
        return {"type": "Weighted", "weights": {"rules": rules}}

    async def until_shared(self, client: Client, *shares: int) -> None:
        """Return when the backends get these shares of a round of *client*."""
        expected = Counter(dict(zip(self.mesh.names, shares, strict=True)))

        async def holds() -> bool:
            return await client.shares(ROUND) == expected

        await until(holds)


@asynccontextmanager
async def run_world(
    home: Path,
    mode: str,
    *,
    told: Sequence[str] = (),
    flags: Sequence[str] = (),
    other: Sequence[str] = (),
) -> AsyncIterator[World]:
    """Run everything, the Envoy of the batch job in a *mode*, the other in the other.

    What its bootstrap is *told*, and its *flags*, are those of the batch job.
    """
    modes = ("delta", "sotw") if mode == "delta" else ("sotw", "delta")
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(run_mesh(home / "mesh", backends=2))
        await stack.enter_async_context(
            run_server([mesh.folder], home / "server.log", xds=xds, admin=admin)
        )
        clients = [
            await stack.enter_async_context(
                run_client(home, xds, own, told=said, flags=more)
            )
            for own, said, more in zip(modes, (told, other), (flags, ()), strict=True)
        ]
        for client in clients:
            await until(client.answers)
        yield World(mesh=mesh, batch=clients[0], other=clients[1])


@pytest.fixture(params=["delta", "sotw"])
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Run everything, the Envoy of the batch job in either mode.

    Its label is in its bootstrap, or in a flag that goes before it.
    """
    mode: str = request.param
    told = ("--label", "tier=batch") if mode == "delta" else ()
    flags = () if told else ("--config-yaml", LABELLED)
    async with run_world(tmp_path, mode, told=told, flags=flags) as found:
        yield found


async def test_each_follows_the_policy_that_is_for_it(world: World) -> None:
    """A new one, a changed one, and one that is gone; the other Envoy stays as is."""
    batch = {"matchLabels": {"tier": "batch"}}
    world.write("web", loadBalancer=world.weighted(1, 2))
    await world.until_shared(world.batch, 20, 40)
    await world.until_shared(world.other, 20, 40)
    world.write("jobs", clientSelector=batch, loadBalancer=world.weighted(3, 1))
    await world.until_shared(world.batch, 45, 15)
    await world.until_shared(world.other, 20, 40)
    world.write("jobs", clientSelector=batch, loadBalancer=world.weighted(0, 1))
    await world.until_shared(world.batch, 0, 60)
    await world.until_shared(world.other, 20, 40)
    world.remove("jobs")
    await world.until_shared(world.batch, 20, 40)
    await world.until_shared(world.other, 20, 40)


async def test_levels(world: World) -> None:
    """What is nearest to the Service counts, and what is behind it afterwards."""
    world.write("mesh", loadBalancer=world.weighted(1, 3))
    await world.until_shared(world.other, 15, 45)
    world.write("space", loadBalancer=world.weighted(2, 1))
    await world.until_shared(world.other, 40, 20)
    world.write("web", loadBalancer=world.weighted(5, 1))
    await world.until_shared(world.other, 50, 10)
    world.remove("space")
    world.remove("web")
    await world.until_shared(world.other, 15, 45)
    world.remove("mesh")
    await world.until_shared(world.batch, 30, 30)


@pytest.mark.parametrize("mode", ["delta", "sotw"])
async def test_each_namespace_follows_the_policy_that_is_for_it(
    tmp_path: Path, mode: str
) -> None:
    """The namespaces of a policy may change, and labels may be asked for beside them.

    The Service is in neither namespace: where a client is counts, not what it asks for.
    """
    jobs = ("--namespace", "jobs", "--label", "tier=batch")
    other = ("--namespace", "web", "--label", "tier=batch")
    async with run_world(tmp_path, mode, told=jobs, other=other) as world:
        world.write("web", loadBalancer=world.weighted(1, 2))
        own = world.weighted(3, 1)
        world.write("own", clientSelector={"namespaces": ["jobs"]}, loadBalancer=own)
        await world.until_shared(world.batch, 45, 15)
        await world.until_shared(world.other, 20, 40)
        both = {"namespaces": ["jobs", "web"]}
        world.write("own", clientSelector=both, loadBalancer=own)
        await world.until_shared(world.other, 45, 15)
        await world.until_shared(world.batch, 45, 15)
        batch = {"namespaces": ["web"], "matchLabels": {"tier": "batch"}}
        world.write("own", clientSelector=batch, loadBalancer=own)
        await world.until_shared(world.batch, 20, 40)
        await world.until_shared(world.other, 45, 15)
        nobody = {"namespaces": ["web"], "matchLabels": {"tier": "web"}}
        world.write("own", clientSelector=nobody, loadBalancer=own)
        await world.until_shared(world.other, 20, 40)
        await world.until_shared(world.batch, 20, 40)
