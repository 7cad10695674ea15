"""What real Envoys report of endpoints that know nothing of it, and what clients see.

A time that an Envoy measures is at least what the endpoint took; how much more says
nothing on a busy machine. So means are held to bounds from below, and to each other.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.integration.envoy.test_translate_traffic import serve
from tests.integration.envoy.world import run_client, until
from tests.translate.mesh_input import (
    Spec,
    load_balancer,
    make_service,
    make_upstream,
)
from xds_server.engine import Group, Groups, LoadReport, Node, Snapshot, XdsServer
from xds_server.lab.backend import Address
from xds_server.lab.scenario import LOOPBACK
from xds_server.load import UPSTREAM_TIME
from xds_server.mesh.audience import audience_of
from xds_server.mesh.model import Endpoint, Service
from xds_server.translate.service import build_entrance, build_service

pytestmark = pytest.mark.envoy

REPORTS = ("endpoint-load-metrics", "endpoint-load-metrics-bin")
CLUSTER = "shop/web/80"
Answer = Callable[[], Awaitable[web.Response]]


@dataclass(kw_only=True)
class Sums:
    """All that was reported of each endpoint, by `IP:port`."""

    issued: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    answers: dict[tuple[str, str], int] = field(default_factory=dict)
    totals: dict[tuple[str, str], float] = field(default_factory=dict)
    clusters: set[str] = field(default_factory=set)

    def submit(self, report: LoadReport) -> None:
        for cluster in report.clusters:
            self.clusters.add(cluster.cluster)
            for each in cluster.endpoints:
                self.issued[each.address] += each.issued
                self.failed[each.address] += each.failed
                for name, found in each.metrics.items():
                    key = each.address, name
                    self.answers[key] = self.answers.get(key, 0) + found.answers
                    self.totals[key] = self.totals.get(key, 0) + found.total

    def mean(self, endpoint: str, metric: str) -> float:
        return self.totals[endpoint, metric] / self.answers[endpoint, metric]


def server_of(service: Service, sums: Sums) -> XdsServer:
    """Return a server of one Service, whose load it asks for."""
    snapshot = Snapshot()

    def group_of(node: Node) -> Group:
        audience, _ = audience_of(node.metadata, node_id=node.id)
        group = Group(snapshot)
        group.publish(
            *build_service(service, audience.client),
            *build_entrance([service], audience),
        )
        return group

    snapshot.declare_ready()
    return XdsServer(
        snapshot=snapshot,
        directory=Groups(group_of),
        load_report_sink=sums,
        report_interval=timedelta(milliseconds=200),
    )


def application(answer: Answer) -> web.Application:
    async def handle(_: web.Request) -> web.Response:
        return await answer()

    found = web.Application()
    found.router.add_get("/", handle)
    return found


@asynccontextmanager
async def reporting(
    home: Path, spec: Spec, answers: Sequence[Answer]
) -> AsyncIterator[tuple[Sums, list[str], Callable[[], Awaitable[list[str]]]]]:
    """Run endpoints, a server and an Envoy.

    Yields what is reported, the endpoints, and what sends a request to the Service and
    returns the names of the headers of its answer.
    """
    sums = Sums()
    async with AsyncExitStack() as stack:
        ports = [
            await stack.enter_async_context(serve(application(each)))
            for each in answers
        ]
        endpoints = [Endpoint(address=LOOPBACK, port=port, weight=1) for port in ports]
        upstream = make_upstream(*endpoints, policy=load_balancer(spec))
        server = server_of(make_service(upstream), sums)
        server.ask_for_load([CLUSTER])
        xds = await stack.enter_async_context(server.listening(f"{LOOPBACK}:0"))
        client = await stack.enter_async_context(
            run_client(home, Address(LOOPBACK, int(xds.rpartition(":")[2])), "delta")
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def get() -> list[str]:
            url, head = f"http://{client.target.listener}/", {"host": "web.shop"}
            async with session.get(url, headers=head) as response:
                await response.read()
                return [name.lower() for name in response.headers]

        yield sums, [each.authority for each in endpoints], get


def answering(
    seconds: float = 0, *, status: int = 200, report: str = "cpu_utilization=0.25"
) -> Answer:
    """Return what takes its time, and says something about its load."""

    async def answer() -> web.Response:
        await asyncio.sleep(seconds)
        headers = {REPORTS[0]: f"TEXT {report}", "x-own": "kept"}
        if not report:
            headers = {REPORTS[1]: "CQAAAAAAANA/"}
        return web.Response(status=status, headers=headers)

    return answer


async def test_envoy_measures_endpoints_that_do_nothing_for_it(tmp_path: Path) -> None:
    """Each one's own time, whatever it reports itself; failures are counted apart."""
    answers = (answering(0.01), answering(0.08, report=""), answering(0.2, status=500))
    spec: Spec = {"type": "PerformanceBased"}
    async with reporting(tmp_path, spec, answers) as (sums, endpoints, get):
        seen = {name for _ in range(30) for name in await get()}
        await until(lambda: _has_all(sums, 30))
        means = [sums.mean(each, UPSTREAM_TIME) / 1e6 for each in endpoints]
        fast, slow, failing = endpoints

        assert not seen.intersection(REPORTS)
        assert "x-own" in seen
        assert 0.01 <= means[0] < means[1] < means[2]
        assert means[1] >= 0.08
        assert means[2] >= 0.2
        assert sums.failed == Counter({failing: sums.issued[failing], fast: 0, slow: 0})
        assert sums.clusters == {CLUSTER}
        assert {name for _, name in sums.totals} == {UPSTREAM_TIME}


async def test_metrics_of_the_application_are_reported_as_they_are(
    tmp_path: Path,
) -> None:
    answers = (
        answering(report="named_metrics.queue=3, cpu_utilization=0.5"),
        answering(report="named_metrics.queue=1"),
    )
    spec: Spec = {
        "type": "PerformanceBased",
        "performanceBased": {"metrics": ["named_metrics.queue"]},
    }
    async with reporting(tmp_path, spec, answers) as (sums, endpoints, get):
        seen = {name for _ in range(20) for name in await get()}
        await until(lambda: _has_all(sums, 20))

        assert not seen.intersection(REPORTS)
        assert [sums.mean(each, "named_metrics.queue") for each in endpoints] == [3, 1]
        assert {name for _, name in sums.totals} == {"named_metrics.queue"}


async def test_other_policies_leave_answers_alone(tmp_path: Path) -> None:
    """Nothing is measured, and nothing taken out."""
    spec: Spec = {"type": "LeastRequest"}
    async with reporting(tmp_path, spec, [answering()]) as (sums, endpoints, get):
        seen = {name for _ in range(5) for name in await get()}

        async def has_issued() -> bool:
            return sums.issued.total() == 5

        await until(has_issued)

        assert REPORTS[0] in seen
        assert list(sums.issued) == endpoints
        assert sums.totals == {}


async def _has_all(sums: Sums, requests: int) -> bool:
    return sum(sums.answers.values()) == requests
