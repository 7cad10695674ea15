"""A real API server with a mesh on it, our server, and who follows that.

In: the programs that `make kubernetes` builds. Out: a client of the API server, the
running server, a real Envoy, and a fleet of simulated ones. All end with their block.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from sys import executable
from time import perf_counter
from typing import Final
from uuid import uuid4

import aiohttp
import msgspec
import yaml
from kubernetes.aio.client.exceptions import ApiException

from benchmarks.change import print_bootstrap
from benchmarks.cold_start import is_ready
from benchmarks.engine_run import OTHER_FILES
from benchmarks.mesh_files import (
    NAMESPACE,
    endpoint,
    endpoint_slice,
    service,
    slice_name,
)
from benchmarks.process_stat import allow_open_files
from tools.kubernetes.build import find_programs
from tools.kubernetes.client import APPLY, Client, connect
from tools.kubernetes.control_plane import ControlPlane, run_control_plane
from xds_server.api.crd import PLURAL, custom_resource_definition
from xds_server.api.policy import API_VERSION
from xds_server.lab.backend import Address
from xds_server.lab.envoy import find_envoy, run_envoy
from xds_server.lab.error import LabError
from xds_server.lab.process import Child, run_child
from xds_server.lab.scenario import free_port

PATIENCE: Final = timedelta(minutes=2)
SLICES: Final = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
SERVICES: Final = f"/api/v1/namespaces/{NAMESPACE}/services"
_WRITERS: Final = 50
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_LOOPBACK: Final = "127.0.0.1"
_COUNTER: Final = "membership_change"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A real control plane, and a client with an administrator's rights."""

    plane: ControlPlane
    client: Client
    folder: Path

    async def fill(self, services: int, endpoints: int) -> None:
        """Let there be so many Services, and a slice with so many endpoints for each.

        The first of both is created. The others are put straight into etcd, as the API
        server stored the first: that takes seconds instead of minutes.
        """
        hosts = [
            [endpoint(number, host) for host in range(endpoints)]
            for number in range(services)
        ]
        slices = [endpoint_slice(*each) for each in enumerate(hosts)]
        await self.client.create(
            "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}
        )
        await self._store(SERVICES, "services/specs", map(service, range(services)))
        await self._store(SLICES, "endpointslices", slices)
        for path in (SERVICES, SLICES):
            await self._until(partial(self._lists, path), "all objects")

    async def _lists(self, path: str) -> bool:
        """Whether the API server knows what was put into etcd."""
        try:
            await self.client.page(path)
        except ApiException:  # it has not read that far
            return False
        return True

    async def _until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        api_server = self.plane.api_server.child
        if api_server is not None:
            await api_server.wait_for(condition, what, PATIENCE)

    async def _store(
        self, path: str, folder: str, objects: Iterable[dict[str, object]]
    ) -> None:
        """Create the first of *objects* at *path*, and put the others into etcd."""
        first, *others = objects
        stored = json.loads(await self.client.create(path, first))["metadata"]
        del stored["resourceVersion"]  # which is not stored, but told by etcd
        copies = []
        for each in others:
            own = msgspec.convert(each["metadata"], dict[str, object])
            metadata = {**stored, **own, "uid": str(uuid4())}
            copies.append({**each, "metadata": metadata})
        await self.plane.store(folder, copies)

    async def set_endpoints(
        self, number: int, endpoints: list[dict[str, object]]
    ) -> float:
        """Replace the endpoints of a Service; return when that was acknowledged."""
        path = f"{SLICES}/{slice_name(number)}"
        await self.client.patch(path, {"endpoints": endpoints})
        return perf_counter()

    async def know_policies(self) -> None:
        """Let the API server know TrafficPolicies, as one that we run on does."""
        await self.client.patch(
            f"{_DEFINITIONS}/{PLURAL}.{API_VERSION.partition('/')[0]}",
            custom_resource_definition(),
            content_type=APPLY,
            query={"fieldManager": "benchmark"},
        )

        async def is_known() -> bool:
            try:
                return await self.client.exists(f"/apis/{API_VERSION}/{PLURAL}")
            except ApiException:  # it says so while it prepares
                return False

        await self._until(is_known, "TrafficPolicies")


@asynccontextmanager
async def run_cluster() -> AsyncIterator[Cluster]:
    """Run a control plane that knows TrafficPolicies, and nothing else.

    Raises:
        LabError: its programs are not there.
    """
    programs = find_programs()
    if programs is None:
        message = "the programs of a Kubernetes control plane are not there"
        raise LabError(message, hint="make kubernetes")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            run_control_plane(programs, folder) as plane,
            connect(plane.kubeconfig) as client,
        ):
            cluster = Cluster(plane=plane, client=client, folder=folder)
            await cluster.know_policies()
            yield cluster


@dataclass(frozen=True, kw_only=True)
class Server:
    """Our server, and when it was started."""

    child: Child
    xds: Address
    started_at: float


@asynccontextmanager
async def run_server(cluster: Cluster) -> AsyncIterator[Server]:
    """Run our server on *cluster*; yield when it is ready."""
    xds, admin = Address(_LOOPBACK, free_port()), Address(_LOOPBACK, free_port())
    command = [
        *(executable, "-m", "xds_server", "serve"),
        *("--kubernetes", "--kubeconfig", str(cluster.plane.kubeconfig)),
        *("--xds-address", str(xds), "--admin-address", str(admin)),
    ]
    started_at = perf_counter()
    async with run_child("xds-server", command, cluster.folder / "serve.log") as child:
        await child.wait_for(partial(is_ready, str(admin)), "readiness", PATIENCE)
        yield Server(child=child, xds=xds, started_at=started_at)


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """A real Envoy, asked for one counter of its own."""

    child: Child
    session: aiohttp.ClientSession
    admin: Address

    async def changes(self, number: int) -> int | None:
        """Return how often the endpoints of `web-N` have changed; None before all."""
        name = f"cluster.{NAMESPACE}/web-{number}/80.{_COUNTER}"
        url = f"http://{self.admin}/stats?filter=^{name}$"
        try:
            async with self.session.get(url) as answer:
                _, found, value = (await answer.text()).partition(": ")
        except aiohttp.ClientConnectionError:
            return None
        return int(value) if found else None


@asynccontextmanager
async def run_sidecar(
    server: Server, services: int, home: Path
) -> AsyncIterator[Sidecar]:
    """Run an Envoy; yield when it has the endpoints of all *services*.

    It keeps no statistics but the counter that is asked for, or an answer would take
    longer than what is measured.
    """
    admin = Address(_LOOPBACK, free_port())
    bootstrap = yaml.safe_load(await print_bootstrap(server.xds, admin))
    patterns = [{"suffix": f".{_COUNTER}"}]
    bootstrap["stats_config"] = {
        "stats_matcher": {"inclusion_list": {"patterns": patterns}}
    }
    file = home / "envoy.yaml"
    file.write_text(yaml.safe_dump(bootstrap))
    async with run_envoy(find_envoy(), file, admin) as envoy:
        sidecar = Sidecar(child=envoy.child, session=envoy.session, admin=admin)

        async def has_all() -> bool:
            counts = [await sidecar.changes(each) for each in range(services)]
            return all(counts)

        await envoy.child.wait_for(has_all, "all endpoints", PATIENCE)
        yield sidecar


@asynccontextmanager
async def run_fleet(
    programs: Path, server: Server, *, streams: int, services: int
) -> AsyncIterator[None]:
    """Run delta streams that name all assignments; yield when all have them.

    Raises:
        LabError: too few files may be open, or the client fails.
    """
    if not allow_open_files(streams + OTHER_FILES):
        message = f"{streams} connections need more open files than are allowed"
        raise LabError(message, hint=f"ulimit -n {streams + OTHER_FILES}")
    process = await asyncio.create_subprocess_exec(
        programs / "loadclient",
        *(f"-server={server.xds}", f"-streams={streams}", "-type=assignment"),
        *(f"-name={NAMESPACE}/web-%d/80", f"-resources={services}"),
        *("-at-once=100", f"-patience={PATIENCE.total_seconds():g}s"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None or not await process.stdout.readline():
            message = "the load client failed"
            raise LabError(message)
        yield
        if process.returncode is not None:
            message = "the load client ended before the measurement"
            raise LabError(message)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def in_parallel(jobs: Iterable[Awaitable[None]]) -> None:
    """Do all *jobs*, some at a time, begun in order."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_WRITERS):
            tasks.create_task(work())
