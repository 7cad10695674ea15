"""What policies say of themselves where things come late, twice, wrong or again.

On a real API server; the one that a sidecar rejects, with a real Envoy.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.integration.envoy.world import LOOPBACK, run_client, run_server, until
from tests.integration.kubernetes.custom_resource import CustomResource, loosened
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from tests.integration.kubernetes.objects import service
from tests.integration.kubernetes.test_source import following
from tests.integration.kubernetes.test_status import (
    RANDOM,
    Policies,
    policies,
    serving,
    sidecar,
)
from xds_server.api.policy import API_VERSION
from xds_server.engine import CLUSTER, ENDPOINT, Table
from xds_server.lab.backend import Address
from xds_server.lab.scenario import free_port
from xds_server.policy_status.survey import Survey
from xds_server.policy_status.trouble import Troubles
from xds_server.policy_status.writer import Pace, StatusWriter
from xds_server.sources.kube_api import KubeApi
from xds_server.sources.kubernetes import collections

__all__ = ["policies"]

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.usefixtures("policy_crd"),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

SOON: Final = timedelta(milliseconds=50)
HOUR: Final = timedelta(hours=1)
WITHOUT_RANDOM: Final = (
    "--disable-extensions",
    "envoy.load_balancing_policies/envoy.load_balancing_policies.random",
)
BAD: Final = f"""
apiVersion: {API_VERSION}
kind: TrafficPolicy
metadata: {{name: bad}}
spec:
  targetRefs: [{{kind: Service, name: web}}]
  loadBalancer: {{type: Maglev, maglev: {{tableSize: 65536}}}}
"""
HOPELESS: Final = f"""
apiVersion: {API_VERSION}
kind: TrafficPolicy
metadata: {{name: hopeless}}
spec: {{targetRefs: everything, mood: bad}}
"""


class _Metadata(msgspec.Struct, frozen=True):
    created: str = msgspec.field(name="creationTimestamp")


class _Created(msgspec.Struct, frozen=True):
    metadata: _Metadata


async def test_a_service_that_is_made_again_has_its_endpoints_and_policies(
    namespace: Namespace, policies: Policies
) -> None:
    """It is another object of the same name; nothing of the first must be left."""
    async with serving(namespace) as server, sidecar(server, "one"):
        await policies.create("web")
        await policies.until("web", "Distributed", "True", "1 of 1")
        await namespace.client.delete(namespace.path("services", "web"))
        gone = await policies.until("web", "Accepted", "False", "there is no Service")
        await namespace.create_service(service("web", port=81))
        await policies.until("web", "Accepted", "True")
        again = await policies.until("web", "Distributed", "True", "1 of 1")

    assert gone.conditions["Accepted"].reason == "TargetNotFound"
    assert gone.conditions["ResolvedRefs"].status == "False"
    assert set(again.conditions) == {
        "Accepted",
        "ResolvedRefs",
        "Programmed",
        "Distributed",
    }


async def test_a_policy_that_is_older_than_its_target_waits_for_it(
    namespace: Namespace, policies: Policies
) -> None:
    async with serving(namespace) as server, sidecar(server, "one"):
        await policies.create("early", target="late")
        await policies.until("early", "Accepted", "False", "there is no Service")
        await namespace.create_service(service("late"))
        await policies.until("early", "Accepted", "True")
        await policies.until("early", "Distributed", "True", "1 of 1")


async def test_of_two_policies_the_oldest_is_in_force_after_a_restart_too(
    namespace: Namespace, policies: Policies
) -> None:
    """And whatever they are called: the younger one is told who, until that goes."""
    winner = f"TrafficPolicy {namespace.name}/z"
    async with serving(namespace):
        await policies.create("z")
        await until_younger(policies, than="z")
        await policies.create("a")
        lost = await policies.until("a", "Conflicted", "True", winner)
        won = await policies.until("z", "Programmed", "True")
    flags = ["--kubernetes", "--kubeconfig", str(namespace.kubeconfig)]
    flags += ["--namespace", namespace.name]
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    log = namespace.folder / "again.log"
    async with run_server([], log, xds=xds, admin=admin, flags=flags):
        await policies.create("third")
        await policies.until("third", "Conflicted", "True", winner)
        after = await policies.get("a"), await policies.get("z")
        await namespace.client.delete(policies.path("z"))
        await policies.until("a", "Accepted", "True")

    assert lost.says("Accepted", "False", "which is older, and in force")
    assert (after[0].metadata, after[1].metadata) == (lost.metadata, won.metadata)


async def until_younger(policies: Policies, *, than: str) -> None:
    """Return when what is created now is younger by the API server's clock."""
    client = policies.namespace.client
    answer = await client.get(policies.path(than))
    created = msgspec.json.decode(answer, type=_Created).metadata.created

    async def is_later() -> bool:
        tried = await policies.create("tried", query={"dryRun": "All"})
        return msgspec.json.decode(tried, type=_Created).metadata.created > created

    await until(is_later, FOLLOWING)


async def test_a_policy_that_passes_a_looser_schema_says_what_is_wrong_with_it(
    namespace: Namespace, policies: Policies, policy_crd: CustomResource
) -> None:
    """It is in nobody's way: what is good beside it is in force."""
    async with (
        loosened(policy_crd, namespace),
        serving(namespace) as server,
        sidecar(server, "one"),
    ):
        await policy_crd.create(namespace, BAD)
        await policy_crd.create(namespace, HOPELESS)
        await policies.create("good")
        bad = await policies.until("bad", "Accepted", "False", "must be a prime number")
        await policies.until("hopeless", "Accepted", "False", "spec.targetRefs")
        await policies.until("good", "Distributed", "True", "1 of 1")

    assert bad.conditions["Accepted"].reason == "Invalid"
    assert bad.status.ancestors[0].ancestor_ref.name == "web"


async def test_a_wrong_clock_moves_the_times_of_conditions_and_nothing_else(
    namespace: Namespace, policies: Policies
) -> None:
    """First an hour fast, then an hour slow; each state is written once."""
    skew = HOUR
    await namespace.create_service(service("web"))
    await policies.create("first")
    mirrored = tuple(collections([namespace.name]))
    async with following(namespace.kubeconfig, [namespace.name]) as mesh:
        await mesh.until(lambda: mesh.index.listed)
        api = KubeApi(namespace.kubeconfig)
        writer = StatusWriter(
            api,
            mirrored,
            lambda: Survey(
                mesh.index,
                tables={each: Table(each) for each in (CLUSTER, ENDPOINT)},
                failures={},
                clients=(),
            ),
            troubles=Troubles(),
            pace=Pace(settle=SOON, interval=SOON, recount=SOON),
            clock=lambda: datetime.now(UTC) + skew,
        )

        async def says(name: str, *expected: str) -> bool:
            writer.hear()
            return (await policies.get(name)).says("Accepted", *expected)

        async with api.connected(), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(writer.run())
            await until(lambda: says("first", "True"), FOLLOWING)
            fast = await policies.get("first")
            await policies.create("second", target="nowhere")
            await until(lambda: says("second", "False"), FOLLOWING)
            still = await policies.get("first")
            skew = -HOUR
            await namespace.client.delete(namespace.path("services", "web"))
            await until(lambda: says("first", "False"), FOLLOWING)
            slow = await policies.get("first")
            await policies.create("third", target="nowhere")
            await until(lambda: says("third", "False"), FOLLOWING)
            last = await policies.get("first")
            task.cancel()

    now = datetime.now(UTC)
    times = [
        datetime.fromisoformat(each.conditions["Accepted"].last_transition_time)
        for each in (fast, slow)
    ]
    assert times[0] > now + HOUR / 2
    assert times[1] < now - HOUR / 2
    assert (still.metadata, last.metadata) == (fast.metadata, slow.metadata)


@pytest.mark.envoy
async def test_a_real_envoy_that_rejects_a_policy_is_named_with_its_words(
    namespace: Namespace, policies: Policies, tmp_path: Path
) -> None:
    """One without the extension that the policy asks for, beside one that has it."""
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    words = "didn't find a registered load balancer factory"
    async with (
        serving(namespace) as server,
        run_client(tmp_path / "with", server.xds, "delta"),
    ):
        await policies.create("web", RANDOM)
        await policies.until("web", "Distributed", "True", "1 of 1")
        async with run_client(
            tmp_path / "without",
            server.xds,
            "delta",
            role="gateway",
            flags=WITHOUT_RANDOM,
        ):
            text = f"gateway-delta rejects cluster {namespace.name}/web/80"
            rejected = await policies.until(
                "web", "Distributed", "False", "acknowledged 1 of 2", text
            )
            await policies.until("web", "Programmed", "False", text, words)
            await until(lambda: has_note(policies, text), FOLLOWING)

    assert rejected.says("Accepted", "True")
    assert rejected.conditions["Programmed"].reason == "Rejected"


async def has_note(policies: Policies, text: str) -> bool:
    """Whether there is an Event that begins with *text*."""
    return any(each.note.startswith(text) for each in await policies.notes())
