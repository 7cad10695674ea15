"""A mesh whose weights are computed, and sidecars whose reports tell of its servers."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from tests.control.reports import seen
from tests.mesh.documents import policy, service, slice_of
from xds_server.api.document import Document
from xds_server.api.policy import (
    LoadBalancer,
    LoadBalancerType,
    PerformanceBalance,
    PerformanceBased,
)
from xds_server.control.loop import ControlLoop
from xds_server.control.standing import Push
from xds_server.control.state import State
from xds_server.control.team import Team
from xds_server.load import ClusterLoad, LoadReport
from xds_server.mesh.event import Applied, Deleted, Event, Weighed
from xds_server.mesh.index import Index

FAST, SLOW = 0.02, 0.08
"""Mean seconds of an answer."""
UNEQUAL = {1: SLOW, 2: SLOW, 3: FAST}
WEB = ("shop", "web")
CLUSTER = "shop/web/80"
INTERVAL = 2.0
PERIOD = 10.0


def measured(
    *,
    metrics: Sequence[str] = (),
    seconds: float = PERIOD,
    balance: PerformanceBalance = PerformanceBalance.LEAST_REQUEST,
) -> LoadBalancer:
    """Return a load balancer whose weights the control plane computes."""
    block = PerformanceBased.model_validate(
        {
            "balance": balance,
            "update_period": timedelta(seconds=seconds),
            **({"metrics": tuple(metrics)} if metrics else {}),
        }
    )
    kind = LoadBalancerType.PERFORMANCE_BASED
    return LoadBalancer(type=kind, performance_based=block)


def mesh(
    *lasts: int, load_balancer: LoadBalancer | None = None
) -> tuple[Document, ...]:
    """Return a Service whose servers have addresses that end like *lasts*."""
    return (
        service(),
        slice_of([f"10.0.0.{last}" for last in lasts]),
        policy(load_balancer=load_balancer or measured()),
    )


def address(last: int) -> str:
    return f"10.0.0.{last}:8080"


def report(
    means: Mapping[int, float],
    *,
    node: str = "one",
    answers: int = 40,
    cluster: str = CLUSTER,
) -> LoadReport:
    """Return a report of servers, by the mean seconds of their answers."""
    loads = tuple(
        seen(address(last), answers, mean=mean) for last, mean in means.items()
    )
    load = ClusterLoad(cluster=cluster, seconds=INTERVAL, endpoints=loads)
    return LoadReport(node_id=node, clusters=(load,))


class World:
    """An index and a loop, joined as the server joins them; the time is told."""

    def __init__(
        self,
        *documents: Document,
        saved: Mapping[tuple[str, str, int], State] = {},
        team: Team | None = None,
        now: float = 1000.0,
    ) -> None:
        self.index = Index()
        self.pushes: list[Push] = []
        self.interval = INTERVAL
        self.loop = ControlLoop(
            report_interval=lambda: self.interval, observers=[self], team=team
        )
        self.loop.restore(saved)
        self.now = now
        self.apply(*documents)

    def on_push(self, push: Push) -> None:
        self.pushes.append(push)

    def apply(self, *documents: Document) -> None:
        self.take([Applied(document=each) for each in documents])

    def delete(self, *documents: Document) -> None:
        self.take([Deleted(key=each.key) for each in documents])

    def take(self, events: Sequence[Event]) -> None:
        """Do what the server does with events."""
        while events:
            changes = self.index.apply(events)
            changed = changes.services | changes.deleted
            services = {name: self.index.services.get(name) for name in changed}
            events = self.loop.heed(services, self.now)

    def period(self, means: Mapping[int, float], *, answers: int = 40) -> None:
        """Let the reports of a period come, and what follows of them happen."""
        for _ in range(round(PERIOD / INTERVAL)):
            self.now += INTERVAL
            self.loop.submit(report(means, answers=answers), self.now)
        self.take(self.tick())

    def period_of(self, answers: Mapping[int, int]) -> None:
        """The same where servers are busy alike, by how much they do in an interval."""
        for _ in range(round(PERIOD / INTERVAL)):
            self.now += INTERVAL
            loads = (
                seen(address(last), count, mean=4 / count)
                for last, count in answers.items()
            )
            load = ClusterLoad(
                cluster=CLUSTER, seconds=INTERVAL, endpoints=tuple(loads)
            )
            self.loop.submit(LoadReport(node_id="one", clusters=(load,)), self.now)
        self.take(self.tick())

    def learn(self) -> None:
        """Let some periods pass with a fast server and slow ones, until that shows."""
        for _ in range(3):
            self.period(UNEQUAL)

    def tick(self) -> tuple[Weighed, ...]:
        return self.loop.tick(self.now)

    @property
    def weights(self) -> dict[str, int | None]:
        """The weights that clients get."""
        (upstream,) = self.index.services[WEB].upstreams
        return {each.authority: each.weight for each in upstream.endpoints}

    @property
    def shares(self) -> dict[int, float]:
        """The parts of the traffic that the weights ask for."""
        total = sum(each or 0 for each in self.weights.values())
        return {
            int(name.split(":")[0].split(".")[-1]): (weight or 0) / total
            for name, weight in self.weights.items()
        }
