"""The loop of one port of one Service: reports in, weights out, once each period.

It joins what policies say of the port (its endpoints, their base weights, how often),
the `Tally` of what clients report, and the `Controller` that decides. Times are
seconds of a monotonic clock that whoever calls has.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from xds_server.api.policy import PerformanceBalance, PerformanceBased
from xds_server.control.audit import Dropped
from xds_server.control.controller import Controller, Decision, Reason, Standing
from xds_server.control.observation import EndpointSums, Observation
from xds_server.control.parameter import Parameters, Signal
from xds_server.control.pod_load import PodLoads
from xds_server.control.state import State, rounded
from xds_server.control.tally import Tally
from xds_server.load import ClusterLoad
from xds_server.mesh.learned_weight import bases_of
from xds_server.mesh.model import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a policy says of how a port is weighed.

    `period` is in seconds, and the least that is between two steps; `metrics` are what
    applications report, none where Envoys measure; `by_cpu` where the load is the CPU
    of Pods, whatever these say. `in_turns` where round robin goes by the weights, and
    not least request.
    """

    period: float
    metrics: tuple[str, ...]
    in_turns: bool = False
    by_cpu: bool = False

    @classmethod
    def of(cls, upstream: Upstream) -> "Terms":
        """Return the terms of a weighed *upstream*."""
        block = upstream.load_balancer.performance_based or PerformanceBased()
        return cls(
            period=block.update_period.total_seconds(),
            metrics=block.reported,
            by_cpu=block.is_by_cpu,
            in_turns=block.balance is PerformanceBalance.ROUND_ROBIN,
        )

    def parameters(self, period: float) -> Parameters:
        """Return what a controller goes by that takes a step every *period* seconds."""
        signal = Signal.LEVEL if self.metrics else Signal.TIME
        if self.by_cpu:
            signal = Signal.SAMPLE
        return Parameters.for_period(period, signal=signal, in_turns=self.in_turns)


class PortLoop:
    """Weights for the endpoints of one port, as long as a policy wants them."""

    def __init__(
        self,
        terms: Terms,
        period: float,
        dropped: Counter[Dropped],
        state: State | None = None,
    ) -> None:
        """Begin at neutral, or go on from *state*, which another loop saved.

        A step is to be taken every *period* seconds.

        Raises:
            ValueError: *state* holds numbers that no controller has.
        """
        self.terms = terms
        self.period = period
        self.tally = Tally(terms.metrics, dropped)
        self.pods = PodLoads()
        """What is known of Pods whose CPU is the load; of none where it is not."""
        self.weights: Mapping[str, int] = {}
        """What clients are to have, empty before the first `heed`."""
        self.bases: Mapping[str, int] = {}
        self.seen: Observation | None = None
        """The last period of which there were reports."""
        self.decision: Decision | None = None
        self.is_settled = state is not None
        """Whether there is anything to say: not before a period with requests."""
        self.is_kept = False
        """Whether clients go on with the weights of a server before this one."""
        self._dropped = dropped
        self._controller = Controller(terms.parameters(period))
        if state is not None:
            self._controller.restore(state)

    def save(self) -> State:
        """Return what the next process has to know to go on from here."""
        return self._controller.save()

    def heed(self, upstream: Upstream, terms: Terms, period: float) -> bool:
        """Take in what policies and endpoints are now; return whether weights changed.

        What is seen of endpoints that go, or in other metrics, is forgotten. As long as
        nothing is learned, clients have the base weights without being told any.
        """
        measured = terms.metrics, terms.by_cpu
        if measured != (self.terms.metrics, self.terms.by_cpu):
            self._measure_anew(terms)
        self._go_by(terms, period)
        self.tally.expect([each.authority for each in upstream.endpoints])
        self.bases = bases_of(upstream)
        self.pods.expect(
            {
                each.authority: each.pod_cpu
                for each in upstream.endpoints
                if each.pod_cpu
            }
        )
        before, self.weights = self.weights, self._controller.reweigh(self.bases)
        return self.is_settled and before != self.weights

    def pace(self, period: float) -> None:
        """Let steps be taken every *period* seconds from now on."""
        self._go_by(self.terms, period)

    def take(self, client: str, load: ClusterLoad, now: float) -> None:
        """Take in what *client* reports."""
        self.tally.take(client, load, now)

    def observe(self, now: float) -> Observation:
        """Return what clients have reported, at the end of a period."""
        return self._look_at(self.tally.observe(self.bases, now))

    def step(self, seen: Observation) -> bool:
        """Take a step by what was *seen*; return whether there is something to push."""
        settles = not self.is_settled and any(
            each.issued > 0 for each in seen.endpoints.values()
        )
        if settles and self.is_kept:
            self._controller.adopt_traffic(seen)
        told = self._look_at(seen)
        if self.terms.by_cpu:
            told = self.pods.observe(told)
        before, decision = self.decision, self._controller.step(told)
        if self.terms.by_cpu and before is not None:
            decision = _with_last_loads(decision, before)
        self.decision = decision
        self.weights = self.decision.weights
        self.is_settled = self.is_settled or settles
        return settles or (self.is_settled and self.decision.push)

    def adopt(self, state: State) -> bool:
        """Go on from *state*, which another loop of this port has; return as `step`.

        Raises:
            ValueError: it holds numbers that no controller has.
        """
        self._controller.restore(state)
        self.decision = None
        self.pods.skip()
        settles, self.is_settled = not self.is_settled, True
        before, self.weights = self.weights, self._controller.reweigh(self.bases)
        return settles or before != self.weights

    def round(self) -> None:
        """Remember what replicas can tell each other, so all go on from the same."""
        self._controller.restore(rounded(self._controller.save()))

    def seen_of(self, address: str) -> EndpointSums:
        """Return what was seen of an endpoint in the last period with reports."""
        return (self.seen.endpoints if self.seen else {}).get(address, EndpointSums())

    def standing_of(self, address: str) -> Standing | None:
        """Return how an endpoint stood after the last step, None before its first."""
        return (self.decision.endpoints if self.decision else {}).get(address)

    def _look_at(self, seen: Observation) -> Observation:
        if seen.seconds > 0:
            self.seen = seen
        return seen

    def _go_by(self, terms: Terms, period: float) -> None:
        if (terms, period) != (self.terms, self.period):
            self.terms, self.period = terms, period
            state = self.save()
            self._controller = Controller(terms.parameters(period))
            self._controller.restore(state)

    def _measure_anew(self, terms: Terms) -> None:
        """Go on from the same weights: sums of another metric cannot be added to."""
        bases = self.save().bases
        self.tally = Tally(terms.metrics, self._dropped)
        self.pods = PodLoads()
        self.seen = None
        self._controller = Controller(terms.parameters(self.period))
        self._controller.adopt(self.weights, bases)


def _with_last_loads(after: Decision, before: Decision) -> Decision:
    """Return *after* with what was last known of loads, as long as that is held.

    Between two readings there is no evidence, and no news either.
    """
    endpoints = dict(after.endpoints)
    for name, standing in after.endpoints.items():
        last = before.endpoints.get(name)
        if standing.reason is Reason.NO_EVIDENCE and last is not None:
            endpoints[name] = replace(standing, load=last.load, reason=last.reason)
    return replace(after, endpoints=endpoints)
