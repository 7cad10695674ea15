"""Weights by the CPU of Pods, as the metrics API of a real API server tells it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import pytest
import yaml

from tests.deploy.kustomization import KUBERNETES
from tests.integration.envoy.test_control_loop import traffic_of
from tests.integration.envoy.world import (
    LOOPBACK,
    Client as Envoy,
    Json,
    Server,
    run_client,
    run_server,
    until,
)
from tests.integration.kubernetes.loopback import pod_addresses
from tests.integration.kubernetes.metrics_api import (
    measuring,
    metrics_api,
    without_metrics_api,
)
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from tests.integration.kubernetes.objects import node, pod, service
from tests.integration.kubernetes.test_manifests import Manifest, rules
from xds_server.api.policy import API_VERSION
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.scenario import free_port
from xds_server.mesh.model import Protocol
from xds_server.status_table import WeighedPort

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
    pytest.mark.timeout(300),
]

PODS: Final = 3
SAMPLE: Final = 1000
"""Requests."""
POLICY: Final = {
    "apiVersion": API_VERSION,
    "kind": "TrafficPolicy",
    "metadata": {"name": "web"},
    "spec": {
        "targetRefs": [{"kind": "Service", "name": "web"}],
        "loadBalancer": {
            "type": "PerformanceBased",
            "performanceBased": {"metrics": ["kubernetes.cpu"], "updatePeriod": "1s"},
        },
    },
}
INSTALL: Final = "install metrics-server; until then endpoints count as equal"
GRANT: Final = 'grant list on pods of apiGroup "metrics.k8s.io"'


@pytest.fixture
def addresses() -> Iterator[tuple[str, ...]]:
    """Return addresses of this machine that a Pod may have."""
    with pod_addresses(PODS) as addresses:
        yield addresses


async def create(
    namespace: Namespace, addresses: Sequence[str], port: int = 8080
) -> None:
    """Create a Service `web` that goes by the CPU of a Pod at each address."""
    await namespace.create_node(node(namespace.name))
    await namespace.create_service(service("web", target_port=port))
    for number, address in enumerate(addresses):
        document = pod(
            f"web-{number}",
            labels={"app": "web"},
            node=namespace.name,
            container={"resources": {"requests": {"cpu": "500m"}}},
        )
        await namespace.create_pod(document, [address])
    policies = namespace.path("trafficpolicies", group_version=API_VERSION)
    await namespace.client.create(policies, POLICY)


@asynccontextmanager
async def serving(
    namespace: Namespace, kubeconfig: Path | None = None
) -> AsyncIterator[tuple[Server, Address]]:
    """Run the server on the namespace; yield it, and where it listens."""
    flags = ["--kubernetes", "--kubeconfig", str(kubeconfig or namespace.kubeconfig)]
    flags += ["--namespace", namespace.name]
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    log = namespace.folder / "serve.log"
    async with run_server([], log, xds=xds, admin=admin, flags=flags) as server:
        yield server, xds


async def until_told(server: Server, *beginnings: str) -> None:
    """Return when hints that begin so are all that problems have."""

    async def is_told() -> bool:
        hints = [each.hint or "" for each in (await server.status()).problems]
        pairs = zip(hints, beginnings, strict=False)
        return len(hints) == len(beginnings) and all(h.startswith(b) for h, b in pairs)

    try:
        await until(is_told, FOLLOWING)
    except TimeoutError:
        pytest.fail(f"not {beginnings} in {(await server.status()).problems}")


@pytest.mark.usefixtures("policy_crd")
async def test_what_is_missing_is_named_and_nothing_else_is_asked_for(
    namespace: Namespace,
) -> None:
    """Neither metrics-server nor the permission: each in turn, and nobody is hurt."""
    await without_metrics_api(namespace.client)
    granted: list[Json] = [msgspec.to_builtins(rule) for rule in rules()]
    text = (KUBERNETES / "pod-metrics.yaml").read_text("utf-8")
    role, *_ = yaml.safe_load_all(text)
    more: list[Json] = [
        msgspec.to_builtins(rule) for rule in msgspec.convert(role, Manifest).rules
    ]
    account = await namespace.create_account("server", granted + more)
    await create(namespace, ["10.1.0.1", "10.1.0.2"])
    async with serving(namespace, account) as (server, _):
        await until_told(server, INSTALL)
        async with metrics_api(namespace.client):
            await until_told(server)
            await namespace.set_rules("server", granted)
            await until_told(server, GRANT)
            await namespace.set_rules("server", granted + more)
            await until_told(server)
        await until_told(server, INSTALL)
        policies = namespace.path("trafficpolicies", "web", API_VERSION)
        await namespace.client.delete(policies)
        await until_told(server)

        assert await server.is_ready()


async def port_of(server: Server) -> WeighedPort:
    (port,) = (await server.status()).weights
    return port


async def share_of(server: Server, address: str) -> float:
    """Return the part of the traffic that the weights ask for."""
    endpoints = (await port_of(server)).endpoints
    return next(e.share for e in endpoints if e.address.startswith(f"{address}:"))


@asynccontextmanager
async def sidecar(xds: Address, namespace: Namespace) -> AsyncIterator[Envoy]:
    authority = f"web.{namespace.name}"
    async with run_client(
        namespace.folder, xds, "delta", authority=authority
    ) as client:
        await until(client.answers)
        yield client


@pytest.mark.envoy
@pytest.mark.usefixtures("policy_crd")
async def test_weights_follow_the_cpu_of_pods(
    namespace: Namespace, addresses: tuple[str, ...]
) -> None:
    """All answer alike, so nothing but the metrics API tells that one is busy.

    It loses as long as it is, and then another one is. With a weight of a tenth it gets
    a fifth of the requests at most by least request, which counts what is in progress.
    If each request were drawn, 280 of 1,000 or more would have a probability of 1e-9.
    """
    await without_metrics_api(namespace.client)
    port = free_port()
    backends = [
        Backend(address=Address(each, port), protocol=Protocol.HTTP1)
        for each in addresses
    ]
    await create(namespace, addresses, port)
    usages = {f"web-{number}": "100m" for number in range(PODS)} | {"web-0": "400m"}
    busy, next_one, _ = addresses
    async with (
        metrics_api(namespace.client),
        measuring(namespace, usages),
        serve_backends(backends),
        serving(namespace) as (server, xds),
        sidecar(xds, namespace) as client,
        traffic_of([client]) as traffic,
    ):

        async def is_light() -> bool:
            return await share_of(server, busy) < 1 / 10

        await until(is_light, 2 * FOLLOWING)
        await traffic.has_more(SAMPLE)
        served = traffic.served[-SAMPLE:]
        light = await share_of(server, busy)
        standing = {each.address: each for each in (await port_of(server)).endpoints}
        usages["web-0"], usages["web-1"] = "50m", "400m"

        async def is_exchanged() -> bool:
            is_lighter = await share_of(server, next_one) < 1 / 4
            return is_lighter and await share_of(server, busy) > light + 0.01

        await until(is_exchanged, 2 * FOLLOWING)
        problems = (await server.status()).problems

    assert traffic.failures == []
    assert sum(name.startswith(f"{busy}:") for name in served) < 0.28 * SAMPLE
    assert standing[f"{busy}:{port}"].load == pytest.approx(0.8)
    assert standing[f"{next_one}:{port}"].load == pytest.approx(0.2)
    assert standing[f"{busy}:{port}"].latency_seconds is not None
    assert problems == []
