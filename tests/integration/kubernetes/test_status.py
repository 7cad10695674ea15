"""What became of a policy stands on the policy, on a real API server.

The sidecars are clients that take or refuse what they are sent; the server is the real
one, with a log and a `/status`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc.aio  # type: ignore[import-untyped]  # ships no types
import msgspec
import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from google.rpc.status_pb2 import Status

from tests.integration.envoy.world import LOOPBACK, Server, run_server, until
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from tests.integration.kubernetes.objects import node, pod, service
from tests.integration.kubernetes.test_manifests import rules
from tests.serve.wire import channel_to, open_delta
from tools.kubernetes.client import Json
from xds_server.api.policy import API_VERSION
from xds_server.lab.backend import Address
from xds_server.lab.scenario import free_port
from xds_server.policy_status.condition import CONTROLLER, Ancestor, Condition
from xds_server.xds import CLUSTER, ENDPOINT

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.usefixtures("policy_crd"),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

RANDOM: Final = {"type": "Random"}
TOO_LONG: Final = {
    "header": {"name": "a", "regex": {"pattern": "x{97}", "substitution": "x"}}
}
"""CEL does not know how many instructions RE2 needs; the server does."""
READING: Final = {
    "apiGroups": ["", "discovery.k8s.io", "traffic.xds-server.dev"],
    "resources": ["services", "pods", "endpointslices", "trafficpolicies"],
    "verbs": ["list", "watch"],
}


class Manager(msgspec.Struct, frozen=True):
    """Whose some fields are, and since when."""

    manager: str
    time: str
    subresource: str = ""


class Metadata(msgspec.Struct, frozen=True):
    """The part of a policy's metadata that status is about."""

    generation: int
    resource_version: str = msgspec.field(name="resourceVersion")
    managed_fields: tuple[Manager, ...] = msgspec.field(
        name="managedFields", default=()
    )


class PolicyStatus(msgspec.Struct, frozen=True):
    """What stands on a policy."""

    ancestors: tuple[Ancestor, ...] = ()


class Policy(msgspec.Struct, frozen=True):
    """A policy, for its status."""

    metadata: Metadata
    status: PolicyStatus = PolicyStatus()

    @property
    def conditions(self) -> Mapping[str, Condition]:
        """The conditions of the first target."""
        found = self.status.ancestors[0].conditions if self.status.ancestors else ()
        return {each.type: each for each in found}

    def says(self, type_: str, status: str, *words: str) -> bool:
        """Whether a condition has this status, and these words in its message."""
        found = self.conditions.get(type_)
        return (
            found is not None
            and found.status == status
            and found.observed_generation == self.metadata.generation
            and all(each in found.message for each in words)
        )


class Note(msgspec.Struct, frozen=True):
    """An Event, in short."""

    reason: str
    note: str


class Notes(msgspec.Struct, frozen=True):
    """Some Events."""

    items: tuple[Note, ...]


@dataclass(frozen=True, kw_only=True)
class Policies:
    """The policies of a namespace."""

    namespace: Namespace

    def path(self, name: str = "") -> str:
        """Return the path of the policies, or of one."""
        return self.namespace.path("trafficpolicies", name, API_VERSION)

    async def create(
        self,
        name: str,
        load_balancer: Json = RANDOM,
        *,
        target: str = "web",
        query: Mapping[str, str] | None = None,
        clients: Mapping[str, str] | None = None,
    ) -> bytes:
        """Create a policy for a Service, or for the namespace where *target* is it.

        *clients* are the labels of those that it is for.
        """
        kind = "Namespace" if target == self.namespace.name else "Service"
        selector = {"clientSelector": {"matchLabels": clients}} if clients else {}
        body = {
            "apiVersion": API_VERSION,
            "kind": "TrafficPolicy",
            "metadata": {"name": name},
            "spec": {
                "targetRefs": [{"kind": kind, "name": target}],
                "loadBalancer": load_balancer,
                **selector,
            },
        }
        return await self.namespace.client.call(
            "POST", self.path(), body=body, query=query
        )

    async def get(self, name: str) -> Policy:
        """Return a policy as it is now."""
        answer = await self.namespace.client.get(self.path(name))
        return msgspec.json.decode(answer, type=Policy)

    async def until(self, name: str, type_: str, status: str, *words: str) -> Policy:
        """Return a policy once one of its conditions is like this."""

        async def holds() -> bool:
            return (await self.get(name)).says(type_, status, *words)

        try:
            await until(holds, FOLLOWING)
        except TimeoutError:
            pytest.fail(f"no {type_} {status} {words} in {await self.get(name)}")
        return await self.get(name)

    async def notes(self) -> list[Note]:
        """Return the Events about policies."""
        path = self.namespace.path("events", group_version="events.k8s.io/v1")
        about = {"fieldSelector": "reportingController=" + CONTROLLER}
        answer = await self.namespace.client.get(path, about)
        return list(msgspec.json.decode(answer, type=Notes).items)


@pytest.fixture
def policies(namespace: Namespace) -> Policies:
    """Return the policies of the test's namespace."""
    return Policies(namespace=namespace)


@asynccontextmanager
async def serving(
    namespace: Namespace, kubeconfig: Path | None = None
) -> AsyncIterator[Server]:
    """Run the server on a namespace with a Service `web` of one Pod."""
    await namespace.create_node(node(namespace.name))
    await namespace.create_service(service("web"))
    await namespace.create_pod(
        pod("web-0", labels={"app": "web"}, node=namespace.name), ["10.1.0.1"]
    )
    await namespace.until_endpoints("web", lambda found: len(found) == 1)
    flags = ["--kubernetes", "--kubeconfig", str(kubeconfig or namespace.kubeconfig)]
    flags += ["--namespace", namespace.name]
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    log = namespace.folder / "serve.log"
    async with run_server([], log, xds=xds, admin=admin, flags=flags) as server:
        yield server


@asynccontextmanager
async def sidecar(
    server: Server,
    name: str,
    *,
    refusal: str | None = None,
    user_agent: str = "envoy",
    labels: Mapping[str, str] | None = None,
) -> AsyncIterator[None]:
    """Run a client that accepts everything, or all but clusters."""
    node = Node(id=name, user_agent_name=user_agent)
    node.metadata["labels"] = dict(labels or {})
    async with channel_to(str(server.xds)) as channel, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(follow(channel, node, refusal))
        yield
        task.cancel()


async def follow(channel: grpc.aio.Channel, node: Node, refusal: str | None) -> None:
    """Ask for all clusters and their assignments, and answer, for ever."""
    wire = open_delta(channel)
    await wire.send(DeltaDiscoveryRequest(node=node, type_url=CLUSTER))
    while True:
        message = await wire.call.read()
        answer = wire.response.FromString(message)
        is_refused = refusal is not None and answer.type_url == CLUSTER
        error = Status(message=refusal or "") if is_refused else None
        response = DeltaDiscoveryRequest(
            type_url=answer.type_url, response_nonce=answer.nonce, error_detail=error
        )
        await wire.send(response)
        names = [each.name for each in answer.resources]
        if answer.type_url == CLUSTER and names:
            await wire.send(
                DeltaDiscoveryRequest(type_url=ENDPOINT, resource_names_subscribe=names)
            )


async def test_a_policy_says_that_its_sidecar_has_it_and_is_left_alone_then(
    namespace: Namespace, policies: Policies
) -> None:
    """Left alone however often counts are taken, which the second policy proves."""
    async with serving(namespace) as server, sidecar(server, "one"):
        await policies.create("first")
        written = await policies.until(
            "first", "Distributed", "True", "acknowledged 1 of 1 sidecars"
        )
        async with sidecar(server, "grpc", user_agent="gRPC Go"):
            await policies.create("second")
            await policies.until("second", "Conflicted", "True")
        after = await policies.get("first")

    ancestor = written.status.ancestors[0]
    assert ancestor.controller_name == CONTROLLER
    assert ancestor.ancestor_ref.kind == "Service"
    assert ancestor.ancestor_ref.namespace == namespace.name
    assert {type_: each.status for type_, each in written.conditions.items()} == {
        "Accepted": "True",
        "ResolvedRefs": "True",
        "Programmed": "True",
        "Distributed": "True",
    }
    (ours,) = (
        each for each in written.metadata.managed_fields if each.manager == "xds-server"
    )
    assert ours.subresource == "status"
    assert after.metadata == written.metadata


async def test_a_policy_for_the_namespace_and_one_for_some_clients(
    namespace: Namespace, policies: Policies
) -> None:
    """Each counts the sidecars that it is for, and a nearer one is no conflict."""
    batch = {"tier": "batch"}
    async with (
        serving(namespace) as server,
        sidecar(server, "one"),
        sidecar(server, "job", labels=batch),
    ):
        await policies.create("broad", target=namespace.name)
        broad = await policies.until("broad", "Distributed", "True", "2 of 2")
        await policies.create("jobs", target=namespace.name, clients=batch)
        await policies.until("jobs", "Distributed", "True", "1 of 1")
        await policies.until("broad", "Distributed", "True", "1 of 1")
        await policies.create("own")
        await policies.until("own", "Distributed", "True", "2 of 2")
        words = f"TrafficPolicy {namespace.name}/own (loadBalancer)"
        for name in ("broad", "jobs"):
            found = await policies.until(name, "Overridden", "True", words)
            assert found.says("Accepted", "True")

    reference = broad.status.ancestors[0].ancestor_ref
    assert (reference.kind, reference.name) == ("Namespace", namespace.name)


async def test_a_sidecar_that_rejects_is_named_with_its_words(
    namespace: Namespace, policies: Policies
) -> None:
    """On the policy, where times stay as they are, and once in an Event."""
    async with serving(namespace) as server, sidecar(server, "good"):
        await policies.create("web")
        before = await policies.until("web", "Distributed", "True", "1 of 1")
        async with sidecar(server, "bad", refusal="no ring for you"):
            text = f"bad rejects cluster {namespace.name}/web/80: no ring for you"
            after = await policies.until(
                "web", "Distributed", "False", "acknowledged 1 of 2", text
            )
            await until(lambda: has_notes(policies), FOLLOWING)
        await policies.until("web", "Programmed", "True")
        await policies.until("web", "Distributed", "True", "1 of 1")

    assert after.says("Programmed", "False", text)
    assert after.conditions["Accepted"] == before.conditions["Accepted"]
    assert await policies.notes() == [Note(reason="Rejected", note=text)]


async def has_notes(policies: Policies) -> bool:
    """Whether there are Events."""
    return bool(await policies.notes())


async def test_an_invalid_policy_and_the_loser_of_a_conflict_say_why(
    namespace: Namespace, policies: Policies
) -> None:
    """An edit that is no good is told with its own generation."""
    bad = {"type": "RingHash", "hashOn": [TOO_LONG]}
    async with serving(namespace):
        await policies.create("a")
        await policies.create("b")
        await policies.create("bad", bad)
        await policies.until("bad", "Accepted", "False", "instructions")
        await policies.until(
            "b", "Conflicted", "True", f"TrafficPolicy {namespace.name}/a"
        )
        await policies.until("a", "Distributed", "Unknown", "no sidecar")
        spec = {"spec": {"loadBalancer": bad}}
        await namespace.client.patch(policies.path("a"), spec)
        edited = await policies.until(
            "a", "Accepted", "False", "the last accepted version is in force"
        )

    assert edited.metadata.generation == 2


async def test_a_restart_writes_nothing_that_stands_there_already(
    namespace: Namespace, policies: Policies
) -> None:
    async with serving(namespace):
        await policies.create("a")
        written = await policies.until("a", "Distributed", "Unknown")
    flags = ["--kubernetes", "--kubeconfig", str(namespace.kubeconfig)]
    flags += ["--namespace", namespace.name]
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    log = namespace.folder / "again.log"
    async with run_server([], log, xds=xds, admin=admin, flags=flags):
        await policies.create("b")
        await policies.until("b", "Conflicted", "True")
        after = await policies.get("a")

    assert after.metadata == written.metadata


async def test_its_permissions_are_all_that_it_needs_to_write(
    namespace: Namespace, policies: Policies
) -> None:
    granted = [msgspec.to_builtins(rule) for rule in rules()]
    account = await namespace.create_account("server", granted)
    async with (
        serving(namespace, account) as server,
        sidecar(server, "bad", refusal="no"),
    ):
        await policies.create("web")
        await policies.until("web", "Programmed", "False", "bad rejects")
        await until(lambda: has_notes(policies), FOLLOWING)

        assert (await server.status()).problems == []


async def test_statuses_are_written_without_the_permission_to_create_events(
    namespace: Namespace, policies: Policies
) -> None:
    """That it is missing is named, once there is something to tell."""
    granted = [
        msgspec.to_builtins(rule) for rule in rules() if rule.resources != ["events"]
    ]
    account = await namespace.create_account("quiet", granted)
    hint = 'grant create on events of apiGroup "events.k8s.io"'
    async with serving(namespace, account) as server:
        async with sidecar(server, "bad", refusal="no"):
            await policies.create("web")
            await policies.until("web", "Programmed", "False", "bad rejects")

            async def is_told() -> bool:
                problems = (await server.status()).problems
                return [each.hint for each in problems] == [hint]

            await until(is_told, FOLLOWING)
        await policies.until("web", "Programmed", "True")

    assert not await policies.notes()


async def test_a_missing_permission_is_named_once(
    namespace: Namespace, policies: Policies
) -> None:
    """And its sidecars are served all the same."""
    reader = await namespace.create_account("reader", [READING])
    hint = 'grant patch on trafficpolicies/status of apiGroup "traffic.xds-server.dev"'
    async with serving(namespace, reader) as server, sidecar(server, "one"):
        await policies.create("a")
        await policies.create("b")

        async def is_told() -> bool:
            return hint in [each.hint for each in (await server.status()).problems]

        await until(is_told, FOLLOWING)
        nodes = (await server.status()).nodes

    assert [each.id for each in nodes] == ["one"]
    log = (namespace.folder / "serve.log").read_text()
    assert (
        sum(hint in line or json.dumps(hint) in line for line in log.splitlines()) == 1
    )
