"""`xds-server serve` with real Envoys, one a mode: policies and endpoints, live."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.envoy.world import (
    Client,
    Json,
    World,
    run_client,
    run_world,
    until,
)
from xds_server.lab.traffic import Request, send

pytestmark = pytest.mark.envoy

WEIGHTED: Json = {
    "type": "Weighted",
    "weights": {
        "rules": [
            {"addresses": ["127.0.7.1"], "weight": 1},
            {"addresses": ["127.0.7.2"], "weight": 2},
            {"addresses": ["127.0.7.3"], "weight": 5},
        ]
    },
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with run_world(
        tmp_path, backends=3, load_balancer={"type": "RoundRobin"}
    ) as running:
        yield running


def exactly(world: World, *counts: int) -> Counter[str]:
    return Counter(dict(zip(world.mesh.names, counts, strict=True)))


async def test_both_modes_follow_the_policy(world: World) -> None:
    """Round robin gives each of three endpoints exactly a third, in both modes."""
    shares = [await client.shares(60) for client in world.clients]

    assert shares == [exactly(world, 20, 20, 20)] * 2


async def test_an_edited_policy_takes_effect_without_a_failed_request(
    world: World,
) -> None:
    """Traffic goes on while a policy changes; every request is served.

    `send` raises at the first answer that is not a backend's, so reaching the assert
    means that none failed.
    """

    async def follow(client: Client) -> Counter[str]:
        async def is_weighted() -> bool:
            return await client.shares(24) == exactly(world, 3, 6, 15)

        await client.shares(30)
        world.mesh.write_policy(WEIGHTED)
        await until(is_weighted)
        return await client.shares(80)

    shares = await asyncio.gather(*(follow(client) for client in world.clients))

    assert shares == [exactly(world, 10, 20, 50)] * 2


async def test_a_broken_file_changes_nothing_but_an_error(world: World) -> None:
    """The last good policy stays in force, and `/status` says where the error is."""
    world.mesh.write_policy(WEIGHTED)
    for client in world.clients:

        async def is_weighted(client: Client = client) -> bool:
            return await client.shares(8) == exactly(world, 1, 2, 5)

        await until(is_weighted)
    policy = world.mesh.folder / "policy.yaml"
    policy.write_text(policy.read_text().replace("Weighted", "Weightd"))

    async def is_reported() -> bool:
        return bool((await world.server.status()).problems)

    await until(is_reported)
    problems = (await world.server.status()).problems
    shares = [await client.shares(80) for client in world.clients]

    assert shares == [exactly(world, 10, 20, 50)] * 2
    assert [problem.path for problem in problems] == ["spec.loadBalancer.type"]
    assert problems[0].place.startswith(f"{policy}:")
    assert problems[0].hint == "did you mean Weighted?"


async def test_endpoints_gone_give_503_and_come_back(world: World) -> None:
    """A Service without endpoints answers 503; with endpoints again it serves."""
    world.mesh.write_service(endpoints=0)
    async with aiohttp.ClientSession() as session:
        for client in world.clients:

            async def is_unavailable(client: Client = client) -> bool:
                headers = {"Host": client.target.authority}
                url = f"http://{client.target.listener}/"
                async with session.get(url, headers=headers) as answer:
                    return answer.status == 503

            await until(is_unavailable)
    world.mesh.write_service()
    for client in world.clients:
        await until(client.answers)
    shares = [await client.shares(30) for client in world.clients]

    assert shares == [exactly(world, 10, 10, 10)] * 2


async def test_an_unknown_host_is_told_so(world: World) -> None:
    """A name that is no Service gets a 404 that says it, not a hang."""
    url = f"http://{world.clients[0].target.listener}/"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"Host": "wbe.shop"}) as answer,
    ):
        status, text = answer.status, await answer.text()

    assert status == 404
    assert 'no Service is called "wbe.shop"' in text


@pytest.mark.parametrize(
    "authority",
    [
        "web.shop",
        "web.shop:80",
        "web.shop.svc",
        "web.shop.svc.cluster.local",
        "web.shop.svc.cluster.local:80",
        "web.shop.",
        "web.shop.svc.cluster.local.:80",
    ],
)
async def test_a_sidecar_is_an_http_proxy_too(world: World, authority: str) -> None:
    """Every name of a Service works in the absolute form of a proxied request."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"http://{authority}/", proxy=f"http://{world.clients[0].target.listener}"
        ) as answer,
    ):
        served_by = answer.headers["x-lab-endpoint"]

    assert served_by in world.mesh.names


async def test_status_shows_each_node_and_what_it_acknowledged(world: World) -> None:
    """Both Envoys acknowledge every type; what they share has one version.

    Their listeners differ: each listens on a port of its own.
    """

    async def all_acknowledged() -> bool:
        nodes = (await world.server.status()).nodes
        types = [state for node in nodes for state in node.types.values()]
        return all(state.state == "Acknowledged" for state in types)

    await until(all_acknowledged)
    nodes = (await world.server.status()).nodes
    versions = {
        node.id: {
            name: state.acknowledged_version
            for name, state in node.types.items()
            if name != "listener"
        }
        for node in nodes
    }

    assert versions["sidecar-delta"] == versions["sidecar-sotw"]
    assert set(versions["sidecar-delta"]) == {"cluster", "endpoint", "route"}


async def test_a_stop_is_bounded_and_leaves_traffic_alone(world: World) -> None:
    """SIGTERM ends the server with code 0; Envoys go on with what they have."""
    process = world.server.child.process
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        code = await process.wait()
    shares = await world.clients[0].shares(30)

    assert code == 0
    assert shares == exactly(world, 10, 10, 10)


async def test_a_gateway_hashes_the_end_users_address(tmp_path: Path) -> None:
    """On a gateway, IPHash gives each client address one endpoint, and uses several."""
    async with (
        run_world(tmp_path, backends=3, load_balancer={"type": "IPHash"}) as world,
        run_client(tmp_path, world.server.xds, "delta", role="gateway") as gateway,
    ):
        await until(gateway.answers)
        requests = [
            Request(source=f"127.0.8.{number % 40 + 1}") for number in range(200)
        ]
        served = await send(gateway.target, requests)
        choices = {
            request.source: {
                server
                for asked, server in zip(requests, served, strict=True)
                if asked.source == request.source
            }
            for request in requests
        }

    assert all(len(servers) == 1 for servers in choices.values())
    assert len(set(served)) == 3
