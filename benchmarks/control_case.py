"""What computing weights costs: a load report taken in, and a step.

Processor time of one thread, of the loop alone: what gRPC and protobuf take to hand a
report over is not in it.
"""

from collections.abc import Sequence
from time import process_time
from typing import Final

from benchmarks.result import Result
from xds_server.api.policy import LoadBalancer, LoadBalancerType
from xds_server.control.loop import ControlLoop
from xds_server.load import (
    UPSTREAM_TIME,
    ClusterLoad,
    EndpointLoad,
    LoadReport,
    MetricSum,
)
from xds_server.mesh.learned_weight import with_bases
from xds_server.mesh.model import (
    Discovery,
    Endpoint,
    Port,
    Protocol,
    Service,
    Upstream,
)

CLIENTS: Final = 1_000
INTERVAL: Final = 2.0
_KINDS: Final = 20
"""So many different reports; clients share them."""
_CASES: Final = ((10, 5), (1_000, 1))
"""Endpoints, and how often all clients report."""


async def measure() -> list[Result]:
    """Measure 1,000 clients of a few endpoints, and of a thousand."""
    return [
        result
        for endpoints, times in _CASES
        for result in _measure(endpoints, times=times)
    ]


def _measure(endpoints: int, *, times: int) -> tuple[Result, Result]:
    upstream = _upstream(endpoints)
    loop = ControlLoop(report_interval=lambda: INTERVAL)
    service = Service(namespace="shop", name="web", upstreams=(upstream,))
    loop.heed({("shop", "web"): service}, 0.0)
    kinds = [_load(upstream.endpoints, kind) for kind in range(_KINDS)]
    reports = [
        LoadReport(node_id=f"client-{client}", clusters=(kinds[client % _KINDS],))
        for client in range(CLIENTS)
    ]
    now, start = 0.0, process_time()
    for _ in range(times):
        for report in reports:
            now += INTERVAL / CLIENTS
            loop.submit(report, now)
    each = (process_time() - start) / (times * CLIENTS)
    start = process_time()
    events = loop.tick(now + 60)
    step = process_time() - start
    if not events or loop.dropped:
        message = f"nothing was weighed: {loop.dropped}"
        raise RuntimeError(message)
    what = f"{CLIENTS:,} clients, {endpoints:,} endpoints"
    return (
        Result(
            what=f"a load report taken in, {what}",
            measured=f"{each * 1e6:,.0f} us",
            aim="< 20 % of a core" if endpoints == _CASES[0][0] else "",
            baseline=f"each {INTERVAL:g} s: {each * CLIENTS / INTERVAL:.0%} of a core",
        ),
        Result(
            what=f"a step of the controller, {what}",
            measured=f"{step * 1e3:.1f} ms",
            aim="",
        ),
    )


def _upstream(endpoints: int) -> Upstream:
    """Return a port with so many endpoints that is weighed."""
    return with_bases(
        Upstream(
            namespace="shop",
            service="web",
            port=Port(number=80, name="http", protocol=Protocol.HTTP1),
            discovery=Discovery.EDS,
            load_balancer=LoadBalancer(type=LoadBalancerType.PERFORMANCE_BASED),
            endpoints=tuple(
                Endpoint(address=f"10.0.{number // 250}.{number % 250 + 1}", port=8080)
                for number in range(endpoints)
            ),
        )
    )


def _load(endpoints: Sequence[Endpoint], kind: int) -> ClusterLoad:
    """Return what a client may report; every tenth endpoint is slower."""
    loads = tuple(
        EndpointLoad(
            address=each.authority,
            issued=6,
            succeeded=5,
            failed=0,
            in_progress=int((number + kind) % 7 == 0),
            metrics={
                UPSTREAM_TIME: MetricSum(5, 1e6 if number % 10 == 0 else 3e5 + kind)
            },
        )
        for number, each in enumerate(endpoints)
    )
    return ClusterLoad(cluster="shop/web/80", seconds=INTERVAL, endpoints=loads)
