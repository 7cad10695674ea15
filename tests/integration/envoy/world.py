"""A running server with real Envoys and backends, for tests that watch them together.

Documents in; a directory that the server follows, listeners to send requests to, and
what the server says of itself out. Backends answer with their own address.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path

import aiohttp
import yaml

from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.envoy import Envoy, find_envoy, run_envoy
from xds_server.lab.process import Child, run_child
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import AnswerError, Request, Target, send
from xds_server.mesh.model import Protocol
from xds_server.status_table import Status, decode_status, fetch_status

LOOPBACK = "127.0.0.1"
PATIENCE = timedelta(seconds=90)
POLL = 0.05
"""Seconds between two looks: more often, and who looks slows what it waits for."""
Json = dict[str, object]
ENDING: Json = {"ready": False, "serving": True, "terminating": True}


async def until(
    condition: Callable[[], Awaitable[bool]], within: timedelta = PATIENCE
) -> None:
    """Return when *condition* holds.

    Raises:
        TimeoutError: it did not in the time *within*.
    """
    async with asyncio.timeout(within.total_seconds()):
        while not await condition():  # noqa: ASYNC110 - processes have no events
            await asyncio.sleep(POLL)


@dataclass(kw_only=True)
class Server:
    """A running `xds-server serve`."""

    child: Child
    session: aiohttp.ClientSession
    xds: Address
    admin: Address

    async def status(self) -> Status:
        """Return what `/status` says now."""
        return decode_status(await fetch_status(str(self.admin)))

    async def is_ready(self) -> bool:
        """Whether `/readyz` says so."""
        try:
            async with self.session.get(f"http://{self.admin}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False


@asynccontextmanager
async def start_server(
    paths: Sequence[Path],
    log: Path,
    *,
    xds: Address,
    admin: Address,
    flags: Sequence[str] = (),
) -> AsyncIterator[Server]:
    """Run the server on *paths*; yield before it is ready."""
    command = [
        *(sys.executable, "-m", "xds_server", "serve", *map(str, paths), *flags),
        *("--xds-address", str(xds), "--admin-address", str(admin)),
    ]
    async with (
        aiohttp.ClientSession() as session,
        run_child("xds-server", command, log) as child,
    ):
        yield Server(child=child, session=session, xds=xds, admin=admin)


@asynccontextmanager
async def run_server(
    paths: Sequence[Path],
    log: Path,
    *,
    xds: Address,
    admin: Address,
    flags: Sequence[str] = (),
) -> AsyncIterator[Server]:
    """Run the server on *paths*; yield when it is ready."""
    async with start_server(paths, log, xds=xds, admin=admin, flags=flags) as server:
        await server.child.wait_for(server.is_ready, "readiness", PATIENCE)
        yield server


@dataclass(kw_only=True)
class Client:
    """An Envoy and the way to send requests through it."""

    envoy: Envoy
    target: Target

    async def shares(self, number: int) -> Counter[str]:
        """Return who served how many of *number* requests, one after the other."""
        return Counter(await send(self.target, [Request()] * number))

    async def answers(self) -> bool:
        """Whether a request is served."""
        try:
            await send(self.target, [Request()])
        except AnswerError:
            return False
        return True


async def print_bootstrap(file: Path, *flags: str) -> None:
    """Write what `xds-server bootstrap` prints with *flags* to *file*."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "xds_server", "bootstrap", *flags),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    file.write_bytes(printed)


@asynccontextmanager
async def run_client(
    home: Path,
    xds: Address,
    mode: str,
    *,
    authority: str = "web.shop",
    role: str = "sidecar",
    zone: str = "",
    label: str = "",
    stats: Address | None = None,
    told: Sequence[str] = (),
    flags: Sequence[str] = (),
    envoy: Path | None = None,
) -> AsyncIterator[Client]:
    """Run an Envoy that speaks *mode* and yield when it listens.

    Its statistics can be read at *stats*, where that is given, and *label* is one of
    its own, KEY=VALUE. What else its bootstrap is *told* are flags, as are its own.
    """
    name = "-".join(filter(None, (role, mode, zone, label.replace("=", "-"))))
    admin, listener = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    (folder := home / name).mkdir()
    bootstrap = folder / "envoy.yaml"
    await print_bootstrap(
        bootstrap,
        *("--node-id", name, "--mode", mode, "--role", role, "--zone", zone),
        *("--xds-address", str(xds), "--admin-address", str(admin)),
        *("--listen-port", str(listener.port)),
        *(("--stats-address", str(stats)) if stats else ()),
        *(("--label", label) if label else ()),
        *told,
    )
    async with run_envoy(envoy or find_envoy(), bootstrap, admin, flags) as running:
        await running.wait_for_listeners(frozenset([listener]))
        target = Target(listener=listener, authority=authority, protocol=Protocol.HTTP1)
        yield Client(envoy=running, target=target)


@dataclass(kw_only=True)
class Mesh:
    """The manifests of one Service `shop/web`, in a folder that the server follows.

    Where *zones* say in which one each backend is, the Service prefers the same zone.
    Where *versions* say of which one each is, it has a Pod with that label.
    """

    folder: Path
    backends: tuple[Backend, ...]
    zones: Sequence[str] = ()
    versions: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """The addresses of all backends, as they answer with."""
        return [str(backend.address) for backend in self.backends]

    def write_service(
        self,
        *,
        endpoints: int | None = None,
        only: Collection[str] | None = None,
        ending: Collection[str] = (),
    ) -> None:
        """Write the Service and its first *endpoints* endpoints (None: all).

        Of these, *only* those that answer with some names; some of them are *ending*.
        """
        backends = [
            (backend, zone)
            for backend, zone in zip_longest(
                self.backends[:endpoints], self.zones[:endpoints]
            )
            if only is None or str(backend.address) in only
        ]
        distribution = {"trafficDistribution": "PreferSameZone"} if self.zones else {}
        objects = [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": "shop", "name": "web"},
                "spec": {"ports": [{"name": "http", "port": 80}], **distribution},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "namespace": "shop",
                    "name": "web-1",
                    "labels": {"kubernetes.io/service-name": "web"},
                },
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": self.backends[0].address.port}],
                "endpoints": [
                    {
                        "addresses": [backend.address.ip],
                        "zone": zone,
                        "conditions": ENDING if str(backend.address) in ending else {},
                        **self._pod_of(backend),
                    }
                    for backend, zone in backends
                ],
            },
        ]
        (self.folder / "service.yaml").write_text(yaml.safe_dump_all(objects))

    def write_pods(self) -> None:
        """Write a Pod for each backend that has a version."""
        pods = [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "namespace": "shop",
                    "name": f"web-{number}",
                    "labels": {"version": version},
                },
            }
            for number, version in enumerate(self.versions)
        ]
        (self.folder / "pods.yaml").write_text(yaml.safe_dump_all(pods))

    def _pod_of(self, backend: Backend) -> Json:
        if not self.versions:
            return {}
        name = f"web-{self.backends.index(backend)}"
        return {"targetRef": {"kind": "Pod", "namespace": "shop", "name": name}}

    def write_policy(self, load_balancer: Json, **sections: Json) -> None:
        """Write a TrafficPolicy for the Service, with more *sections*."""
        policy = {
            "apiVersion": "traffic.xds-server.dev/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {
                "targetRefs": [{"kind": "Service", "name": "web"}],
                "loadBalancer": load_balancer,
                **sections,
            },
        }
        (self.folder / "policy.yaml").write_text(yaml.safe_dump(policy))


@asynccontextmanager
async def run_mesh(
    folder: Path, *, backends: int, zones: Sequence[str] = (), versions: str = ""
) -> AsyncIterator[Mesh]:
    """Run *backends* backends, maybe in *zones* or of *versions*; write the Service."""
    port = free_port()
    servers = tuple(
        Backend(address=Address(f"127.0.7.{number + 1}", port), protocol=Protocol.HTTP1)
        for number in range(backends)
    )
    folder.mkdir()
    async with serve_backends(servers):
        mesh = Mesh(folder=folder, backends=servers, zones=zones, versions=versions)
        if versions:
            mesh.write_pods()
        mesh.write_service()
        yield mesh


@dataclass(frozen=True, kw_only=True)
class World:
    """A mesh, the server that follows it, and an Envoy of each mode."""

    mesh: Mesh
    server: Server
    clients: tuple[Client, ...]


@asynccontextmanager
async def run_world(
    home: Path, *, backends: int, load_balancer: Json
) -> AsyncIterator[World]:
    """Run everything and yield when requests are served in both modes."""
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(
            run_mesh(home / "mesh", backends=backends)
        )
        mesh.write_policy(load_balancer)
        server = await stack.enter_async_context(
            run_server([mesh.folder], home / "server.log", xds=xds, admin=admin)
        )
        clients = tuple(
            [
                await stack.enter_async_context(run_client(home, xds, mode))
                for mode in ("delta", "sotw")
            ]
        )
        for client in clients:
            await until(client.answers)
        yield World(mesh=mesh, server=server, clients=clients)
