"""What is read off a run, and within which limits it has to be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.simulation.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """When things happen, in seconds: the event, and the `late` time that is judged."""

    event: float
    late: tuple[float, float]


_NEAR: Final = 0.15

FULL: Final = Plan(event=200, late=(400, 500))
"""As the thresholds were found."""
SHORT: Final = Plan(event=100, late=(240, 300))
"""Less time to settle, so nothing is easier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is over; `again` repeats it with the method of that name."""

    plan: Plan
    record: Record
    again: Callable[[str], Record]


Window = Callable[[Plan], tuple[float, float]]


def late(plan: Plan) -> tuple[float, float]:
    """Return the time that is judged, when all should have settled."""
    return plan.late


def after(begin: float, end: float | None = None) -> Window:
    """Return the time from *begin* to *end* after the event, or to the end of all."""

    def window(plan: Plan) -> tuple[float, float]:
        stop = plan.late[1] if end is None else plan.event + end
        return plan.event + begin, stop

    return window


def always(plan: Plan) -> tuple[float, float]:
    """Return all the time there is."""
    return 0.0, plan.late[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Something read off a run; it is to be within *least* and *most*.

    `specified` is what was measured when the thresholds were set, for comparison.
    """

    what: str
    read: Callable[[Run], float]
    most: float
    least: float = 0.0
    specified: str = ""

    def holds(self, value: float) -> bool:
        """Tell whether *value* is within the limits."""
        return self.least <= value <= self.most


def p99(window: Window, most: float, specified: str = "", when: str = "") -> Figure:
    """Return the 99th percentile of what succeeded, in milliseconds."""
    return Figure(
        what=f"p99 {when}".strip(),
        read=lambda run: run.record.percentile(0.99, *window(run.plan)),
        most=most,
        specified=specified,
    )


def errors(window: Window = always) -> Figure:
    """Return the part of requests that failed: there are to be none."""
    return Figure(
        what="errors",
        read=lambda run: run.record.errors(*window(run.plan)),
        most=0.0,
        specified="0",
    )


def imbalance(window: Window, most: float, specified: str) -> Figure:
    """Return the utilization of the busiest server over the mean."""
    return Figure(
        what="max/avg",
        read=lambda run: run.record.imbalance(*window(run.plan)),
        most=most,
        least=1.0,
        specified=specified,
    )


def share(
    endpoint: int,
    window: Window,
    *,
    most: float,
    least: float = 0.0,
    specified: str = "",
    when: str = "",
) -> Figure:
    """Return the part of requests that *endpoint* gets."""
    return Figure(
        what=f"share {when}".strip(),
        read=lambda run: run.record.share(endpoint, *window(run.plan)),
        most=most,
        least=least,
        specified=specified,
    )


def settled(endpoint: int, ideal: float, most: float, specified: str) -> Figure:
    """Return after how many seconds the share of *endpoint* stays near *ideal*.

    Within 15 %, in 20 s from then on and in each 20 s after.
    """

    def read(run: Run) -> float:
        begin, end = after(0)(run.plan)
        time = end
        while time - 20 >= begin:
            part = run.record.share(endpoint, time - 20, time)
            if abs(part / ideal - 1) > _NEAR:
                break
            time -= 10
        return max(time - 20 - begin, 0.0)

    return Figure(what="settled s", read=read, most=most, specified=specified)
