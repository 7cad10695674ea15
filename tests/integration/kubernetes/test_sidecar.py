"""A real Envoy follows what is in a real cluster: Pods, Services and policies."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.integration.envoy.world import (
    LOOPBACK,
    Client,
    Json,
    run_client,
    run_server,
    until,
)
from tests.integration.kubernetes.loopback import pod_addresses
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from tests.integration.kubernetes.objects import node, pod, service
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.scenario import free_port
from xds_server.mesh.model import Protocol

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.envoy,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

POLICIES: Final = "traffic.xds-server.dev/v1alpha1"
BACKENDS: Final = 3


@pytest.fixture
def addresses() -> Iterator[tuple[str, ...]]:
    """Return addresses of this machine that a Pod may have."""
    with pod_addresses(BACKENDS) as addresses:
        yield addresses


def policy(load_balancer: Json) -> Json:
    """Return a TrafficPolicy for the Service `web`."""
    return {
        "apiVersion": POLICIES,
        "kind": "TrafficPolicy",
        "metadata": {"name": "web"},
        "spec": {
            "targetRefs": [{"kind": "Service", "name": "web"}],
            "loadBalancer": load_balancer,
        },
    }


@asynccontextmanager
async def sidecar(
    namespace: Namespace, addresses: tuple[str, ...], home: Path
) -> AsyncIterator[Client]:
    """Run a Service `web` with a Pod at each address, and a sidecar that follows it."""
    port = free_port()
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    backends = [
        Backend(address=Address(each, port), protocol=Protocol.HTTP1)
        for each in addresses
    ]
    await namespace.create_node(node(namespace.name))
    await namespace.create_service(service("web", target_port=port))
    for number, address in enumerate(addresses):
        await namespace.create_pod(
            pod(f"web-{number}", labels={"app": "web"}, node=namespace.name),
            [address],
        )
    flags = ["--kubernetes", "--kubeconfig", str(namespace.kubeconfig)]
    flags += ["--namespace", namespace.name]
    async with (
        serve_backends(backends),
        run_server([], home / "serve.log", xds=xds, admin=admin, flags=flags),
        run_client(home, xds, "delta", authority=f"web.{namespace.name}") as client,
    ):
        yield client


async def until_served_by(client: Client, *addresses: str) -> None:
    """Return when requests are served by *addresses* and no others."""

    async def holds() -> bool:
        shares = await client.shares(3 * BACKENDS)
        return {each.rpartition(":")[0] for each in shares} == set(addresses)

    await until(holds, FOLLOWING)


@pytest.mark.usefixtures("policy_crd")
async def test_pods_services_and_policies_move_traffic(
    namespace: Namespace, addresses: tuple[str, ...], tmp_path: Path
) -> None:
    """Turns for all, without what is not ready; then as the policy says, and its edits.

    Turns are exact, so three rounds show every backend there is.
    """
    policies = namespace.path("trafficpolicies", group_version=POLICIES)
    async with sidecar(namespace, addresses, tmp_path) as client:
        await until_served_by(client, *addresses)
        await namespace.set_pod("web-0", [addresses[0]], ready=False)
        await until_served_by(client, *addresses[1:])
        await namespace.set_pod("web-0", [addresses[0]], ready=True)
        await until_served_by(client, *addresses)

        await namespace.client.create(policies, policy({"type": "IPHash"}))

        async def has_one() -> bool:
            return len(await client.shares(9)) == 1

        await until(has_one, FOLLOWING)
        edited = policy({"type": "RoundRobin"})
        await namespace.client.patch(f"{policies}/web", edited)
        await until_served_by(client, *addresses)
