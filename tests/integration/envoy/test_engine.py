"""The engine alone with a real Envoy: resources are published, and Envoy is watched.

In every way that Envoy speaks xDS: all types on one stream (ADS) or a stream for each,
with the state of the world or differences.
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.envoy import engine_process
from tests.integration.envoy.engine import (
    BAD,
    BEFORE_ENVOY_CONNECTS,
    BEFORE_ENVOY_GIVES_UP,
    LOOPBACK,
    WEB,
    Bench,
    Events,
    assignment,
    bad_cluster,
    bad_listener,
    cluster,
    following,
    listener,
    routes,
    serving,
    under_traffic,
)
from tests.integration.envoy.world import PATIENCE, until
from tests.serve.wire import World
from tests.wire.variant import ALL, DELTA, Variant, of_types, over
from xds_server.lab.backend import Address
from xds_server.lab.error import LabError
from xds_server.lab.process import Child, run_child
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import Request, send
from xds_server.serve.grpc_server import XdsServer
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE, Resource

pytestmark = pytest.mark.envoy

RANDOM = "random.v3.Random"
TTL = timedelta(seconds=1)


@pytest.fixture
async def bench(variant: Variant, tmp_path: Path) -> AsyncIterator[Bench]:
    """An Envoy and its world, without a server."""
    async with following(variant, tmp_path) as bench:
        yield bench


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[XdsServer]:
    """The server, when Envoy has accepted all of its first configuration."""
    async with serving(bench.world, bench.events, bench.address) as server:
        await accepted(bench)
        yield server


async def accepted(bench: Bench) -> None:
    version = bench.version_of(CLUSTER)
    await bench.events.ack_of(CLUSTER, version, patience=BEFORE_ENVOY_CONNECTS)
    for type_url in (LISTENER, ROUTE):
        await bench.events.ack_of(type_url, bench.version_of(type_url))


async def served_by(bench: Bench) -> set[str]:
    """Return who serves a few requests."""
    return set(await send(bench.target, [Request()] * 3))


@over(ALL)
@pytest.mark.usefixtures("server")
async def test_all_four_types_arrive_and_carry_a_request(bench: Bench) -> None:
    """Cluster, assignment, listener and route together reach the backend."""
    assert await served_by(bench) == {str(bench.backends[0].address)}


@over(ALL)
@pytest.mark.usefixtures("server")
async def test_rule_36_a_clusters_policy_changes_under_traffic(bench: Bench) -> None:
    """Its endpoints stay: it becomes warm well before Envoy gives up waiting for them.

    No request fails meanwhile.
    """

    async def is_in_force() -> bool:
        return (await bench.policies())[WEB] == "Random"

    async with under_traffic(bench.target):
        bench.world.publish(cluster(bench.variant, policy=RANDOM))
        async with asyncio.timeout(BEFORE_ENVOY_GIVES_UP):
            await until(is_in_force)
        await bench.events.ack_of(CLUSTER, bench.version_of(CLUSTER))


@over(ALL)
@pytest.mark.usefixtures("server")
async def test_endpoints_change_under_traffic(bench: Bench) -> None:
    """Requests go over to the other backend, and none fails."""
    async with under_traffic(bench.target) as traffic:
        bench.world.publish(assignment(bench.backends[1].address))
        await bench.events.ack_of(ENDPOINT, bench.version_of(ENDPOINT))
        await traffic.goes_on()

    assert await served_by(bench) == {str(bench.backends[1].address)}


@dataclass(kw_only=True)
class Trio:
    """Two good resources of a type and a bad one, and what they need of others."""

    needed: tuple[Resource, ...]
    resources: tuple[Resource, ...]
    listeners: tuple[Address, ...] = ()


def trio(bench: Bench, type_url: str) -> Trio:
    """Return resources `one`, `two` and `bad`."""
    variant, backend = bench.variant, bench.backends[0].address
    ports = {name: free_port() for name in ("one", "two", BAD)}
    good = tuple(Address(LOOPBACK, ports[name]) for name in ("one", "two"))
    assignments = tuple(assignment(backend, name) for name in ("one", "two"))
    clusters = tuple(cluster(variant, name) for name in ports)
    if type_url == CLUSTER:
        return Trio(needed=assignments, resources=(*clusters[:2], bad_cluster()))
    if type_url == ENDPOINT:
        nowhere = assignment(Address(LOOPBACK, 70_000), BAD)
        return Trio(needed=clusters, resources=(*assignments, nowhere))
    if type_url == LISTENER:
        listeners = (listener(variant, ports[name], name) for name in ("one", "two"))
        return Trio(needed=(), resources=(*listeners, bad_listener()), listeners=good)
    return Trio(
        needed=tuple(listener(variant, p, name, name) for name, p in ports.items()),
        resources=(routes("one"), routes("two"), routes(BAD, ["twice", "twice"])),
        listeners=good,
    )


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_what_is_good_in_a_rejected_response_is_in_force(
    bench: Bench, server: XdsServer, type_url: str
) -> None:
    """Of three resources that come together, the third is rejected, and named.

    So is who owns it, and nobody else.

    Traffic goes on; when the third is gone, nothing is held against the client.
    """
    published = trio(bench, type_url)
    owned = [replace(r, owners=(f"owner of {r.name}",)) for r in published.resources]

    async def is_in_force() -> bool:
        try:
            for each in published.listeners:
                await send(replace(bench.target, listener=each), [Request()])
        except LabError:
            return False
        return type_url != CLUSTER or {"one", "two"} <= (await bench.policies()).keys()

    def suspects() -> set[tuple[str, tuple[str, ...]]]:
        return {
            (name, rejection.owners)
            for client in server.statuses()
            for status in client.types
            for rejection in status.rejections
            for name in rejection.suspects
        }

    async def is_named() -> bool:
        return suspects() == {(BAD, (f"owner of {BAD}",))}

    async def is_forgotten() -> bool:
        return not suspects()

    async with under_traffic(bench.target):
        bench.world.publish(*published.needed, *owned)
        await until(is_named)
        await until(is_in_force)
        if type_url == ENDPOINT:
            hosts = frozenset([bench.backends[0].address])
            await bench.envoy.wait_for_hosts({"one": hosts, "two": hosts})
        bench.world.publish(deleted=(BAD,))
        await until(is_forgotten)


@over(ALL)
async def test_rule_39_what_has_a_time_to_live_outlives_it(
    variant: Variant, tmp_path: Path
) -> None:
    """Heartbeats keep all types alive, and no request fails."""
    async with (
        following(variant, tmp_path, ttl=TTL) as lasting,
        serving(lasting.world, lasting.events, lasting.address),
    ):
        await accepted(lasting)
        events = lasting.events

        async def have_beaten() -> bool:
            return all(events.heartbeats[type_url] >= 9 for type_url in PUSH_ORDER)

        async with under_traffic(lasting.target):
            await until(have_beaten)

    assert events.nacks.empty()


@over(DELTA)
async def test_rule_31_a_restarted_server_sends_only_what_changed(
    bench: Bench,
) -> None:
    """Envoy comes back with its versions, and they are those of the new server.

    The cluster changed meanwhile, so its unchanged assignment is needed too.
    """
    async with serving(bench.world, bench.events, bench.address):
        await accepted(bench)
    successor, events = World(), Events()
    successor.publish(*bench.resources, cluster(bench.variant, policy=RANDOM))
    successor.snapshot.declare_ready()
    async with serving(successor, events, bench.address):
        await events.ack_of(CLUSTER, successor.tables[CLUSTER].version)
        if not bench.variant.is_aggregated:
            await events.ack_of(ENDPOINT, successor.tables[ENDPOINT].version)
    heads = [events.responses.get_nowait() for _ in range(events.responses.qsize())]

    assert [head.type_url for head in heads] == [CLUSTER, ENDPOINT]


@asynccontextmanager
async def running(bench: Bench, home: Path, name: str) -> AsyncIterator[Child]:
    """Run the server in a process of its own."""
    command = (
        sys.executable,
        engine_process.__file__,
        home / "resources",
        bench.address,
    )
    async with run_child(name, command, home / f"{name}.log") as child:
        yield child


def told(child: Child) -> list[tuple[str, list[str], list[str]]]:
    """Return what a server has sent."""
    lines = map(json.loads, child.log.read_text().splitlines())
    return [
        (each["type"], each["names"], each["removed"])
        for each in lines
        if "type" in each
    ]


@over(ALL)
async def test_rule_31_a_killed_server_is_not_missed(
    bench: Bench, tmp_path: Path
) -> None:
    """SIGKILL under traffic, and a new start: no request fails.

    In delta, nothing is sent again that Envoy has. Then it follows the new server.
    """
    one, two = (each.address for each in bench.backends)

    def publish(*more: Resource) -> None:
        resources = (*bench.resources, *more)
        (tmp_path / "resources").write_text(engine_process.dumped(resources))

    async def answers() -> bool:
        try:
            return await served_by(bench) == {str(one)}
        except LabError:
            return False

    async def has_moved() -> bool:
        return await served_by(bench) == {str(two)}

    publish()
    async with running(bench, tmp_path, "first") as first:
        await first.wait_for(answers, "an answer", PATIENCE)
        async with under_traffic(bench.target) as traffic:
            first.process.send_signal(signal.SIGKILL)
            await first.process.wait()
            await traffic.goes_on()
            async with running(bench, tmp_path, "second") as second:
                streams = 1 if bench.variant.is_aggregated else 4

                async def is_back() -> bool:
                    return second.log.read_text().count("connected") == streams

                await second.wait_for(is_back, "Envoy", PATIENCE)
                await traffic.goes_on()
                publish(assignment(two))
                second.process.send_signal(signal.SIGHUP)
                await until(has_moved)

    assert {type_url for type_url, _, _ in told(first)} == set(PUSH_ORDER)
    if bench.variant.is_delta:
        assert told(second) == [(ENDPOINT, [WEB], [])]
