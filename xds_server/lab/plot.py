"""A picture of a run: what each endpoint was promised, and what it got.

A report in; a PNG or SVG file out. matplotlib comes with the extra `[plot]`.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from xds_server.lab.error import LabError, UsageError
from xds_server.lab.trial import Outcome, Trial, TrialReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = (".png", ".svg")
_COLUMNS: Final = 4
_LEAST_WIDTH, _HEADER = 7.0, 0.8
"""Inches."""
_MOST_LABELS: Final = 6
_SLOTS: Final = 4
"""Room for that many bars, so that they are equally wide in all panels."""
_INK, _QUIET, _GRID = "#1f2430", "#7a8194", "#e6e8ee"
_COLORS: Final = {
    Outcome.HOLDS: "#3b6fd4",
    Outcome.DOES_NOT_HOLD: "#d1495b",
    Outcome.NOT_MEASURED: "#b8bcc8",
}


def require_plot(file: Path) -> None:
    """Raise `LabError` where no picture could be written to *file*.

    It is a `UsageError` where *file* itself is to blame. To be called before a run: a
    minute of measuring should not end here.
    """
    if file.suffix.lower() not in FORMATS:
        message = f"{file}: a picture ends in .png or .svg"
        raise UsageError(message)
    if not file.resolve().parent.is_dir():
        message = f"{file}: there is no directory {file.parent}"
        raise UsageError(message)
    try:
        import matplotlib  # noqa: F401, ICN001, PLC0415 - an extra
    except ImportError:
        message = "a picture needs matplotlib"
        raise LabError(message, hint="pip install 'xds-server[lab,plot]'") from None


def draw_report(report: TrialReport, file: Path) -> None:
    """Draw one panel for each measured Service and write *file*.

    Raises `LabError` where matplotlib or the directory is missing.
    """
    require_plot(file)
    from matplotlib import rc_context  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    from matplotlib.layout_engine import (  # noqa: PLC0415 - an extra
        ConstrainedLayoutEngine,
    )

    trials = [trial for trial in report.trials if trial.endpoints]
    if not trials:
        message = "nothing was measured that could be drawn"
        raise LabError(message)
    columns = min(_COLUMNS, math.ceil(math.sqrt(len(trials))))
    rows = math.ceil(len(trials) / columns)
    width, height = max(3.5 * columns, _LEAST_WIDTH), 2.5 * rows + _HEADER
    layout = ConstrainedLayoutEngine(
        wspace=0.08, hspace=0.08, rect=(0.01, 0.01, 0.98, 0.98 - _HEADER / height)
    )
    with rc_context({"font.family": "sans-serif", "svg.fonttype": "none"}):
        figure = Figure(figsize=(width, height), layout=layout)
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel in panels.flat[len(trials) :]:
            panel.set_axis_off()
        top = max(max(e.measured, e.expected) for t in trials for e in t.endpoints)
        for panel, trial in zip(panels.flat, trials, strict=False):
            _draw(panel, trial, top)
        _describe(figure, report)
        figure.savefig(file, dpi=160, facecolor="white")


def _draw(panel: "Axes", trial: Trial, top: float) -> None:
    """Draw measured shares as bars, expected ones as marks across them.

    *top* is the largest share of all panels, so that they have one scale.
    """
    shares = [endpoint.measured for endpoint in trial.endpoints]
    expected = [endpoint.expected for endpoint in trial.endpoints]
    positions = range(len(shares))
    color = _COLORS[trial.outcome]
    panel.bar(positions, shares, width=0.6, color=color, zorder=2)
    panel.hlines(
        expected,
        [position - 0.4 for position in positions],
        [position + 0.4 for position in positions],
        color=_INK,
        linewidth=2,
        zorder=3,
    )
    panel.set_xlim(-0.6, max(_SLOTS, len(shares)) - 0.4)
    panel.set_ylim(0, top * 1.3)
    panel.set_xticks([])
    if len(shares) <= _MOST_LABELS:
        labels = [endpoint.address.rpartition(":")[0] for endpoint in trial.endpoints]
        panel.set_xticks(list(positions), labels, fontsize=7, color=_QUIET)
        for position, share, theory in zip(positions, shares, expected, strict=True):
            height = max(share, theory) + top * 0.03
            text = f"{share:.1%}\n({theory:.1%})"
            panel.text(position, height, text, ha="center", fontsize=7.5, color=_INK)
    panel.set_yticks([])
    panel.spines[["top", "left", "right"]].set_visible(False)
    panel.spines["bottom"].set_color(_GRID)
    panel.tick_params(length=0)
    panel.set_title(
        f"{trial.algorithm}\n\n", loc="left", fontsize=10, fontweight="bold", color=_INK
    )
    measured = f"{trial.service}   {trial.requests} requests   {trial.outcome}"
    subtitle = f"{trial.promise}\n{measured}"
    panel.text(0, 1.03, subtitle, transform=panel.transAxes, fontsize=7.5, color=_QUIET)


def _describe(figure: "Figure", report: TrialReport) -> None:
    """Write above the panels what is to be seen."""
    held = sum(trial.outcome is Outcome.HOLDS for trial in report.trials)
    width, height = figure.get_size_inches()
    left = 0.12 / width
    title = f"Measured on a real Envoy: {held} of {len(report.trials)} policies hold"
    figure.text(left, 1 - 0.4 / height, title, fontsize=14, weight="bold", color=_INK)
    legend = (
        "Bars: the share of requests that each endpoint got. "
        "Black, and in brackets: the theory."
    )
    figure.text(left, 1 - 0.66 / height, legend, fontsize=9, color=_QUIET)
