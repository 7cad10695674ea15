"""The controller: what was seen of endpoints in, weights for them out.

One for each set of endpoints that is pushed. It has no clock and does nothing by
itself: whoever has it calls `step` once each period, `reweigh` when endpoints come or
go, and pushes what they say. The formulas and their reasons: docs/performance-based.md.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from xds_server.control.evidence import Load, compare, measure
from xds_server.control.health import judge
from xds_server.control.observation import EndpointSums, Observation
from xds_server.control.parameter import Parameters
from xds_server.control.state import EndpointState, State, absorb, check_state, leave
from xds_server.control.weight import Weights, differ, weigh

_UNSEEN: Final = EndpointSums()
_SHORTEST, _LONGEST = 0.1, 3600.0
"""Seconds that one observation may be about; less is none, more counts as this."""


class Reason(StrEnum):
    """Why an endpoint has its weight."""

    HELD = "held"
    """Its load is that of the others, as far as can be told."""
    FASTER = "faster"
    """It has less to do than the others: it gains."""
    SLOWER = "slower"
    FAILING = "failing"
    """It has more errors than the others."""
    RECOVERING = "recovering"
    """It still has, but fewer than before."""
    PROBING = "probing"
    """It gets no less than is needed to see whether it becomes better."""
    NEW = "new"
    """It has just come: at the median of the others, or as it was before it went."""
    NO_EVIDENCE = "no evidence"
    """Too few answers, or no reports: what it had is kept."""
    FADING = "fading"
    """No evidence for long: on its way back to neutral."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one endpoint stands after a step.

    `load` is in requests in progress for each unit of base weight (or in units of the
    metric), None where it is not known; `health` the factor that errors leave; `weight`
    what it should have where the mean is 1000, before rounding; `age` the seconds since
    the last evidence of its load; `gain` the part of its error that a step makes good.
    """

    load: float | None
    health: float
    weight: float
    age: float
    gain: float
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of a step: `weights` are what clients are to have, at least 1 each.

    Where `push` is false, they have them already.
    """

    weights: Mapping[str, int]
    push: bool
    endpoints: Mapping[str, Standing]


class Controller:
    """Weights for the endpoints of one set, step by step.

    Any input gives finite, positive weights. One task owns it.
    """

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._parameters = parameters or Parameters()
        self._state = State()

    def save(self) -> State:
        """Return all that it remembers."""
        return self._state

    def restore(self, state: State) -> None:
        """Go on where the controller was that saved *state*.

        Raises `ValueError` where it holds numbers that no controller has.
        """
        check_state(state, self._parameters)
        self._state = state

    def adopt(self, weights: Mapping[str, float], bases: Mapping[str, int]) -> None:
        """Start from *weights* that somebody else found: published, or saved.

        Endpoints of *bases* that have none start at the median; weights that are not
        positive count as none.
        """
        bases = _sound_bases(bases)
        logs = {
            name: math.log(weight) - math.log(bases[name])
            for name, weight in weights.items()
            if name in bases and 0 < weight < math.inf
        }
        middle = statistics.median(logs.values()) if logs else 0.0
        fresh = EndpointState(gain=self._parameters.first_gain)
        endpoints = {
            name: replace(fresh, log_weight=logs.get(name, middle) - middle)
            for name in bases
        }
        self._state = State(bases=bases, endpoints=_centre(endpoints, self._parameters))

    def adopt_traffic(self, observation: Observation) -> None:
        """Start from what the clients do: the requests that they sent to each endpoint.

        For a controller that has no past, where clients have weights already; before
        the first step, of the same period. Few requests tell no shares: then it is
        neutral.
        """
        total = sum(each.issued for each in observation.endpoints.values())
        if total < self._parameters.least_answers * len(observation.bases):
            return
        issued = {
            name: max(observation.endpoints.get(name, _UNSEEN).issued, 0) + 1.0
            for name in observation.bases
        }
        self.adopt(issued, observation.bases)

    def reweigh(self, bases: Mapping[str, int]) -> Mapping[str, int]:
        """Return the present weights for the endpoints of *bases*: push them at once.

        New ones start at the median, those that were here a while ago where they were.
        No step is made.
        """
        state = self._admit(_sound_bases(bases))
        if state.pushed is None or state.bases != self._state.bases:
            weights = self._weigh(state)
            state = replace(state, pushed=weights.rounded)
        self._state = state
        return state.pushed or {}

    def step(self, observation: Observation) -> Decision:
        """Return what follows from one more period; to be called once each period."""
        parameters = self._parameters
        before = self._admit(_sound_bases(observation.bases))
        elapsed = self._elapsed(observation.now)
        endpoints = before.endpoints
        loads: dict[str, Load] = {}
        judged: dict[str, float] = {}
        if observation.seconds >= _SHORTEST:
            endpoints = self._absorb(endpoints, observation, elapsed)
            judged = judge(endpoints, parameters)
            loads = self._measure(before, endpoints, observation)
        health = {n: judged.get(n, e.health) for n, e in endpoints.items()}
        errors = compare(loads, health, parameters)
        moved = {
            name: self._move(
                replace(endpoint, health=health[name]),
                errors.get(name),
                elapsed=elapsed,
                is_judged=name in judged,
            )
            for name, endpoint in endpoints.items()
        }
        now = observation.now if math.isfinite(observation.now) else before.now
        after = replace(
            before,
            now=now,
            endpoints=_centre(moved, parameters),
            absent=self._forget(before.absent, elapsed),
        )
        return self._decide(before, after, loads, errors)

    def _elapsed(self, now: float) -> float:
        """Return the seconds since the last step, bounded: clocks may jump."""
        before = self._state.now
        if before is None or not now > before:
            return 0.0
        return min(now - before, self._parameters.longest_pause)

    def _admit(self, bases: dict[str, int]) -> State:
        """Return the state with the endpoints of *bases*, new ones added."""
        known = self._state.endpoints
        if known.keys() == bases.keys():
            return replace(self._state, bases=bases)
        # The median is where the others are centred. The first ones are not new: they
        # were there before anything was reported.
        new = EndpointState(gain=self._parameters.first_gain, is_new=bool(known))
        absent = dict(self._state.absent)
        endpoints = {name: known.get(name) or absent.pop(name, new) for name in bases}
        gone = {n: leave(e) for n, e in known.items() if n not in bases}
        most = max(len(known), len(bases))
        pushed = self._state.pushed
        return replace(
            self._state,
            bases=bases,
            endpoints=_centre(endpoints, self._parameters),
            pushed=pushed and {n: w for n, w in pushed.items() if n in bases},
            absent=dict([*absent.items(), *gone.items()][-most:]),
        )

    def _forget(
        self, absent: Mapping[str, EndpointState], elapsed: float
    ) -> dict[str, EndpointState]:
        """Return those of *absent* that may come back as they were."""
        faded = (
            (name, self._fade(endpoint, elapsed=elapsed, is_judged=False))
            for name, endpoint in absent.items()
        )
        longest = self._parameters.hold + self._parameters.forgetting
        return {name: endpoint for name, endpoint in faded if endpoint.age <= longest}

    def _absorb(
        self,
        endpoints: Mapping[str, EndpointState],
        observation: Observation,
        elapsed: float,
    ) -> dict[str, EndpointState]:
        """Return *endpoints* with what was observed added to what was before."""
        seconds = min(observation.seconds, _LONGEST)
        return {
            name: absorb(
                endpoint,
                observation.endpoints.get(name, _UNSEEN),
                seconds=seconds,
                elapsed=max(elapsed, seconds),
                parameters=self._parameters,
            )
            for name, endpoint in endpoints.items()
        }

    def _measure(
        self,
        before: State,
        endpoints: Mapping[str, EndpointState],
        observation: Observation,
    ) -> dict[str, Load]:
        weights = before.pushed or self._weigh(before).rounded
        total = sum(weights.values())
        return measure(
            endpoints,
            observation.endpoints,
            bases=before.bases,
            shares={name: weight / total for name, weight in weights.items()},
            parameters=self._parameters,
        )

    def _move(
        self,
        endpoint: EndpointState,
        error: float | None,
        *,
        elapsed: float,
        is_judged: bool,
    ) -> EndpointState:
        """Return *endpoint* moved by its *error*, None where there was no evidence."""
        parameters = self._parameters
        if error is None:
            return self._fade(endpoint, elapsed=elapsed, is_judged=is_judged)
        sign = (error > 0) - (error < 0)
        gain = endpoint.gain
        if sign and endpoint.sign:
            is_kept = sign == endpoint.sign
            gain *= parameters.gain_up if is_kept else parameters.gain_down
            gain = min(max(gain, parameters.least_gain), parameters.first_gain)
        return replace(
            endpoint,
            log_weight=endpoint.log_weight + gain * error,
            gain=gain,
            sign=sign or endpoint.sign,
            age=0.0,
        )

    def _fade(
        self, endpoint: EndpointState, *, elapsed: float, is_judged: bool
    ) -> EndpointState:
        """Return *endpoint* as it was, or after long nearer to neutral."""
        age = endpoint.age + elapsed
        if age <= self._parameters.hold:
            return replace(endpoint, age=age)
        keep = math.exp(-elapsed / self._parameters.forgetting)
        health = endpoint.health if is_judged else 1 - (1 - endpoint.health) * keep
        return replace(
            endpoint, age=age, log_weight=endpoint.log_weight * keep, health=health
        )

    def _weigh(self, state: State) -> Weights:
        return weigh(state.endpoints, state.bases, state.pushed, self._parameters)

    def _decide(
        self,
        before: State,
        after: State,
        loads: Mapping[str, Load],
        errors: Mapping[str, float],
    ) -> Decision:
        weights = self._weigh(after)
        pushed = after.pushed
        push = pushed is None or differ(
            pushed, weights.rounded, self._parameters.deadband
        )
        if push:
            pushed = weights.rounded
        standings = {
            name: Standing(
                load=loads[name].value if name in loads else None,
                health=weights.health[name],
                weight=weights.exact[name],
                age=endpoint.age,
                gain=endpoint.gain,
                reason=self._reason(
                    before.endpoints[name],
                    endpoint,
                    errors.get(name),
                    is_floored=name in weights.floored,
                ),
            )
            for name, endpoint in after.endpoints.items()
        }
        self._state = replace(after, pushed=pushed)
        return Decision(weights=pushed or {}, push=push, endpoints=standings)

    def _reason(
        self,
        before: EndpointState,
        after: EndpointState,
        error: float | None,
        *,
        is_floored: bool,
    ) -> Reason:
        if before.is_new:
            return Reason.NEW
        if after.health < self._parameters.failing_below:
            is_better = after.health > before.health
            return Reason.RECOVERING if is_better else Reason.FAILING
        if error is None:
            is_held = after.age <= self._parameters.hold
            return Reason.NO_EVIDENCE if is_held else Reason.FADING
        if is_floored:
            return Reason.PROBING
        if error == 0:
            return Reason.HELD
        return Reason.FASTER if error > 0 else Reason.SLOWER


def _sound_bases(bases: Mapping[str, int]) -> dict[str, int]:
    return {name: min(max(base, 1), 2**32) for name, base in bases.items()}


def _centre(
    endpoints: Mapping[str, EndpointState], parameters: Parameters
) -> dict[str, EndpointState]:
    """Return *endpoints* with the median weight at 1, and no weight too far from it."""
    if not endpoints:
        return {}
    low, high = math.log(parameters.least_factor), math.log(parameters.most_factor)
    middle = statistics.median(each.log_weight for each in endpoints.values())
    return {
        name: replace(each, log_weight=min(max(each.log_weight - middle, low), high))
        for name, each in endpoints.items()
    }
