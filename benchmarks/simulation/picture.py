"""A picture of one scenario: latency over time, a line for each method.

Simulated runs in; an SVG file out, the same bytes each time. matplotlib comes with the
extra `[plot]`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.simulation.figure import Plan
from benchmarks.simulation.method import METHODS
from benchmarks.simulation.record import Record
from benchmarks.simulation.scenario import BY_NAME

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCENARIO: Final = "5x slower"
PLAN: Final = Plan(event=120, late=(260, 300))
_SLICE: Final = 5
"""Seconds that each point of a line is about."""
_INK, _QUIET, _GRID = "#1f2430", "#7a8194", "#e6e8ee"
_COLORS: Final[Mapping[str, str]] = {
    "round robin": "#d1495b",
    "least request": "#e0a030",
    "CSWRR": "#8a63b8",
    "loop": "#3b6fd4",
    "ideal weights": "#7a8194",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The course of one method: seconds, and milliseconds then; the errors in all."""

    method: str
    times: Sequence[float]
    p99: Sequence[float]
    errors: float


def trace(seed: int = 1) -> list[Line]:
    """Return the line of every method."""
    return [
        _line(method, BY_NAME[SCENARIO].play(METHODS[method](), PLAN, seed))
        for method in METHODS
    ]


def draw(lines: Sequence[Line], file: Path) -> None:
    """Draw *lines* and write *file*."""
    from matplotlib import rc_context  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    with rc_context(
        {
            "font.family": "sans-serif",
            "svg.fonttype": "none",
            "svg.hashsalt": "closed loop",
        }
    ):
        figure = Figure(figsize=(9, 4.4), layout="constrained")
        panel = figure.subplots()
        for line in lines:
            _draw(panel, line)
        _describe(panel)
        figure.savefig(file, facecolor="white", metadata={"Date": None})


def _line(method: str, record: Record) -> Line:
    begins = range(0, int(PLAN.late[1]), _SLICE)
    return Line(
        method=method,
        times=[begin + _SLICE / 2 for begin in begins],
        p99=[record.percentile(0.99, begin, begin + _SLICE) for begin in begins],
        errors=record.errors(0, PLAN.late[1]),
    )


def _draw(panel: "Axes", line: Line) -> None:
    errors = f", {line.errors:.0%} errors" if line.errors else ""
    is_ours = line.method == "loop"
    panel.plot(
        list(line.times),
        list(line.p99),
        color=_COLORS[line.method],
        linewidth=2.4 if is_ours else 1.4,
        linestyle="--" if line.method == "ideal weights" else "-",
        zorder=3 if is_ours else 2,
        label=f"{line.method}{errors}",
    )


def _describe(panel: "Axes") -> None:
    panel.axvline(PLAN.event, color=_INK, linewidth=0.8, linestyle=":")
    panel.annotate(
        "a 4x server becomes 5 times slower",
        (PLAN.event, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -10),
        textcoords="offset points",
        fontsize=8,
        color=_QUIET,
    )
    panel.set_yscale("log")
    panel.set_xlim(0, PLAN.late[1])
    panel.set_xlabel("seconds", fontsize=9, color=_QUIET)
    panel.set_ylabel("99 % of requests within, ms", fontsize=9, color=_QUIET)
    panel.set_yticks([100, 200, 500, 1000, 2000, 5000])
    panel.set_yticklabels(["100", "200", "500", "1,000", "2,000", "5,000"])
    panel.tick_params(length=0, labelsize=8, labelcolor=_QUIET)
    panel.grid(axis="y", color=_GRID)
    panel.spines[["top", "left", "right"]].set_visible(False)
    panel.spines["bottom"].set_color(_GRID)
    panel.set_title(
        "Ten servers of speeds 1, 2 and 4 at 60 % load (simulated)",
        loc="left",
        fontsize=11,
        fontweight="bold",
        color=_INK,
    )
    panel.legend(frameon=False, fontsize=8, labelcolor=_INK, loc="center right")
