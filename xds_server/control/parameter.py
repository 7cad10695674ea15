"""The numbers of the controller, each with its reason.

Times are in seconds. They were found by simulation (`tests/simulation`); what they do
is told with formulas in docs/performance-based.md.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_USUAL_PERIOD: Final = 10.0
_SELDOM: Final = 180.0
"""So long weights are held that go by samples: metrics-server, where it measures once a
minute, has a sample of all new weights in two minutes at worst."""


class Signal(StrEnum):
    """What the sums of load in an observation add up to."""

    TIME = "time"
    """Seconds of upstream time: over seconds, that is requests in progress."""
    LEVEL = "level"
    """Each answer tells a level, such as a utilization: their mean counts."""
    SAMPLE = "sample"
    """A level that somebody measures now and then: it counts for each answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a controller goes by."""

    signal: Signal = Signal.TIME

    load_memory: float = 5.0
    """Time constant of the sums of load: at most half a period, so that a step sees
    what the weights of the step before did, and not much of what was before them."""
    health_memory: float = 20.0
    """Time constant of the sums of errors: a burst of a second is no failing server."""
    long_memory: float = 60.0
    """Time constant of what stands in for the load where there is little traffic."""

    least_answers: float = 20.0
    """Fewer in the long memory are no evidence: a mean of 20 is a third off."""
    enough_answers: float = 40.0
    """Fewer in the short memory, and the load is worked out of the long one."""
    least_endpoints: int = 2
    """With evidence: a single one has nothing to be compared with."""
    noise: float = 1.5
    """The relative standard error of a load of n answers is this over the root of n: 1
    for times that are exponential, and more where they come in clusters."""

    first_gain: float = 0.3
    """Also the most. The gain of the whole loop is about g / (1 - utilization) near
    saturation, and has to stay below 1 with a step of delay."""
    least_gain: float = 0.02
    """So that an endpoint which swung can still follow, in minutes."""
    gain_up: float = 1.2
    """When the error keeps its sign: what is far away is come to with full steps."""
    gain_down: float = 0.5
    """When it changes it: what swings is damped in a few steps."""
    most_gain: float = 0.7
    """A factor of 2: no step lets an endpoint gain more than e^0.21."""
    most_loss: float = 3.0
    """A factor of 20, so a step leaves at least e^-0.9: a queue grows within seconds,
    and with least request underneath it costs more than what is given up too soon. With
    round robin it would be the next queue that grows: there it is as the gain."""

    least_factor: float = 0.05
    most_factor: float = 10.0
    """Of the median weight: beyond 20 times slower a server is best taken out, and a
    server 10 times faster than most is rarely one."""

    prior_answers: float = 10.0
    """As many answers of the usual success are added to each ratio of errors."""
    tolerance: float = 0.02
    """Errors more than the fleet has that cost nothing."""
    severity: int = 4
    """Power of the success that is left: 30 % of errors leave 27 % of the weight."""
    failing_below: float = 0.9
    """An endpoint whose error factor is lower may only lose, and is in no median: who
    fails fast has little in progress and would look fast."""
    failing_fleet: float = 0.5
    """Where the usual success is no more than this, no endpoint is to blame."""
    most_removed: float = 0.5
    """Of all weight, for errors: the others have to carry it."""

    floor_factor: float = 0.02
    """Of the median weight: nobody gets less, or its recovery would not be seen."""
    floor_share: float = 0.5
    """Of the neutral share: the most that probing asks for."""
    floor_answers: float = 40.0
    """Probing: each endpoint is to have so many answers in the long memory, twice what
    is evidence."""

    near: float = 0.1
    """Where no weight is further from neutral than this (as a logarithm), neutral ones
    are pushed: among equal servers what is left is noise, and with equal weights Envoy
    has the better of two choices, which beats its weighted schedule."""
    far: float = 0.15
    """Neutral weights stay until one should be further from them than this, so that a
    small difference does not come and go."""
    deadband: float = 0.05
    """A push is worth it where a weight changed by this factor (as a logarithm)."""
    hold: float = 60.0
    """So long an endpoint without evidence keeps its weight."""
    forgetting: float = 300.0
    """Time constant of going back to neutral after that."""
    longest_pause: float = 60.0
    """More between two steps is a clock that jumped or a machine that slept, and counts
    as this."""

    @classmethod
    def for_period(
        cls,
        period: float,
        *,
        signal: Signal = Signal.TIME,
        in_turns: bool = False,
    ) -> "Parameters":
        """Return parameters for a step every *period* seconds.

        The defaults are for 10. Shorter periods have memories of traffic that are so
        much shorter; with longer ones, weights are held for three of them at least.
        *in_turns* where round robin goes by the weights, and not least request.
        """
        usual = cls()
        hold = _SELDOM if signal is Signal.SAMPLE else usual.hold
        scale = min(period / _USUAL_PERIOD, 1.0)
        return cls(
            signal=signal,
            load_memory=usual.load_memory * scale,
            health_memory=usual.health_memory * scale,
            long_memory=usual.long_memory * scale,
            most_loss=usual.most_gain if in_turns else usual.most_loss,
            hold=max(hold, 3 * period),
            longest_pause=max(usual.longest_pause, 3 * period),
        )
