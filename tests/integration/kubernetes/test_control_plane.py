"""What the other tests of this folder build on holds on a real control plane."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiohttp
import pytest
from kubernetes.aio.client.exceptions import (
    ApiException,
    ForbiddenException,
    UnauthorizedException,
)

from tests.integration.envoy.world import PATIENCE, until
from tests.integration.kubernetes.namespace import Namespace
from tests.integration.kubernetes.objects import node, pod, service
from tools.kubernetes.client import Event, connect
from tools.kubernetes.control_plane import ControlPlane

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

SERVICES = [{"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}]


async def create_web(namespace: Namespace) -> None:
    """Create a Service and two ready Pods, in two zones."""
    await namespace.create_service(service("web"))
    for number, zone in enumerate(("a", "b"), start=1):
        place = f"{namespace.name}-{zone}"
        await namespace.create_node(node(place, zone=zone))
        await namespace.create_pod(
            pod(f"web-{number}", labels={"app": "web"}, node=place),
            [f"10.1.0.{number}"],
        )


async def next_of(events: AsyncGenerator[Event, None], name: str) -> Event:
    """Return the next event of the object *name*."""
    async with asyncio.timeout(PATIENCE.total_seconds()):
        async for event in events:
            if event.stamp.name == name:
                return event
    message = "the watch ended"
    raise AssertionError(message)


async def test_ready_pods_become_endpoints_where_they_run(namespace: Namespace) -> None:
    await create_web(namespace)

    await namespace.until_endpoints("web", lambda found: len(found) == 2)
    found = await namespace.endpoints("web")
    assert [each.addresses for each in found] == [("10.1.0.1",), ("10.1.0.2",)]
    assert [each.zone for each in found] == ["a", "b"]
    assert [each.conditions.ready for each in found] == [True, True]


async def test_an_endpoint_follows_its_pod(namespace: Namespace) -> None:
    await create_web(namespace)
    await namespace.until_endpoints("web", lambda found: len(found) == 2)

    await namespace.set_pod("web-1", ["10.1.0.1"], ready=False)
    await namespace.until_endpoints(
        "web",
        lambda found: [each.conditions.ready for each in found] == [False, True],
    )

    await namespace.client.delete(namespace.path("pods", "web-1"))
    await namespace.until_endpoints("web", lambda found: len(found) == 1)


async def test_the_slices_of_a_deleted_service_go(namespace: Namespace) -> None:
    await create_web(namespace)
    await namespace.until_endpoints("web", lambda found: len(found) == 2)

    await namespace.client.delete(namespace.path("services", "web"))

    await namespace.until_endpoints("web", lambda found: not found)


async def test_a_watch_ends_with_the_api_server_and_begins_anew_after_it(
    namespace: Namespace, control_plane: ControlPlane
) -> None:
    client, services = namespace.client, namespace.path("services")

    async def lose(events: AsyncGenerator[Event, None]) -> None:
        with pytest.raises(aiohttp.ClientError):
            await anext(events)

    start = await client.list_version(services)
    async with aclosing(client.watch(services, start)) as events:
        await namespace.create_service(service("before"))
        await next_of(events, "before")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(lose(events))
            await control_plane.api_server.kill()

    with pytest.raises(aiohttp.ClientConnectionError):
        await client.get(services)
    await control_plane.api_server.start()
    start = await client.list_version(services)
    async with aclosing(client.watch(services, start)) as events:
        await namespace.create_service(service("after"))
        assert (await next_of(events, "after")).type == "ADDED"


async def test_a_restarted_api_server_remembers_no_events(
    namespace: Namespace, control_plane: ControlPlane
) -> None:
    client, services = namespace.client, namespace.path("services")
    start = await client.list_version(services)
    await namespace.create_service(service("web"))
    async with aclosing(client.watch(services, start)) as events:
        assert (await next_of(events, "web")).type == "ADDED"

    await control_plane.api_server.kill()
    await control_plane.api_server.start()

    with pytest.raises(ApiException) as refusal:
        await anext(client.watch(services, start))
    assert refusal.value.status == 410


async def test_endpoints_follow_after_a_restart(
    namespace: Namespace, control_plane: ControlPlane
) -> None:
    await create_web(namespace)
    await namespace.until_endpoints("web", lambda found: len(found) == 2)

    await control_plane.api_server.kill()
    await control_plane.api_server.start()

    await namespace.client.delete(namespace.path("pods", "web-2"))
    await namespace.until_endpoints("web", lambda found: len(found) == 1)


async def test_the_rest_of_a_list_is_gone_after_compaction(
    namespace: Namespace, control_plane: ControlPlane
) -> None:
    client, services = namespace.client, namespace.path("services")
    for name in ("one", "two"):
        await namespace.create_service(service(name))
    rest = await client.page(services)
    await client.page(services, rest)
    await namespace.create_service(service("three"))

    await control_plane.compact(int(await client.list_version(services)))
    await control_plane.api_server.kill()
    await control_plane.api_server.start()

    with pytest.raises(ApiException) as refusal:
        await client.page(services, rest)
    assert refusal.value.status == 410


async def test_a_paused_api_server_answers_when_it_goes_on(
    namespace: Namespace, control_plane: ControlPlane
) -> None:
    services = namespace.path("services")

    control_plane.api_server.pause()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await namespace.client.get(services)
    control_plane.api_server.resume()
    await until(lambda: namespace.client.exists(services))


async def test_rights_are_those_of_the_account(namespace: Namespace) -> None:
    services = namespace.path("services")

    async with connect(await namespace.create_account("reader", SERVICES)) as reader:
        await reader.get(services)
        with pytest.raises(ForbiddenException, match="cannot list resource"):
            await reader.get(namespace.slices)
    async with connect(await namespace.create_account("nobody")) as nobody:
        with pytest.raises(ForbiddenException, match="cannot list resource"):
            await nobody.get(services)


async def test_an_unknown_token_is_refused(namespace: Namespace) -> None:
    async with connect(namespace.kubeconfig_with("made-up", "stranger")) as stranger:
        with pytest.raises(UnauthorizedException):
            await stranger.get(namespace.path("services"))
