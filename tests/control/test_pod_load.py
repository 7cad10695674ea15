"""Weights go by the CPU of Pods, which is told late and seldom, and errors as before.

The Pods of the tests do work of which a request costs so much CPU as their machine is
slow; they are measured as metrics-server does it, on the average of 15 s.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest

from tests.control.mesh import CLUSTER, INTERVAL, World, address, measured
from tests.control.reports import seen
from tests.mesh.documents import endpoint, pod, policy, service, slice_of
from xds_server.api.document import Document, Revision
from xds_server.api.performance import POD_CPU
from xds_server.control.controller import Reason
from xds_server.control.observation import EndpointSums, Observation
from xds_server.control.pod_load import PATIENCE, PodLoads
from xds_server.control.standing import EndpointStanding
from xds_server.load import OLDEST_USAGE, ClusterLoad, LoadReport, PodUsage
from xds_server.mesh.model import PodCpu

WINDOW = 15.0
RATE = 200.0
"""Requests a second, to all."""
A, B, C = "10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"
PODS = {A: PodCpu("shop", "a", 2.0), B: PodCpu("shop", "b", 0.5)}


def usage(
    name: str, cpu: float, *, timestamp: float, age: float = 0.0, window: float = WINDOW
) -> dict[tuple[str, str], PodUsage]:
    """Return a reading of one Pod."""
    return {
        ("shop", name): PodUsage(
            namespace="shop",
            name=name,
            cpu=cpu,
            timestamp=timestamp,
            window=window,
            age=age,
        )
    }


def observation(now: float, *, seconds: float = 10.0, failed: int = 0) -> Observation:
    """Return what Envoys say of A and B: 40 answers each."""
    sums = EndpointSums(
        issued=40, succeeded=40 - failed, failed=failed, answers=40, load=9.0
    )
    return Observation(
        now=now, seconds=seconds, bases={A: 1, B: 1}, endpoints={A: sums, B: sums}
    )


def levels(observed: Observation) -> dict[str, float]:
    """Return the levels that an observation tells."""
    return {
        name: sums.load / sums.answers
        for name, sums in observed.endpoints.items()
        if sums.answers
    }


@pytest.fixture
def loads() -> PodLoads:
    """Return loads of two Pods that have been measured, and steps that went by it."""
    loads = PodLoads()
    loads.expect(PODS)
    loads.take(usage("a", 1.0, timestamp=95) | usage("b", 1.0, timestamp=95), 100)
    loads.observe(observation(100))
    return loads


def test_a_level_is_what_a_pod_uses_of_what_it_requests() -> None:
    loads = PodLoads()
    loads.expect(PODS)
    loads.take(usage("a", 1.0, timestamp=1) | usage("b", 0.4, timestamp=1), 100)

    assert levels(loads.observe(observation(100))) == {A: 0.5, B: 0.8}


def test_a_reading_counts_once_and_for_all_answers_since_the_last(
    loads: PodLoads,
) -> None:
    between = loads.observe(observation(110, failed=4))
    loads.take(usage("a", 1.0, timestamp=120) | usage("b", 0.4, timestamp=120), 120)
    counted = loads.observe(observation(120))
    loads.take(usage("a", 1.0, timestamp=120) | usage("b", 0.4, timestamp=119), 125)
    after = loads.observe(observation(130))

    assert levels(between) == {}
    assert [sums.failed for sums in between.endpoints.values()] == [4, 4]
    assert levels(counted) == {A: 0.5, B: 0.8}
    assert [sums.answers for sums in counted.endpoints.values()] == [80, 80]
    assert levels(after) == {}


@pytest.mark.parametrize(
    ("age", "window", "counts"),
    [(0, 14, True), (1, 14, False), (0, 16, False), (-60, 14, True), (-60, 16, False)],
)
def test_all_of_a_reading_is_of_the_time_since_the_last_step(
    loads: PodLoads, age: float, window: float, *, counts: bool
) -> None:
    """The clock of who measured may be ahead: then it was measured now, at the best."""
    for name in "ab":
        loads.take(usage(name, 1.0, timestamp=120, age=age, window=window), 114.5)

    assert bool(levels(loads.observe(observation(115)))) is counts


def test_all_pods_are_waited_for_but_not_for_ever(loads: PodLoads) -> None:
    loads.take(usage("a", 1.0, timestamp=120), 120)
    early = loads.observe(observation(120))
    late = loads.observe(observation(120 + PATIENCE))

    assert levels(early) == {}
    assert levels(late) == {A: 0.5}


def test_a_pod_that_was_never_measured_is_not_waited_for(loads: PodLoads) -> None:
    loads.expect({**PODS, C: PodCpu("shop", "c", 1.0)})
    loads.take(usage("a", 1.0, timestamp=120) | usage("b", 0.4, timestamp=120), 120)

    assert levels(loads.observe(observation(120))) == {A: 0.5, B: 0.8}


def test_a_reading_waits_for_reports(loads: PodLoads) -> None:
    loads.take(usage("a", 1.0, timestamp=120) | usage("b", 0.4, timestamp=120), 120)
    nobody = Observation(now=120, seconds=0, bases={A: 1, B: 1}, endpoints={})

    assert levels(loads.observe(nobody)) == {}
    assert levels(loads.observe(observation(130))) == {A: 0.5, B: 0.8}


def test_a_pod_in_the_place_of_another_is_measured_anew(loads: PodLoads) -> None:
    loads.take(usage("a", 1.0, timestamp=120) | usage("b", 0.4, timestamp=120), 120)
    loads.expect({A: PODS[A], B: PodCpu("shop", "c", 1.0)})
    alone = loads.observe(observation(120))
    loads.take(usage("c", 1.0, timestamp=118), 150)
    loads.take(usage("a", 1.0, timestamp=150), 150)
    both = loads.observe(observation(150))

    assert levels(alone) == {A: 0.5}
    assert levels(both) == {A: 0.5, B: 1.0}


def test_a_reading_that_grew_old_here_says_nothing(loads: PodLoads) -> None:
    loads.take(usage("a", 1.0, timestamp=120) | usage("b", 0.4, timestamp=120), 120)

    assert levels(loads.observe(observation(121 + OLDEST_USAGE))) == {}


def test_what_was_read_before_somebody_elses_step_says_nothing(
    loads: PodLoads,
) -> None:
    """Nor does what was measured in part before it: the weights were others."""
    loads.take(usage("a", 1.0, timestamp=120) | usage("b", 0.4, timestamp=120), 120)
    loads.skip()
    before = loads.observe(observation(121))
    loads.take(usage("a", 1.0, timestamp=130) | usage("b", 0.4, timestamp=130), 130)
    in_part = loads.observe(observation(131))
    loads.take(usage("a", 1.0, timestamp=150) | usage("b", 0.4, timestamp=150), 150)
    after = loads.observe(observation(151))

    assert levels(before) == levels(in_part) == {}
    assert levels(after) == {A: 0.5, B: 0.8}


def test_answers_of_a_pod_that_went_are_forgotten(loads: PodLoads) -> None:
    loads.observe(observation(110))
    loads.expect({A: PODS[A]})
    loads.expect(PODS)
    loads.take(usage("a", 1.0, timestamp=130) | usage("b", 0.4, timestamp=130), 130)
    counted = loads.observe(observation(130))

    assert {name: each.answers for name, each in counted.endpoints.items()} == {
        A: 80,
        B: 40,
    }


class Cluster(World):
    """Pods whose requests cost CPU, and who measures them every 15 s."""

    def __init__(
        self, costs: Mapping[int, float], requests: Mapping[int, str] = {}
    ) -> None:
        """Begin with Pods of which a request costs *costs* seconds of CPU.

        They request a core each, unless *requests* say something else.
        """
        self.costs = dict(costs)
        self.failed: Mapping[int, float] = {}
        self.is_measured = True
        self.trace: list[dict[int, float]] = []
        self._used: defaultdict[int, list[float]] = defaultdict(list)
        super().__init__(
            service(),
            slice_of([endpoint(f"10.0.0.{i}", pod=f"pod-{i}") for i in costs]),
            policy(load_balancer=measured(metrics=[POD_CPU])),
            *(self.pod(i, requests.get(i, "1")) for i in costs),
        )

    @staticmethod
    def pod(last: int, request: str) -> Document:
        return pod(f"pod-{last}", requests=[request], revision=Revision(uid=str(last)))

    def go_on(self, seconds: float) -> None:
        """Let time pass, second by second."""
        for _ in range(round(seconds)):
            self.now += 1
            shares = self.shares
            for last, cost in self.costs.items():
                self._used[last].append(RATE * shares[last] * cost)
            if self.now % INTERVAL == 0:
                self.loop.submit(self._report(shares), self.now)
            if self.now % 5 == 3 and self.is_measured:
                self.loop.take(self._readings(), self.now)
            due = self.loop.due
            if due is not None and due <= self.now:
                self.take(self.tick())
                self.trace.append(self.shares)

    def _report(self, shares: Mapping[int, float]) -> LoadReport:
        """Return what an Envoy says: all answers take the same time, or fail."""
        loads = []
        for last, share in shares.items():
            number = round(INTERVAL * RATE * share)
            failed = round(number * self.failed.get(last, 0.0))
            loads.append(seen(address(last), number, failed=failed))
        load = ClusterLoad(cluster=CLUSTER, seconds=INTERVAL, endpoints=tuple(loads))
        return LoadReport(node_id="one", clusters=(load,))

    def _readings(self) -> Sequence[PodUsage]:
        """Return the newest measurements; each Pod's Node has a rhythm of its own."""
        found: list[PodUsage] = []
        for last, used in self._used.items():
            age = int(self.now + 4 * last) % 15
            measured = used[: len(used) - age][-int(WINDOW) :]
            if len(measured) == WINDOW:
                cpu, time = sum(measured) / WINDOW, self.now - age
                found += usage(f"pod-{last}", cpu, timestamp=time, age=age).values()
        return found

    def standing(self, last: int) -> EndpointStanding:
        (port,) = self.loop.standings(self.now)
        return next(e for e in port.endpoints if e.address == address(last))


def test_shares_come_to_what_pods_can_do_and_stay_there() -> None:
    """P(i) = p_i / sum(p), p the requests that a Pod does for the CPU it requests."""
    cluster = Cluster({1: 0.02, 2: 0.02, 3: 0.01, 4: 0.005})
    cluster.go_on(900)
    settled = cluster.trace[-30:]

    for shares in settled:
        assert shares == pytest.approx(
            {1: 1 / 8, 2: 1 / 8, 3: 1 / 4, 4: 1 / 2}, abs=0.02
        )
    assert max(shares[4] for shares in cluster.trace) < 0.52
    assert all(b[4] >= a[4] - 0.02 for a, b in pairwise(cluster.trace))
    assert len(cluster.pushes) < 30


def test_a_pod_that_requests_more_gets_as_much_more() -> None:
    cluster = Cluster(dict.fromkeys((1, 2, 3), 0.01), requests={3: "2"})
    cluster.go_on(900)

    assert cluster.shares == pytest.approx({1: 0.25, 2: 0.25, 3: 0.5}, abs=0.02)


def test_a_pod_that_slows_down_loses_what_it_cannot_do() -> None:
    cluster = Cluster(dict.fromkeys((1, 2, 3), 0.01))
    cluster.go_on(300)
    cluster.costs[1] = 0.04
    cluster.go_on(900)

    assert cluster.shares == pytest.approx({1: 1 / 9, 2: 4 / 9, 3: 4 / 9}, abs=0.02)


def test_errors_count_in_each_period_as_before() -> None:
    cluster = Cluster(dict.fromkeys((1, 2, 3), 0.01))
    cluster.go_on(300)
    cluster.failed = {2: 1.0}
    cluster.go_on(60)

    assert cluster.shares[2] < 0.05
    assert cluster.standing(2).reason is Reason.FAILING


def test_where_pods_are_not_measured_weights_are_held_and_fade() -> None:
    cluster = Cluster({1: 0.02, 2: 0.02, 3: 0.005})
    cluster.go_on(600)
    learned = cluster.shares[3]
    cluster.is_measured = False
    cluster.go_on(170)
    held, reason = cluster.shares[3], cluster.standing(3).reason
    cluster.go_on(1800)

    assert held == pytest.approx(learned, abs=0.01)
    assert reason is not Reason.FADING
    assert cluster.shares[3] == pytest.approx(1 / 3, abs=0.02)


def test_both_the_level_and_the_time_of_answers_are_seen() -> None:
    """Between two readings, too: what was known last is shown until it fades."""
    cluster = Cluster({1: 0.02, 2: 0.02, 3: 0.02}, requests={1: "4"})
    cluster.go_on(100)
    for _ in range(6):
        cluster.go_on(10)
        standing = cluster.standing(1)

        assert standing.load == pytest.approx(RATE / 3 * 0.02 / 4, rel=1)
        assert standing.latency == pytest.approx(0.05)
        assert standing.reason in {Reason.FASTER, Reason.HELD}


def test_metrics_are_asked_for_in_the_namespaces_of_pods_that_count() -> None:
    cluster = Cluster({1: 0.01, 2: 0.01})
    wanted = cluster.loop.demand.namespaces
    cluster.apply(policy(load_balancer=measured()))
    unwanted = cluster.loop.demand.namespaces
    cluster.apply(policy(load_balancer=measured(metrics=[POD_CPU])))
    again = cluster.loop.demand.namespaces
    cluster.apply(slice_of([]))

    assert wanted == again == frozenset({"shop"})
    assert not unwanted
    assert not cluster.loop.demand.namespaces


def test_readings_of_strangers_say_nothing() -> None:
    cluster = Cluster({1: 0.01, 2: 0.01})
    for time in range(20):
        cluster.loop.take(usage("stranger", 1e9, timestamp=time).values(), cluster.now)
        cluster.go_on(10)

    assert cluster.shares == {1: 0.5, 2: 0.5}
