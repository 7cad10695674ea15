"""The source hears what a real API server says, through its failures too."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.envoy.world import until
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from tests.integration.kubernetes.objects import node, pod, service
from tools.kubernetes.control_plane import ControlPlane
from xds_server.api.problem import ObjectKey
from xds_server.mesh.index import Index
from xds_server.mesh.model import Service
from xds_server.sources.kube_api import KubeApi
from xds_server.sources.kubernetes import NAME, KubernetesSource, collections
from xds_server.sources.reflector import Patience

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

SHORT = Patience(session=timedelta(seconds=2), silence=timedelta(seconds=3))
ALL = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["list", "watch"]}


class Mesh:
    """What the documents of a source mean, as it hears them."""

    def __init__(self) -> None:
        self.index = Index(sources=[NAME])

    @property
    def problems(self) -> list[str]:
        """What is wrong, in words."""
        return [f"{each.message} ({each.hint})" for each in self.index.problems]

    def service(self, namespace: Namespace, name: str) -> Service | None:
        """Return a Service as it is now."""
        return self.index.services.get((namespace.name, name))

    def addresses(self, namespace: Namespace, name: str) -> list[str]:
        """Return where the endpoints of a Service are now."""
        found = self.service(namespace, name)
        upstreams = found.upstreams if found else ()
        return sorted({each.address for one in upstreams for each in one.endpoints})

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when *condition* holds."""

        async def holds() -> bool:
            return condition()

        await until(holds, FOLLOWING)


@asynccontextmanager
async def following(
    kubeconfig: Path,
    namespaces: Sequence[str],
    *,
    selector: str = "",
    patience: Patience = Patience(),  # noqa: B008 - frozen
    api: KubeApi | None = None,
) -> AsyncIterator[Mesh]:
    """Follow what an API server says inside the block."""
    mesh = Mesh()
    source = KubernetesSource(
        api or KubeApi(kubeconfig), collections(namespaces, selector), patience=patience
    )

    async def follow() -> None:
        async for events in source.batches():
            mesh.index.apply(events)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(follow())
        yield mesh
        task.cancel()


async def create(namespace: Namespace, name: str, *addresses: str) -> None:
    """Create a Service and, on a Node of its own, a ready Pod for each address."""
    place = f"{namespace.name}-{name}"
    await namespace.create_node(node(place))
    await namespace.create_service(service(name))
    for number, address in enumerate(addresses):
        await namespace.create_pod(
            pod(f"{name}-{number}", labels={"app": name}, node=place), [address]
        )


async def test_pods_become_endpoints_and_go(
    namespace: Namespace, kubeconfig: Path
) -> None:
    """What was there before, what comes, what is not ready any more, what goes."""
    await create(namespace, "web", "10.1.0.1")
    async with following(kubeconfig, [namespace.name]) as mesh:
        await mesh.until(lambda: mesh.index.listed)
        await mesh.until(lambda: mesh.addresses(namespace, "web") == ["10.1.0.1"])
        await create(namespace, "api", "10.1.0.2", "10.1.0.3")
        await mesh.until(lambda: len(mesh.addresses(namespace, "api")) == 2)
        await namespace.set_pod("api-0", ["10.1.0.2"], ready=False)
        await mesh.until(lambda: mesh.addresses(namespace, "api") == ["10.1.0.3"])
        await namespace.client.delete(namespace.path("services", "web"))
        await mesh.until(lambda: mesh.service(namespace, "web") is None)


async def test_a_selector_picks_services_with_their_slices(
    namespace: Namespace, kubeconfig: Path
) -> None:
    await create(namespace, "web", "10.1.0.1")
    labelled = service("api")
    await namespace.create_service(
        {**labelled, "metadata": {"name": "api", "labels": {"mesh": "yes"}}}
    )
    place = f"{namespace.name}-web"
    await namespace.create_pod(
        pod("api-0", labels={"app": "api"}, node=place), ["10.1.0.2"]
    )
    async with following(kubeconfig, [namespace.name], selector="mesh=yes") as mesh:
        await mesh.until(lambda: mesh.addresses(namespace, "api") == ["10.1.0.2"])

        assert list(mesh.index.services) == [(namespace.name, "api")]


async def test_an_outage_takes_nothing_away_and_what_happened_meanwhile_is_caught_up(
    namespace: Namespace, kubeconfig: Path, control_plane: ControlPlane
) -> None:
    """What is not there any more goes, what is new comes: by a list, after a 410."""
    await create(namespace, "web", "10.1.0.1")
    await namespace.create_service(service("old"))
    async with following(kubeconfig, [namespace.name]) as mesh:
        await mesh.until(lambda: mesh.addresses(namespace, "web") == ["10.1.0.1"])
        await control_plane.api_server.kill()
        await mesh.until(lambda: any("stays in force" in p for p in mesh.problems))
        during = mesh.addresses(namespace, "web")
        await control_plane.api_server.start()
        await namespace.client.delete(namespace.path("services", "old"))
        await create(namespace, "new", "10.1.0.2")
        await mesh.until(lambda: mesh.service(namespace, "new") is not None)
        await mesh.until(lambda: mesh.service(namespace, "old") is None)
        await mesh.until(lambda: not any("stays in force" in p for p in mesh.problems))

        assert during == ["10.1.0.1"]


async def test_a_start_without_an_api_server_waits_for_it(
    namespace: Namespace, kubeconfig: Path, control_plane: ControlPlane
) -> None:
    await create(namespace, "web", "10.1.0.1")
    await namespace.until_endpoints("web", lambda found: len(found) == 1)
    await control_plane.api_server.kill()
    async with following(kubeconfig, [namespace.name]) as mesh:
        await mesh.until(lambda: any("cannot reach" in p for p in mesh.problems))
        was_listed = mesh.index.listed
        await control_plane.api_server.start()
        await mesh.until(lambda: mesh.addresses(namespace, "web") == ["10.1.0.1"])

        assert not was_listed


async def test_a_silent_api_server_is_noticed(
    namespace: Namespace, kubeconfig: Path, control_plane: ControlPlane
) -> None:
    """It is stopped, not gone: its connections stay open and say nothing."""
    await namespace.create_service(service("web"))
    async with following(kubeconfig, [namespace.name], patience=SHORT) as mesh:
        await mesh.until(lambda: mesh.service(namespace, "web") is not None)
        control_plane.api_server.pause()
        await mesh.until(lambda: any("no answer in time" in p for p in mesh.problems))
        control_plane.api_server.resume()
        await namespace.create_service(service("api"))
        await mesh.until(lambda: mesh.service(namespace, "api") is not None)


async def test_what_may_not_be_read_is_named_and_the_rest_is_served(
    namespace: Namespace,
) -> None:
    """Pods and Nodes can be done without; nothing is served without Services."""
    await create(namespace, "web", "10.1.0.1")
    rules = [
        {
            "apiGroups": ["", "discovery.k8s.io", "traffic.xds-server.dev"],
            "resources": ["services", "endpointslices", "trafficpolicies"],
            "verbs": ["list", "watch"],
        }
    ]
    few = await namespace.create_account("few", rules)
    none = await namespace.create_account("none")
    async with following(few, [namespace.name]) as mesh:
        await mesh.until(lambda: mesh.index.listed)
        await mesh.until(lambda: mesh.addresses(namespace, "web") == ["10.1.0.1"])
        without_some = mesh.problems
    async with following(none, [namespace.name]) as mesh:
        await mesh.until(lambda: len(mesh.problems) == 5)

        assert not mesh.index.listed
    for each in ("pods", "nodes"):
        grant = f'list and watch on {each} of apiGroup ""'
        assert any(grant in problem for problem in without_some)


async def test_a_refused_token_is_told_and_read_anew(
    namespace: Namespace, tmp_path: Path
) -> None:
    """A token that has expired is replaced in its file by whoever issues them."""
    await create(namespace, "web", "10.1.0.1")
    good = await namespace.create_account("good", [ALL])
    file = tmp_path / "rotated"
    file.write_bytes(namespace.kubeconfig_with("wrong", "wrong").read_bytes())
    async with following(file, [namespace.name]) as mesh:
        await mesh.until(lambda: any("token has expired" in p for p in mesh.problems))
        file.write_bytes(good.read_bytes())
        await mesh.until(lambda: mesh.addresses(namespace, "web") == ["10.1.0.1"])


async def test_many_events_at_once_are_all_heard(
    namespace: Namespace, kubeconfig: Path
) -> None:
    """More objects than a page of a list, and more events than a batch."""
    many = 600
    names = [f"s{number}" for number in range(many)]

    async def create_all(some: Sequence[str]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for start in range(10):
                tasks.create_task(create_some(some[start::10]))

    async def create_some(some: Sequence[str]) -> None:
        for name in some:
            await namespace.create_service(service(name))

    await create_all(names[:520])
    async with following(kubeconfig, [namespace.name]) as mesh:
        await mesh.until(lambda: len(mesh.index.services) == 520)
        await create_all(names[520:])
        await mesh.until(lambda: len(mesh.index.services) == many)
        keys = [ObjectKey("Service", *each) for each in mesh.index.services]

        assert {key.name for key in keys} == set(names)
