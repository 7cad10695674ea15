"""Several replicas on a real API server: one writes, with the counts of all."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import pytest
import pytest_asyncio

from tests.integration.envoy.world import LOOPBACK, Server, run_server, until
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from tests.integration.kubernetes.objects import node, pod, service
from tests.integration.kubernetes.test_manifests import rules
from tests.integration.kubernetes.test_status import (
    READING,
    Policies,
    has_notes,
    sidecar,
)
from tools.kubernetes.control_plane import ControlPlane
from xds_server.lab.backend import Address
from xds_server.lab.scenario import free_port
from xds_server.replicas.lease import (
    Lease,
    LeaseName,
    LeaseSpec,
    collection_path,
    lease_body,
)
from xds_server.replicas.member import ROLL as ROLL_LABEL
from xds_server.status_table import Status

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.usefixtures("policy_crd"),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

ELECTED: Final = "xds-server"
GROUP: Final = 'on leases of apiGroup "coordination.k8s.io"'
ELECTION: Final = f"grant get, create and patch {GROUP}"
REPORT: Final = f"grant create, patch and delete {GROUP}"
ROLL: Final = f"grant list, watch and delete {GROUP}"
HINTS: Final = {
    "get": {ELECTION},
    "list": {ROLL},
    "watch": {ROLL},
    "create": {ELECTION, REPORT},
    "patch": {ELECTION, REPORT},
    "delete": {ROLL},
}
"""What is said without one of the verbs on Leases."""


class Leases(msgspec.Struct):
    """Some Leases."""

    items: list[Lease]


@pytest_asyncio.fixture(loop_scope="session")
async def policies(namespace: Namespace) -> Policies:
    """Return the policies of a namespace with a Service `web` of one Pod."""
    await namespace.create_node(node(namespace.name))
    await namespace.create_service(service("web"))
    await namespace.create_pod(
        pod("web-0", labels={"app": "web"}, node=namespace.name), ["10.1.0.1"]
    )
    await namespace.until_endpoints("web", lambda found: len(found) == 1)
    return Policies(namespace=namespace)


@asynccontextmanager
async def replica(
    namespace: Namespace, name: str, kubeconfig: Path | None = None
) -> AsyncIterator[Server]:
    """Run the replica *name*."""
    flags = ["--kubernetes", "--kubeconfig", str(kubeconfig or namespace.kubeconfig)]
    flags += ["--namespace", namespace.name, "--replica", name]
    flags += ["--lease", f"{namespace.name}/{ELECTED}"]
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    log = namespace.folder / f"{name}.log"
    async with run_server([], log, xds=xds, admin=admin, flags=flags) as server:
        yield server


async def metrics(server: Server) -> str:
    """Return what `/metrics` says."""
    async with server.session.get(f"http://{server.admin}/metrics") as answer:
        return await answer.text()


async def leases(namespace: Namespace) -> dict[str, str]:
    """Return who holds which Lease."""
    answer = await namespace.client.get(collection_path(namespace.name))
    items = msgspec.json.decode(answer, type=Leases).items
    return {each.metadata.name: each.spec.holder_identity for each in items}


async def until_led_by(namespace: Namespace, name: str) -> None:
    """Return when the replica *name* leads."""

    async def leads() -> bool:
        return (await leases(namespace)).get(ELECTED, "").startswith(f"{name}_")

    await until(leads, FOLLOWING)


async def test_one_replica_writes_what_all_have_counted(
    namespace: Namespace, policies: Policies
) -> None:
    """Whatever a sidecar says to another replica stands on the policy, too."""
    async with replica(namespace, "a") as a:
        await until_led_by(namespace, "a")
        async with replica(namespace, "b") as b, sidecar(a, "one"), sidecar(b, "two"):
            await policies.create("web")
            await policies.until("web", "Distributed", "True", "2 of 2 sidecars")
            async with sidecar(b, "bad", refusal="no ring for you"):
                text = f"bad rejects cluster {namespace.name}/web/80: no ring for you"
                after = await policies.until(
                    "web", "Distributed", "False", "acknowledged 2 of 3", text
                )
                await until(lambda: has_notes(policies), FOLLOWING)
            await policies.until("web", "Programmed", "True")
            edit = {"spec": {"loadBalancer": {"type": "RoundRobin"}}}
            await namespace.client.patch(policies.path("web"), edit)
            edited = await policies.until(
                "web", "Distributed", "True", "2 of 2 sidecars"
            )

    assert after.says("Programmed", "False", text)
    assert edited.metadata.generation == 2
    assert {each.manager for each in edited.metadata.managed_fields} >= {"xds-server"}


async def test_another_leads_at_once_when_one_stops(
    namespace: Namespace, policies: Policies
) -> None:
    """And the Lease of the one that stopped is gone, and what it counted.

    What it knew of weights stays for a while.
    """
    async with replica(namespace, "b") as b, sidecar(b, "two"):
        async with replica(namespace, "a") as a, sidecar(a, "one"):
            await policies.create("web")
            await policies.until("web", "Distributed", "True", "2 of 2 sidecars")
        await policies.until("web", "Distributed", "True", "1 of 1 sidecars")
        assert "xds_server_leader 1.0" in await metrics(b)
        held = await leases(namespace)
        weights = {f"{ELECTED}.weights-{each}" for each in "ab"}
        assert held.keys() == {ELECTED, f"{ELECTED}-b"} | weights
        assert held[ELECTED].startswith("b_")


async def test_another_leads_when_one_hangs_and_goes_on_when_it_is_back(
    namespace: Namespace, policies: Policies
) -> None:
    """What the one that hangs has counted is forgotten, until it is heard again."""
    async with replica(namespace, "a") as a, sidecar(a, "one"):
        await until_led_by(namespace, "a")
        async with replica(namespace, "b") as b, sidecar(b, "two"):
            await policies.create("web")
            await policies.until("web", "Distributed", "True", "2 of 2 sidecars")
            a.child.process.send_signal(signal.SIGSTOP)
            try:
                await until_led_by(namespace, "b")
                await policies.until("web", "Distributed", "True", "1 of 1 sidecars")
                assert f"{ELECTED}-a" not in await leases(namespace)
            finally:
                a.child.process.send_signal(signal.SIGCONT)
            await policies.until("web", "Distributed", "True", "2 of 2 sidecars")
            held = await leases(namespace)

    assert held[ELECTED].startswith("b_")
    assert "not elected any more" in (namespace.folder / "a.log").read_text()


async def test_leases_that_must_not_be_touched_are_named(
    namespace: Namespace, policies: Policies
) -> None:
    """Sidecars are served all the same; nobody writes without an election."""
    reader = await namespace.create_account("reader", [READING])
    async with replica(namespace, "a", reader) as a, sidecar(a, "one"):
        await policies.create("web")

        async def are_told() -> bool:
            return {ELECTION, REPORT} <= await hints(a)

        await until(are_told, FOLLOWING)
        await until(lambda: has_a_node(a), FOLLOWING)

    assert not (await policies.get("web")).status.ancestors


async def has_a_node(server: Server) -> bool:
    """Whether somebody is served."""
    return bool((await server.status()).nodes)


async def hints(server: Server) -> set[str | None]:
    """Return what `/status` says to do."""
    return {each.hint for each in (await server.status()).problems}


async def until_hints(server: Server, expected: set[str]) -> None:
    """Return when `/status` has problems with these hints, and no others."""

    async def are_told() -> bool:
        return await hints(server) == expected

    try:
        await until(are_told)
    except TimeoutError:
        pytest.fail(f"{await hints(server)} are the hints, and not {expected}")


async def test_its_permissions_are_all_that_replicas_need(
    namespace: Namespace, policies: Policies
) -> None:
    """Those of its Role in the namespace of the Lease alone."""
    account = await namespace.create_account(
        "server",
        [msgspec.to_builtins(rule) for rule in rules("ClusterRole")],
        local=[msgspec.to_builtins(rule) for rule in rules("Role")],
    )
    async with (
        replica(namespace, "a", account) as a,
        replica(namespace, "b", account) as b,
        sidecar(a, "one"),
        sidecar(b, "two"),
    ):
        await policies.create("web")
        await policies.until("web", "Distributed", "True", "2 of 2 sidecars")

        assert [(await each.status()).problems for each in (a, b)] == [[], []]


@pytest.mark.parametrize("verb", HINTS)
async def test_each_verb_on_leases_is_named_when_it_is_missing(
    namespace: Namespace, policies: Policies, verb: str
) -> None:
    """Sidecars are served all the same."""
    (leases_rule,) = rules("Role")
    verbs = [each for each in leases_rule.verbs if each != verb]
    account = await namespace.create_account(
        "server",
        [msgspec.to_builtins(rule) for rule in rules("ClusterRole")],
        local=[{**msgspec.to_builtins(leases_rule), "verbs": verbs}],
    )
    gone = LeaseName(namespace.name, ELECTED).of_replica("gone")
    spec = LeaseSpec(holder_identity="gone", lease_duration_seconds=1)
    left = lease_body(gone, spec, labels={ROLL_LABEL: ELECTED})
    await namespace.client.create(collection_path(namespace.name), left)
    async with replica(namespace, "a", account) as a, sidecar(a, "one"):
        await policies.create("web")
        await until_hints(a, HINTS[verb])
        await until(lambda: has_a_node(a), FOLLOWING)


async def test_no_verb_on_leases_is_idle() -> None:
    """So that the test before this one leaves none out."""
    (leases_rule,) = rules("Role")

    assert leases_rule.resources == ["leases"]
    assert set(leases_rule.verbs) == HINTS.keys()


def held_by(status: Status) -> dict[str, dict[str, str | None]]:
    """Return what each sidecar has acknowledged: a version of each type."""
    return {
        node.id: {name: each.acknowledged_version for name, each in node.types.items()}
        for node in status.nodes
    }


async def until_leaders(number: int, *servers: Server) -> None:
    """Return when so many of *servers* lead."""

    async def lead() -> bool:
        said = [await metrics(each) for each in servers]
        return sum("xds_server_leader 1.0" in each for each in said) == number

    await until(lead, FOLLOWING)


async def are_fine(*servers: Server) -> bool:
    """Whether no server has problems."""
    return not any([(await each.status()).problems for each in servers])


@pytest.mark.timeout(600)
async def test_sidecars_and_statuses_outlive_an_outage_of_the_api_server(
    namespace: Namespace, policies: Policies, control_plane: ControlPlane
) -> None:
    """While it lasts nobody leads, and who comes is served what there was."""
    async with (
        replica(namespace, "a") as a,
        replica(namespace, "b") as b,
        sidecar(a, "one"),
        sidecar(b, "two"),
    ):
        await policies.create("web")
        await policies.until("web", "Distributed", "True", "2 of 2 sidecars")
        await until_leaders(1, a, b)
        before = [held_by(await each.status()) for each in (a, b)]
        await control_plane.api_server.kill()
        await until_leaders(0, a, b)
        during = [await each.status() for each in (a, b)]
        async with sidecar(a, "late"):

            async def is_served() -> bool:
                held = held_by(await a.status())
                return held.get("late") == held["one"] == before[0]["one"]

            await until(is_served)
        await control_plane.api_server.start()
        edit = {"spec": {"loadBalancer": {"type": "RoundRobin"}}}
        await namespace.client.patch(policies.path("web"), edit)
        edited = await policies.until("web", "Distributed", "True", "2 of 2 sidecars")
        after = [held_by(await each.status()) for each in (a, b)]
        await until_leaders(1, a, b)
        await until(lambda: are_fine(a, b), FOLLOWING)

    assert [held_by(each) for each in during] == before
    assert all(
        any("connection refused" in problem.message for problem in each.problems)
        for each in during
    )
    assert edited.metadata.generation == 2
    assert [each.keys() for each in after] == [{"one"}, {"two"}]
    assert all(new != old for new, old in zip(after, before, strict=True))
