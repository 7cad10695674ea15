"""The example program makes Services that the control plane spreads as they say."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import Node
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)

from examples.service_per_algorithm import ALGORITHMS
from tests.integration.envoy.world import LOOPBACK, run_server
from tests.integration.kubernetes.namespace import Namespace
from tests.integration.kubernetes.objects import node, pod, service
from tests.serve.wire import Wire, channel_to, open_delta
from tools.kubernetes.client import Stamp
from xds_server.api.algorithm import LoadBalancerType
from xds_server.lab.backend import Address
from xds_server.lab.scenario import free_port
from xds_server.xds import CLUSTER, ENDPOINT

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

EXAMPLE: Final = Path(__file__).parents[3] / "examples" / "service_per_algorithm.py"
EXTENSIONS: Final = {
    "server-round-robin": "round_robin",
    "server-random": "random",
    "server-weighted": "round_robin",
    "server-least-request": "least_request",
    "server-ring-hash": "ring_hash",
    "server-maglev": "maglev",
    "server-ip-hash": "maglev",
    "server-performance-based": "least_request",
}
"""What each Service becomes in Envoy; weights tell turns by weight from turns."""
PODS: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    ("small", "10.1.0.1", {}),
    ("large", "10.1.0.2", {"traffic.xds-server.dev/weight": "3"}),
)
DeltaWire = Wire[DeltaDiscoveryRequest, DeltaDiscoveryResponse]


class Item(msgspec.Struct, frozen=True):
    metadata: Stamp


class Items(msgspec.Struct, frozen=True):
    items: list[Item]


@dataclass(frozen=True, kw_only=True)
class Done:
    """What the program left behind."""

    returncode: int
    printed: str
    complaints: str


async def run(kubeconfig: Path, *arguments: str) -> Done:
    """Run the program as its reader would."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLE), *arguments),
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaints = (text.decode() for text in await process.communicate())
    assert process.returncode is not None
    return Done(returncode=process.returncode, printed=printed, complaints=complaints)


async def versions(namespace: Namespace) -> dict[str, str]:
    """Return the version of each Service."""
    answer = await namespace.client.get(namespace.path("services"))
    stamps = [each.metadata for each in msgspec.json.decode(answer, type=Items).items]
    return {stamp.name: stamp.resource_version for stamp in stamps}


@asynccontextmanager
async def sidecar(namespace: Namespace) -> AsyncIterator[DeltaWire]:
    """Run the server on the namespace; yield a stream to it."""
    flags = ["--kubernetes", "--kubeconfig", str(namespace.kubeconfig)]
    flags += ["--namespace", namespace.name]
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    log = namespace.folder / "serve.log"
    async with (
        run_server([], log, xds=xds, admin=admin, flags=flags),
        channel_to(str(xds)) as channel,
    ):
        yield open_delta(channel)


async def sent(
    wire: DeltaWire, type_url: str, names: Sequence[str] = ()
) -> dict[str, bytes]:
    """Return what the sidecar is sent of one type, by name."""
    request = DeltaDiscoveryRequest(
        node=Node(id="one"), type_url=type_url, resource_names_subscribe=names
    )
    await wire.send(request)
    response = await wire.receive()
    assert response.type_url == type_url
    return {each.name: each.resource.value for each in response.resources}


def extension_of(value: bytes) -> tuple[str, str]:
    """Return the Service of a cluster, and what spreads its requests."""
    cluster = Cluster.FromString(value)
    (policy,) = cluster.load_balancing_policy.policies
    _, service_name, _ = cluster.name.rsplit("/", 2)
    extension = policy.typed_extension_config.name
    return service_name, extension.rpartition(".")[2]


def weights_in(value: bytes) -> dict[str, int]:
    """Return the weight of each address in an assignment."""
    (locality,) = ClusterLoadAssignment.FromString(value).endpoints
    return {
        each.endpoint.address.socket_address.address: each.load_balancing_weight.value
        for each in locality.lb_endpoints
    }


@pytest.mark.usefixtures("policy_crd")
async def test_each_service_is_spread_as_it_says(namespace: Namespace) -> None:
    await namespace.create_node(node(namespace.name))
    for name, address, annotations in PODS:
        document = pod(
            name,
            labels={"app": "server"},
            node=namespace.name,
            annotations=annotations,
            container={"ports": [{"name": "http", "containerPort": 8080}]},
        )
        await namespace.create_pod(document, [address])

    done = await run(namespace.kubeconfig, "--namespace", namespace.name)
    await namespace.until_endpoints("server-weighted", lambda found: len(found) == 2)
    async with sidecar(namespace) as wire:
        clusters = await sent(wire, CLUSTER)
        names = [each for each in clusters if "server-weighted" in each]
        (assignment,) = (await sent(wire, ENDPOINT, names)).values()

    assert (done.returncode, done.complaints) == (0, "")
    assert [*map(LoadBalancerType.parse, ALGORITHMS)] == [*LoadBalancerType]
    assert dict(map(extension_of, clusters.values())) == EXTENSIONS
    assert weights_in(assignment) == {"10.1.0.1": 1, "10.1.0.2": 3}


async def test_it_can_be_repeated_and_deletes_its_own_alone(
    namespace: Namespace,
) -> None:
    await namespace.create_service(service("web"))
    await run(namespace.kubeconfig, "--namespace", namespace.name)
    before = await versions(namespace)
    await run(namespace.kubeconfig, "--namespace", namespace.name)
    after = await versions(namespace)
    done = await run(namespace.kubeconfig, "--namespace", namespace.name, "--delete")

    assert after == before
    assert done.printed.count(": deleted\n") == len(ALGORITHMS)
    assert list(await versions(namespace)) == ["web"]


async def test_what_another_has_set_stays(namespace: Namespace) -> None:
    annotations = {"traffic.xds-server.dev/load-balancer": "MAGLEV"}
    taken = service("server-round-robin", annotations=annotations)
    await namespace.create_service(taken)
    done = await run(namespace.kubeconfig, "--namespace", namespace.name)

    assert done.returncode == 1
    assert "conflict" in done.complaints
    assert "hint: another program has set this" in done.complaints


async def test_a_missing_permission_is_said(namespace: Namespace) -> None:
    nobody = await namespace.create_account("nobody")
    done = await run(nobody, "--namespace", namespace.name)

    assert done.returncode == 1
    assert 'cannot patch resource "services"' in done.complaints
    assert "hint: it takes the verbs create, patch, list and delete" in done.complaints


async def test_a_missing_namespace_is_said(namespace: Namespace) -> None:
    done = await run(namespace.kubeconfig, "--namespace", "xds-test-nowhere")

    assert done.returncode == 1
    assert 'namespaces "xds-test-nowhere" not found' in done.complaints
    assert "hint: kubectl create namespace makes it" in done.complaints


async def test_a_missing_cluster_is_said(namespace: Namespace, tmp_path: Path) -> None:
    away = tmp_path / "away.kubeconfig"
    server = f"https://{LOOPBACK}:{free_port()}"
    text = namespace.kubeconfig.read_text()
    away.write_text(re.sub(r"https://\S+", server, text))
    nowhere, refused = await asyncio.gather(run(tmp_path / "none"), run(away))

    assert nowhere.returncode == refused.returncode == 1
    assert nowhere.complaints.startswith("error: no cluster: ")
    assert "error: the API server cannot be reached: " in refused.complaints
