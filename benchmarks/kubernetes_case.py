"""A real API server as the source: how soon sidecars follow, and what the server uses.

Everything runs on one machine: etcd, the API server, its controllers, our server, the
clients and what writes.
"""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import uniform
from time import perf_counter
from typing import Final

from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from benchmarks.cold_start import complete, follow
from benchmarks.engine_build import build_programs
from benchmarks.kubernetes_world import (
    SERVICES,
    SLICES,
    Cluster,
    Sidecar,
    in_parallel,
    run_cluster,
    run_fleet,
    run_server,
    run_sidecar,
)
from benchmarks.mesh_files import endpoint
from benchmarks.process_stat import usage_of
from benchmarks.result import Result
from xds_server.sources.reflector import PAGE
from xds_server.xds import ENDPOINT

ENDPOINTS: Final = 10
FEW: Final = 100
"""Services, where it is not their number that is measured."""
MANY: Final = 10_000
CHANGES: Final = 200
STREAMS: Final = 1_000
_REST: Final = (0.3, 0.5)  # seconds between two changes: each is alone
_LOOK: Final = 0.002  # seconds between two looks, which leave the machine to others
_SETTLE: Final = 5.0
_IDLE: Final = 20.0
_PATIENCE: Final = 30.0
_NEW: Final = "10.200."
"""What the addresses of endpoints begin with that a rollout brings."""


async def measure_change() -> list[Result]:
    """A slice changes: when has Envoy applied it? Alone, and with 1,000 beside it.

    Measured from the API server's answer until the counter `membership_change` of a
    real Envoy has moved, for which its admin interface is asked again and again. The
    time from one look to the next is the resolution.
    """
    programs = await build_programs()
    what = f"EndpointSlice changed, applied in Envoy, p50 (p99) of {CHANGES}"
    async with run_cluster() as cluster:
        await cluster.fill(FEW, ENDPOINTS)
        async with (
            run_server(cluster) as server,
            run_sidecar(server, FEW, cluster.folder) as sidecar,
        ):
            alone = await _lags(cluster, sidecar)
            async with run_fleet(programs, server, streams=STREAMS, services=FEW):
                beside = await _lags(cluster, sidecar)
    return [
        Result(what=what, measured=alone.words, aim="p99 <= 50 ms"),
        Result(
            what=f"the same beside {STREAMS:,} delta streams",
            measured=beside.words,
            aim="p99 <= 300 ms",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lags:
    """How long changes took, in seconds, and how long it takes to look."""

    seconds: Sequence[float]
    looks: Sequence[float]

    @property
    def words(self) -> str:
        """Median, 99th percentile, and how exact they are."""
        look = statistics.median(self.looks) * 1000
        return f"{quantiles(self.seconds)}, resolution {look:.1f} ms"


async def _lags(cluster: Cluster, sidecar: Sidecar) -> _Lags:
    """Let an endpoint of one Service be there or not, in turn."""
    seconds, looks = [], []
    number = 0
    count = await sidecar.changes(number)
    for change in range(CHANGES):
        await asyncio.sleep(uniform(*_REST))  # noqa: S311 - in step with no timer
        hosts = [endpoint(number, host) for host in range(ENDPOINTS - (change + 1) % 2)]
        acknowledged = looked = await cluster.set_endpoints(number, hosts)
        async with asyncio.timeout(_PATIENCE):
            while await sidecar.changes(number) == count:
                await asyncio.sleep(_LOOK)
                looks.append(perf_counter() - looked)
                looked = perf_counter()
        seconds.append(perf_counter() - acknowledged)
        count = await sidecar.changes(number)
    return _Lags(seconds=seconds, looks=looks)


async def measure_start() -> list[Result]:
    """10,000 Services x 10 endpoints on the API server: the start, and rest after it.

    Measured from the start of the process. Baseline: a client that reads the same
    lists, page by page, and does nothing with them.
    """
    async with run_cluster() as cluster:
        await cluster.fill(MANY, ENDPOINTS)
        before = perf_counter()
        await asyncio.gather(_read(cluster, SERVICES), _read(cluster, SLICES))
        baseline = perf_counter() - before
        async with run_server(cluster) as server:
            ready = perf_counter() - server.started_at
            async with complete(str(server.xds), MANY):
                elapsed = perf_counter() - server.started_at
                await asyncio.sleep(_SETTLE)
                usage = usage_of(server.child.process.pid)
                await asyncio.sleep(_IDLE)
                idle = usage_of(server.child.process.pid).cpu - usage.cpu
    what = f"{MANY:,} Services x {ENDPOINTS} on an API server"
    return [
        Result(what=f"{what}: ready", measured=f"{ready:.1f} s", aim=""),
        Result(
            what=f"{what}: first sidecar complete",
            measured=f"{elapsed:.1f} s",
            aim="< 8 s",
            baseline=f"only reading the lists: {baseline:.1f} s",
            ratio=elapsed / baseline,
        ),
        Result(
            what=f"{what}: RSS (peak)",
            measured=f"{usage.rss / 1e6:.0f} MB ({usage.peak / 1e6:.0f})",
            aim="< 1 GB",
        ),
        Result(
            what=f"{what}: idle CPU over {_IDLE:g} s",
            measured=f"{idle / _IDLE:.2%} of a core",
            aim="< 1 %",
        ),
    ]


async def _read(cluster: Cluster, path: str) -> None:
    """Read a list and do nothing with it."""
    token = await cluster.client.page(path, size=PAGE)
    while token:
        token = await cluster.client.page(path, token, size=PAGE)


@dataclass(slots=True)
class _Rollout:
    """What a client was sent while endpoints were replaced one by one."""

    acknowledged: dict[tuple[str, int], float] = field(default_factory=dict)
    arrived: dict[tuple[str, int], float] = field(default_factory=dict)
    responses: int = 0

    def take(self, resources: Sequence[bytes]) -> None:
        """Note how many new endpoints each assignment has."""
        now = perf_counter()
        self.responses += 1
        for each in resources:
            assignment = ClusterLoadAssignment.FromString(each)
            name = assignment.cluster_name
            for replaced in range(1, 1 + _replaced(assignment)):
                self.arrived.setdefault((name, replaced), now)

    @property
    def lags(self) -> list[float]:
        """Seconds from the API server's answer to the arrival of each change."""
        return [
            max(0.0, self.arrived[key] - when)
            for key, when in self.acknowledged.items()
        ]


def _replaced(assignment: ClusterLoadAssignment) -> int:
    return sum(
        host.endpoint.address.socket_address.address.startswith(_NEW)
        for group in assignment.endpoints
        for host in group.lb_endpoints
    )


async def measure_rollout() -> list[Result]:
    """100 Services replace their 10 endpoints one after the other, all at once.

    A lag runs from the API server's answer until a delta client has an assignment with
    the new endpoint in it, or with more of them.
    """
    async with run_cluster() as cluster:
        await cluster.fill(FEW, ENDPOINTS)
        async with (
            run_server(cluster) as server,
            follow(str(server.xds), ENDPOINT) as responses,
        ):
            rollout = _Rollout()
            await anext(responses)
            begun = perf_counter()
            before = usage_of(server.child.process.pid)
            async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as tasks:
                tasks.create_task(
                    in_parallel(_roll(cluster, each, rollout) for each in range(FEW))
                )
                async for response in responses:
                    rollout.take([each.resource.value for each in response.resources])
                    if len(rollout.arrived) == FEW * ENDPOINTS:
                        break
            elapsed = perf_counter() - begun
            cpu = usage_of(server.child.process.pid).cpu - before.cpu
    what = f"{FEW * ENDPOINTS:,} endpoints replaced at once, in {FEW} Services"
    return [
        Result(
            what=f"{what}: lag, p50 (p99)", measured=quantiles(rollout.lags), aim=""
        ),
        Result(
            what=f"{what}: changes that a response carries",
            measured=f"{FEW * ENDPOINTS / rollout.responses:.0f} "
            f"({rollout.responses} responses in {elapsed:.1f} s)",
            aim="coalesced",
        ),
        Result(what=f"{what}: CPU of the server", measured=f"{cpu:.1f} s", aim=""),
    ]


async def _roll(cluster: Cluster, number: int, rollout: _Rollout) -> None:
    """Replace the endpoints of one Service, one after the other."""
    hosts = [endpoint(number, host) for host in range(ENDPOINTS)]
    for host in range(ENDPOINTS):
        hosts[host] = hosts[host] | {"addresses": [f"{_NEW}{number}.{host + 1}"]}
        key = f"shop/web-{number}/80", host + 1
        rollout.acknowledged[key] = await cluster.set_endpoints(number, hosts)


def quantiles(seconds: Sequence[float]) -> str:
    """Return the median and the 99th percentile in words."""
    median, most = statistics.median(seconds), statistics.quantiles(seconds, n=100)[-1]
    return f"{median * 1000:.0f} ms ({most * 1000:.0f})"
