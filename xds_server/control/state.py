"""What a controller remembers between its steps: frozen values that msgspec encodes.

Structs, and not dataclasses: a step makes three for each endpoint, in a third of the
time.

Durations instead of times of a clock, so a state is as good after a restart, when the
clock is another one.
"""

import math
from collections.abc import Mapping
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from xds_server.control.observation import EndpointSums
from xds_server.control.parameter import Parameters

_MOST_COUNT, _MOST_LOAD = 1e12, 1e15
"""More in one period is not believed; sums stay finite whatever comes."""
_MOST_SUM, _MOST_WEIGHT = 1e18, 2**32
"""More is reached by no sum of such periods, and by no weight."""


class Window(Struct, frozen=True, kw_only=True):
    """Sums in which the past fades: `seconds` observed, and what was seen in them."""

    seconds: float = 0.0
    load: float = 0.0
    answers: float = 0.0
    succeeded: float = 0.0
    failed: float = 0.0

    @property
    def outcomes(self) -> float:
        """How many requests ended."""
        return self.succeeded + self.failed

    @property
    def success(self) -> float:
        """The part of them that ended well, 1 where none ended."""
        return self.succeeded / self.outcomes if self.outcomes > 0 else 1.0

    def add(self, seen: EndpointSums, seconds: float, keep: float) -> "Window":
        """Return the window after *seconds* more, of the past the part *keep*."""
        return Window(
            seconds=self.seconds * keep + seconds,
            load=self.load * keep + _bounded(seen.load, _MOST_LOAD),
            answers=self.answers * keep + _bounded(seen.answers, _MOST_COUNT),
            succeeded=self.succeeded * keep + _bounded(seen.succeeded, _MOST_COUNT),
            failed=self.failed * keep + _bounded(seen.failed, _MOST_COUNT),
        )


class EndpointState(Struct, frozen=True, kw_only=True):
    """What is known of one endpoint.

    `log_weight` is relative to the median endpoint, before errors and base weights;
    `sign` that of the last error that counted; `age` the seconds since the last
    evidence of load. `is_new` until a period has passed of which it was there for an
    unknown part.
    """

    log_weight: float = 0.0
    gain: float
    sign: int = 0
    health: float = 1.0
    age: float = 0.0
    is_new: bool = False
    short: Window = Window()
    middle: Window = Window()
    long: Window = Window()


class State(Struct, frozen=True, kw_only=True):
    """All that a controller remembers.

    `now` is the time of the last step, None before the first; `pushed` the weights that
    clients have, None before the first push; `bases` the weights that policies gave;
    `absent` what is known of endpoints that went, the last one last: one that fails a
    probe under load comes back.
    """

    now: float | None = None
    bases: Mapping[str, int] = {}
    endpoints: Mapping[str, EndpointState] = {}
    pushed: Mapping[str, int] | None = None
    absent: Mapping[str, EndpointState] = {}


def absorb(
    state: EndpointState,
    seen: EndpointSums,
    *,
    seconds: float,
    elapsed: float,
    parameters: Parameters,
) -> EndpointState:
    """Return *state* with what was *seen* in *seconds*, *elapsed* after the last.

    The first period of a new endpoint is not counted: it was there for a part of it.
    """
    if state.is_new:
        return replace(state, is_new=False)
    return replace(
        state,
        short=state.short.add(seen, seconds, _keep(elapsed, parameters.load_memory)),
        middle=state.middle.add(
            seen, seconds, _keep(elapsed, parameters.health_memory)
        ),
        long=state.long.add(seen, seconds, _keep(elapsed, parameters.long_memory)),
    )


def leave(state: EndpointState) -> EndpointState:
    """Return what is kept of an endpoint that went, for the case that it comes back."""
    return EndpointState(
        log_weight=state.log_weight,
        gain=state.gain,
        health=state.health,
        age=state.age,
        is_new=True,
    )


def rounded(state: State) -> State:
    """Return *state* with as many digits as matter, which take less room in a text.

    None of its numbers becomes one that no controller has.
    """
    endpoints = {n: _rounded(each) for n, each in state.endpoints.items()}
    absent = {n: _rounded(each) for n, each in state.absent.items()}
    return replace(state, endpoints=endpoints, absent=absent)


def check_state(state: State, parameters: Parameters) -> None:
    """Raise `ValueError` where *state* holds numbers that no controller has.

    It may come from a file.
    """
    names = set(state.endpoints)
    for name, endpoint in chain(state.endpoints.items(), state.absent.items()):
        if not _is_sound(endpoint, parameters):
            message = f"{name}: its numbers are beyond what a controller reaches"
            raise ValueError(message)
    if set(state.bases) != names or not names >= set(state.pushed or {}):
        message = "weights, base weights and endpoints are not of the same endpoints"
        raise ValueError(message)
    if not all(1 <= weight <= _MOST_WEIGHT for weight in (state.pushed or {}).values()):
        message = f"a weight below 1 or above {_MOST_WEIGHT}"
        raise ValueError(message)
    if state.now is not None and not math.isfinite(state.now):
        message = "a time that is none"
        raise ValueError(message)


def _is_sound(state: EndpointState, parameters: Parameters) -> bool:
    low, high = math.log(parameters.least_factor), math.log(parameters.most_factor)
    sums = (
        getattr(window, name)
        for window in (state.short, state.middle, state.long)
        for name in Window.__struct_fields__
    )
    return (
        low <= state.log_weight <= high
        and 0 < state.gain <= parameters.first_gain
        and -1 <= state.sign <= 1
        and 0 <= state.health <= 1
        and 0 <= state.age < math.inf
        and all(0 <= number <= _MOST_SUM for number in sums)
    )


def _rounded(state: EndpointState) -> EndpointState:
    return replace(
        state,
        log_weight=math.trunc(round(state.log_weight * 1e4, 6)) / 1e4,
        gain=_significant(state.gain),
        health=_significant(state.health),
        age=_significant(state.age),
        short=_rounded_window(state.short),
        middle=_rounded_window(state.middle),
        long=_rounded_window(state.long),
    )


def _rounded_window(window: Window) -> Window:
    return Window(
        seconds=_significant(window.seconds),
        load=_significant(window.load),
        answers=_significant(window.answers),
        succeeded=_significant(window.succeeded),
        failed=_significant(window.failed),
    )


def _significant(number: float) -> float:
    return float(f"{number:.3g}")


def _keep(elapsed: float, memory: float) -> float:
    return math.exp(-elapsed / memory)


def _bounded(number: float, most: float) -> float:
    """Return *number*, at least 0 and at most *most*; 0 for what is no number."""
    return float(min(number, most)) if number > 0 else 0.0
