"""The whole way of a policy, running on this machine: files, server, Envoy, backends.

Documents and what the mesh makes of them in; listeners to send requests to out, and a
way to take endpoints out of a Service: by its file, through the server, to Envoy.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiohttp

from xds_server.api.document import Document
from xds_server.api.name import ROOT_NAMESPACE
from xds_server.api.policy import PerformanceSource
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.envoy import Envoy, run_envoy
from xds_server.lab.error import LabError
from xds_server.lab.health import passing_status
from xds_server.lab.orca import serve_reports
from xds_server.lab.process import Child, run_child
from xds_server.lab.scenario import LOOPBACK, Scenario, free_port
from xds_server.lab.traffic import Target
from xds_server.mesh.model import Protocol, Upstream
from xds_server.translate.name import cluster_name
from xds_server.xds import CLIENT_NAMESPACE

START_TIMEOUT: Final = timedelta(seconds=30)
_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """One upstream on the rig: where to send, and its backends in endpoint order."""

    upstream: Upstream
    target: Target
    backends: tuple[Backend, ...]


class Rig:
    """A server and an Envoy that follow a scenario's files."""

    def __init__(
        self, envoy: Envoy, binary: Path, scenario: Scenario, stands: Sequence[Stand]
    ) -> None:
        """Have *envoy*, which runs *binary*."""
        self.binary = binary
        self._envoy = envoy
        self._scenario = scenario
        self._stands = tuple(stands)

    @property
    def stands(self) -> tuple[Stand, ...]:
        """Every upstream that can be measured."""
        return self._stands

    async def keep(self, stand: Stand, endpoints: Collection[int] | None) -> None:
        """Keep only some of a Service's endpoints (None: all); wait for Envoy."""
        kept = [
            backend.address
            for position, backend in enumerate(stand.backends)
            if endpoints is None or position in endpoints
        ]
        name = (stand.upstream.namespace, stand.upstream.service)
        self._scenario.write_service(name, None if endpoints is None else kept)
        hosts = {cluster_name(stand.upstream): frozenset(kept)}
        await self._envoy.wait_for_hosts(hosts)

    async def wait_for(
        self, stand: Stand, endpoints: Collection[int], within: timedelta
    ) -> None:
        """Return when Envoy uses exactly these endpoints of a Service."""
        used = frozenset(stand.backends[position].address for position in endpoints)
        hosts = {cluster_name(stand.upstream): used}
        await self._envoy.wait_for_hosts(hosts, within)


@asynccontextmanager
async def run_rig(
    documents: Sequence[Document],
    upstreams: Sequence[Upstream],
    envoy: Path,
    root_namespace: str = ROOT_NAMESPACE,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Rig]:
    """Start everything for *upstreams* and yield when Envoy has it; end it after.

    Raises `LabError` when a part does not start.
    """
    with tempfile.TemporaryDirectory(prefix="xds-server-lab-") as name:
        home = Path(name)
        (watched := home / "manifests").mkdir()
        scenario = Scenario(documents, watched)
        http = Address(LOOPBACK, free_port())
        backends: dict[Address, Backend] = {}
        stands = [_stand(scenario, upstream, http, backends) for upstream in upstreams]
        scenario.write()
        reporting = [
            each for stand in stands if _is_asked(stand) for each in stand.backends
        ]
        async with (
            serve_backends(backends.values()),
            serve_reports(reporting, scenario.report_port),
            _run_server(watched, home / "server.log", root_namespace) as xds,
            run_envoy(envoy, *await _bootstrap(home, xds, http, labels)) as running,
        ):
            await running.wait_for_hosts(
                {
                    cluster_name(stand.upstream): frozenset(
                        backend.address for backend in stand.backends
                    )
                    for stand in stands
                }
            )
            listeners = frozenset(stand.target.listener for stand in stands)
            await running.wait_for_listeners(listeners)
            yield Rig(running, envoy, scenario, stands)


def _is_asked(stand: Stand) -> bool:
    """Return whether its backends are asked for their load, out of band."""
    performance = stand.upstream.load_balancer.performance_based
    source = PerformanceSource.ORCA_OUT_OF_BAND
    return performance is not None and performance.source is source


def _stand(
    scenario: Scenario,
    upstream: Upstream,
    http: Address,
    backends: dict[Address, Backend],
) -> Stand:
    """Return the stand of *upstream*; a backend that is new goes into *backends*."""
    service = (upstream.namespace, upstream.service)
    port, protocol = upstream.port.number, upstream.port.protocol
    addresses = (scenario.stand_in(service, e) for e in upstream.endpoints)
    listener = http
    if protocol is Protocol.TCP:
        listener = Address(LOOPBACK, scenario.listen_port(service, port))
    return Stand(
        upstream=upstream,
        target=Target(
            listener=listener,
            authority=f"{upstream.service}.{upstream.namespace}.svc:{port}",
            protocol=protocol,
        ),
        backends=tuple(
            backends.setdefault(address, _backend(address, upstream))
            for address in addresses
        ),
    )


def _backend(address: Address, upstream: Upstream) -> Backend:
    """Return a backend that passes the health check of *upstream*, if it can."""
    backend = Backend(address=address, protocol=upstream.port.protocol)
    check = upstream.sections.health_check
    status = passing_status(check) if check and check.http else None
    if status is not None:
        backend.check_status = status
    return backend


@asynccontextmanager
async def _run_server(
    watched: Path, log: Path, root_namespace: str
) -> AsyncIterator[Address]:
    """Run `xds-server serve` on *watched*; yield its xDS address when it is ready."""
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    command = _command(
        "serve",
        watched,
        xds_address=xds,
        admin_address=admin,
        root_namespace=root_namespace,
    )
    async with (
        aiohttp.ClientSession() as session,
        run_child("xds-server serve", command, log) as child,
    ):
        await _wait_until_ready(child, session, f"http://{admin}/readyz")
        yield xds


async def _wait_until_ready(
    child: Child, session: aiohttp.ClientSession, url: str
) -> None:
    async def ready() -> bool:
        try:
            async with session.get(url) as answer:
                return answer.status == _OK
        except aiohttp.ClientConnectionError:
            return False

    await child.wait_for(ready, f"readiness at {url}", START_TIMEOUT)


async def _bootstrap(
    home: Path, xds: Address, http: Address, labels: Mapping[str, str]
) -> tuple[Path, Address]:
    """Write the bootstrap of a sidecar, as `xds-server bootstrap` prints it."""
    admin = Address(LOOPBACK, free_port())
    command = _command(
        "bootstrap",
        node_id="lab",
        xds_address=xds,
        admin_address=admin,
        listen_address=http.ip,
        listen_port=http.port,
    )
    command += [
        f"--namespace={value}" if key == CLIENT_NAMESPACE else f"--label={key}={value}"
        for key, value in labels.items()
    ]
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaint = await process.communicate()
    if process.returncode:
        message = f"xds-server bootstrap failed: {complaint.decode().strip()}"
        raise LabError(message)
    file = home / "envoy.yaml"
    file.write_bytes(printed)
    return file, admin


def _command(
    name: str, *arguments: str | Path, **flags: str | int | Address
) -> list[str | Path]:
    """Return a command of this very xds-server."""
    pairs = (
        part
        for flag, value in flags.items()
        for part in (f"--{flag.replace('_', '-')}", str(value))
    )
    return [sys.executable, "-m", "xds_server", name, *arguments, *pairs]
