"""What goes wrong around a real API server, and that everything else goes on."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

from tests.integration.envoy.world import (
    LOOPBACK,
    run_server,
    start_server,
    until,
)
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from tests.integration.kubernetes.objects import service
from tests.integration.kubernetes.test_source import ALL, SHORT, create, following
from tests.serve.wire import channel_to, open_delta
from tools.kubernetes.client import Json
from tools.kubernetes.control_plane import ControlPlane
from xds_server.lab.backend import Address
from xds_server.lab.scenario import free_port
from xds_server.sources.kube_api import JSON, KubeApi, KubeError, Query
from xds_server.xds import ENDPOINT

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.usefixtures("policy_crd"),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

WITHOUT_SLICES: Final = {
    "apiGroups": ["", "traffic.xds-server.dev"],
    "resources": ["services", "pods", "nodes", "trafficpolicies"],
    "verbs": ["list", "watch"],
}
MANY: Final = 200
ROUNDS: Final = 10


class WatchedApi(KubeApi):
    """Counts the lists by collection; ends them after one object if it is told to.

    With a control plane, etcd forgets the past in the middle of the first list.
    """

    def __init__(self, kubeconfig: Path, forgetful: ControlPlane | None = None) -> None:
        super().__init__(kubeconfig)
        self.lists: Counter[str] = Counter()
        self.refusals: list[int] = []
        self._forgetful = forgetful

    async def get(self, path: str, query: Query, *, accept: str = JSON) -> bytes:
        """Ask for a page."""
        is_first = "continue" not in query
        self.lists[path.rpartition("/")[2]] += is_first
        if not is_first and self._forgetful is not None:
            plane, self._forgetful = self._forgetful, None
            await forget(plane)
        try:
            return await super().get(path, {**query, "limit": "1"}, accept=accept)
        except KubeError as error:
            self.refusals.append(error.status)
            raise


async def forget(plane: ControlPlane) -> None:
    """Let something happen, then etcd and the API server forget all before it."""
    await plane.api_server.kill()
    await plane.store("tests", [{"metadata": stored("tests", "unseen")}])
    await plane.compact(await plane.revision())
    await plane.api_server.start()


async def test_a_list_whose_rest_is_compacted_away_begins_anew(
    namespace: Namespace, kubeconfig: Path, control_plane: ControlPlane
) -> None:
    """Nobody hears of its half: what is there is there once the second is through."""
    for name in ("one", "two", "three"):
        await namespace.create_service(service(name))
    api = WatchedApi(kubeconfig, control_plane)
    async with following(kubeconfig, [namespace.name], api=api) as mesh:
        await mesh.until(lambda: mesh.index.listed)
        names = {name for _, name in mesh.index.services}
        await mesh.until(lambda: not mesh.problems)

    assert 410 in api.refusals
    assert names == {"one", "two", "three"}


async def test_a_watch_whose_past_is_compacted_away_lists_again(
    namespace: Namespace, kubeconfig: Path, control_plane: ControlPlane
) -> None:
    await namespace.create_service(service("old"))
    api = WatchedApi(kubeconfig)
    async with following(kubeconfig, [namespace.name], api=api) as mesh:
        await mesh.until(lambda: mesh.service(namespace, "old") is not None)
        listed_before = api.lists["services"]
        await forget(control_plane)
        await namespace.client.delete(namespace.path("services", "old"))
        await namespace.create_service(service("new"))
        await mesh.until(lambda: mesh.service(namespace, "new") is not None)
        await mesh.until(lambda: mesh.service(namespace, "old") is None)
        await mesh.until(lambda: not mesh.problems)

    assert listed_before == 1
    assert api.lists["services"] > 1


async def test_a_permission_that_is_taken_away_is_named_until_it_is_given_back(
    namespace: Namespace,
) -> None:
    """What was heard stays in force, and the other collections go on."""
    await create(namespace, "web", "10.1.0.1")
    account = await namespace.create_account("edited", [ALL])
    missing = 'grant list and watch on endpointslices of apiGroup "discovery.k8s.io"'
    async with following(account, [namespace.name], patience=SHORT) as mesh:
        await mesh.until(lambda: mesh.addresses(namespace, "web") == ["10.1.0.1"])
        await namespace.set_rules("edited", [WITHOUT_SLICES])
        await mesh.until(lambda: any(missing in each for each in mesh.problems))
        await create(namespace, "api", "10.1.0.2")
        await mesh.until(lambda: mesh.service(namespace, "api") is not None)
        during = mesh.addresses(namespace, "web"), mesh.addresses(namespace, "api")
        named = [each for each in mesh.problems if "cannot watch" in each]
        await namespace.set_rules("edited", [ALL])
        await mesh.until(lambda: mesh.addresses(namespace, "api") == ["10.1.0.2"])
        await mesh.until(lambda: not mesh.problems)

    assert during == (["10.1.0.1"], [])
    assert len(named) == 1


async def test_a_server_says_clearly_that_it_waits_for_an_api_server(
    namespace: Namespace, control_plane: ControlPlane
) -> None:
    """A line when it begins and one when it is solved, none for attempts between."""
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    flags = ["--kubernetes", "--kubeconfig", str(namespace.kubeconfig)]
    flags += ["--namespace", namespace.name]
    log = namespace.folder / "serve.log"
    await namespace.create_service(service("web"))
    await control_plane.api_server.kill()
    async with start_server([], log, xds=xds, admin=admin, flags=flags) as server:

        async def complains() -> bool:
            return "cannot reach the API server https://" in log.read_text()

        await until(complains, FOLLOWING)
        was_ready = await server.is_ready()
        problems = (await server.status()).problems
        await control_plane.api_server.start()
        await server.child.wait_for(server.is_ready, "readiness", FOLLOWING)

        assert (await server.status()).problems == []

    assert not was_ready
    assert [each.hint for each in problems] == ["nothing is served until it answers"]
    assert problems[0].message.endswith(": connection refused")
    assert log.read_text().count("cannot reach the API server") == 2


async def test_objects_that_are_no_good_are_named_and_in_nobodys_way(
    namespace: Namespace, kubeconfig: Path
) -> None:
    """One that was good stays in force as it was, and its endpoints go on."""
    annotation = "traffic.xds-server.dev/load-balancer"
    await namespace.create_service(service("mad", annotations={annotation: "BEST"}))
    udp = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    both = [*udp, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    await namespace.create_service(service("udp", spec={"ports": udp}))
    await namespace.create_service(service("both", spec={"ports": both}))
    orphan: Json = {
        "metadata": {"name": "orphan"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.0.9"]}],
    }
    await namespace.client.create(namespace.slices, orphan)
    await create(namespace, "web", "10.1.0.1")
    async with following(kubeconfig, [namespace.name]) as mesh:
        await mesh.until(lambda: mesh.addresses(namespace, "web") == ["10.1.0.1"])
        ports = {
            name: [each.port.number for each in one.upstreams]
            for (_, name), one in mesh.index.services.items()
        }
        problems = mesh.problems
        edited = {"metadata": {"annotations": {annotation: "WORST"}}}
        await namespace.client.patch(namespace.path("services", "web"), edited)
        await mesh.until(lambda: any("WORST" in each for each in mesh.problems))
        await namespace.set_pod("web-0", ["10.1.0.1"], ready=False)
        await mesh.until(lambda: mesh.addresses(namespace, "web") == [])
        mended = {"metadata": {"annotations": {annotation: None}}}
        await namespace.client.patch(namespace.path("services", "web"), mended)
        await mesh.until(lambda: not any("WORST" in each for each in mesh.problems))

    assert ports == {"udp": [], "both": [53], "web": [80]}
    assert any("BEST" in each for each in problems)
    assert any("kubernetes.io/service-name" in each for each in problems)


def stored_service(namespace: str, number: int) -> Json:
    """Return a Service as etcd has it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": stored(namespace, f"s{number}"),
        "spec": {
            "clusterIP": "None",
            "clusterIPs": ["None"],
            "ports": [{"name": "http", "port": 80}],
        },
    }


def stored_slice(namespace: str, number: int, round_: int) -> Json:
    """Return the slice of a Service as etcd has it after some rounds of changes."""
    name = f"s{number}"
    labels = {"kubernetes.io/service-name": name}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**stored(namespace, name), "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [f"10.1.{number}.{round_}"]}],
    }


def stored(namespace: str, name: str) -> Json:
    """Return the metadata of an object in etcd."""
    uid = uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{namespace}")
    return {
        "namespace": namespace,
        "name": name,
        "uid": str(uid),
        "creationTimestamp": "2026-03-01T10:00:00Z",
    }


async def test_thousands_of_events_at_once_are_gathered_and_none_is_lost(
    namespace: Namespace, control_plane: ControlPlane
) -> None:
    """2,000 changes of 200 slices, put into etcd 100 at a time."""
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    flags = ["--kubernetes", "--kubeconfig", str(namespace.kubeconfig)]
    flags += ["--namespace", namespace.name]
    log = namespace.folder / "serve.log"

    def slices(round_: int) -> Sequence[Json]:
        return [stored_slice(namespace.name, number, round_) for number in range(MANY)]

    services = [stored_service(namespace.name, number) for number in range(MANY)]
    await control_plane.store("services/specs", services)
    await control_plane.store("endpointslices", slices(0))
    async with (
        run_server([], log, xds=xds, admin=admin, flags=flags),
        channel_to(str(xds)) as channel,
    ):
        wire = open_delta(channel)
        node = Node(id="one", user_agent_name="envoy")
        await wire.send(
            DeltaDiscoveryRequest(
                node=node, type_url=ENDPOINT, resource_names_subscribe=["*"]
            )
        )
        held: dict[str, str] = {}

        async def hear_until(round_: int) -> int:
            """Return after how many responses all are as after that round."""
            responses = 0
            while len(held) < MANY or set(held.values()) != {str(round_)}:
                answer = await wire.receive()
                responses += 1
                for each in answer.resources:
                    held[each.name] = last_number(each.resource.value)
                await wire.send(
                    DeltaDiscoveryRequest(
                        type_url=ENDPOINT, response_nonce=answer.nonce
                    )
                )
            return responses

        async with asyncio.timeout(FOLLOWING.total_seconds()):
            await hear_until(0)
            before = log.read_text().count("published")
            for round_ in range(1, ROUNDS + 1):
                await control_plane.store("endpointslices", slices(round_))
            responses = await hear_until(ROUNDS)

    published = log.read_text().count("published") - before
    assert 1 <= responses <= published <= MANY * ROUNDS / 10


def last_number(assignment: bytes) -> str:
    """Return the end of the address of the only endpoint."""
    (group,) = ClusterLoadAssignment.FromString(assignment).endpoints
    (host,) = group.lb_endpoints
    return host.endpoint.address.socket_address.address.rpartition(".")[2]
