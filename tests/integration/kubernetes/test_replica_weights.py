"""Replicas on a real API server weigh as one: real Envoys, each of another replica."""

import random
import signal
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from pathlib import Path
from typing import Final

import pytest

from tests.integration.envoy.test_control_loop import (
    FAST,
    SLOW,
    Line,
    log_of,
    share_of,
    traffic_of,
    versions_of,
    weights_of,
)
from tests.integration.envoy.world import (
    LOOPBACK,
    Server,
    run_client,
    run_server,
    until,
)
from tests.integration.kubernetes.loopback import pod_addresses
from tests.integration.kubernetes.namespace import Namespace
from tests.integration.kubernetes.objects import node, pod, service
from tests.integration.kubernetes.test_replicas import ELECTED, until_led_by
from tests.integration.kubernetes.test_sidecar import POLICIES, policy
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.pace import Pace
from xds_server.lab.scenario import free_port
from xds_server.mesh.model import Protocol

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.envoy,
    pytest.mark.usefixtures("policy_crd"),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

MEANS: Final = (SLOW, SLOW, FAST)
LEARNING: Final = timedelta(seconds=240)
"""For some steps, one each 10 s."""


@pytest.fixture
def addresses() -> Iterator[tuple[str, ...]]:
    """Return addresses of this machine that a Pod may have."""
    with pod_addresses(len(MEANS)) as addresses:
        yield addresses


@dataclass(frozen=True, kw_only=True)
class Place:
    """A namespace whose Service `web` is weighed, and its servers."""

    namespace: Namespace
    backends: Sequence[Backend]
    home: Path

    @property
    def authority(self) -> str:
        """What clients call the Service."""
        return f"web.{self.namespace.name}"

    @asynccontextmanager
    async def replica(self, name: str, xds: Address) -> AsyncIterator[Server]:
        """Run the replica *name*; nothing of it outlives it but its Leases."""
        flags = ["--kubernetes", "--kubeconfig", str(self.namespace.kubeconfig)]
        flags += ["--namespace", self.namespace.name, "--replica", name]
        flags += ["--lease", f"{self.namespace.name}/{ELECTED}"]
        flags += ["--log-format", "json"]
        admin = Address(LOOPBACK, free_port())
        log = self.home / f"{name}.log"
        async with run_server([], log, xds=xds, admin=admin, flags=flags) as server:
            yield server


@asynccontextmanager
async def place_of(
    namespace: Namespace, addresses: Sequence[str], home: Path
) -> AsyncIterator[Place]:
    """Run servers of the speeds `MEANS`, and let the API server know them."""
    port, randomness = free_port(), random.Random(1)  # noqa: S311 - reproducible
    backends = [
        Backend(
            address=Address(address, port),
            protocol=Protocol.HTTP1,
            pace=Pace(randomness=randomness, service_time=mean, workers=4),
        )
        for address, mean in zip(addresses, MEANS, strict=True)
    ]
    await namespace.create_node(node(namespace.name))
    await namespace.create_service(service("web", target_port=port))
    for number, address in enumerate(addresses):
        named = pod(f"web-{number}", labels={"app": "web"}, node=namespace.name)
        await namespace.create_pod(named, [address])
    policies = namespace.path("trafficpolicies", group_version=POLICIES)
    await namespace.client.create(policies, policy({"type": "PerformanceBased"}))
    await namespace.until_endpoints("web", lambda found: len(found) == len(MEANS))
    async with serve_backends(backends):
        yield Place(namespace=namespace, backends=backends, home=home)


async def weigh_alike(*servers: Server) -> bool:
    """Whether all *servers* have the same weights, and so have all their Envoys."""
    weights = [await weights_of(each) for each in servers]
    versions = [set((await versions_of(each)).values()) for each in servers]
    is_same = all(each == weights[0] for each in weights)
    return is_same and all(each == versions[0] != set() for each in versions)


def published(lines: Iterable[Line]) -> list[str]:
    """Return the versions of assignments that were published, in order."""
    found = (each for each in lines if each.event == "published")
    return [each.versions["endpoint"] for each in found]


def followed(server: Server) -> set[str]:
    """Return those that a replica published before it led."""
    begins = "weighing for all replicas"
    before = takewhile(lambda each: each.event != begins, log_of(server))
    return set(published(before))


@pytest.mark.timeout(900)
async def test_replicas_weigh_as_one_and_go_on_when_the_leader_is_killed(
    namespace: Namespace, addresses: tuple[str, ...], tmp_path: Path
) -> None:
    """The leader has an Envoy without traffic: what it learns, the other one saw."""
    xds = [Address(LOOPBACK, free_port()) for _ in range(2)]
    async with (
        place_of(namespace, addresses, tmp_path) as place,
        place.replica("a", xds[0]) as a,
    ):
        await until_led_by(namespace, "a")
        fast = str(place.backends[2].address)
        async with (
            place.replica("b", xds[1]) as b,
            run_client(tmp_path, xds[0], "delta", authority=place.authority),
            run_client(tmp_path, xds[1], "sotw", authority=place.authority) as client,
            traffic_of([client]) as traffic,
        ):

            async def is_learned() -> bool:
                return await share_of(a, fast) > 0.45 and await weigh_alike(a, b)

            await until(is_learned, LEARNING)
            a.child.process.send_signal(signal.SIGKILL)
            await a.child.process.wait()
            assert await share_of(b, fast) > 0.45
            # From now on another is fast.
            for backend, mean in zip(place.backends, (FAST, SLOW, SLOW), strict=True):
                assert backend.pace is not None
                backend.pace.service_time = mean
            await until_led_by(namespace, "b")
            async with place.replica("c", xds[0]) as c:

                async def is_followed() -> bool:
                    quick = str(place.backends[0].address)
                    return await share_of(b, quick) > 0.45 and await weigh_alike(b, c)

                await until(is_followed, LEARNING)
                problems = [(await each.status()).problems for each in (b, c)]

    assert traffic.failures == []
    assert problems == [[], []]
    assert followed(b) <= set(published(log_of(a)))
    assert followed(c) <= set(published(log_of(b)))  # its first ones, too
    assert published(log_of(b))[0] not in followed(c)
