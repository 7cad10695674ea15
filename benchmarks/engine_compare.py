"""The same load on both servers in turn, and how the figures of both make a row.

In: a load. Out: what each run showed, and rows with ours, the peer's and the ratio.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.engine_build import build_programs
from benchmarks.engine_run import Load, Observed, Server, run
from benchmarks.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is measured.

    Each round is one run of our server and one of the peer, so that what else the
    machine does meets both.
    """

    peer: Server = Server.LINEAR
    rounds: int = 2
    changes: int = 20
    churn_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that one run gives; that of several is their mean."""

    name: str
    of: Callable[[Observed], float]
    show: Callable[[float], str]

    def mean(self, runs: Sequence[Observed]) -> float:
        """Return the mean of *runs*."""
        return statistics.fmean(self.of(each) for each in runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All runs of one load on both servers; *what* says in words what the load is."""

    what: str
    load: Load
    peer: Server
    ours: Sequence[Observed]
    theirs: Sequence[Observed]

    def row(self, figure: Figure, aim: str = "") -> Result:
        """Return the row that compares one figure."""
        ours, theirs = figure.mean(self.ours), figure.mean(self.theirs)
        return Result(
            what=f"{self.what}: {figure.name}",
            measured=figure.show(ours),
            aim=aim,
            baseline=f"{self.peer}: {figure.show(theirs)}",
            ratio=ours / theirs if theirs > 0 else None,
        )

    def wait_row(self, aim: str) -> Result:
        """Return the row of how long one change took, over the changes of all runs."""
        ours, theirs = _waits(self.ours), _waits(self.theirs)
        return Result(
            what=f"{self.what}: until all have acknowledged, p50 (p99)",
            measured=_show_waits(ours),
            aim=aim,
            baseline=f"{self.peer}: {_show_waits(theirs)}",
            ratio=statistics.median(ours) / statistics.median(theirs),
        )

    @property
    def change_cpu(self) -> Figure:
        """The server's CPU time for one change and one stream."""
        each = self.load.streams * self.load.changes
        return Figure(
            "CPU a stream and change", lambda run: run.change_cpu / each, microseconds
        )

    @property
    def stream_memory(self) -> Figure:
        """What a stream adds to the server's resident memory."""
        streams = self.load.streams
        return Figure(
            "RSS a stream",
            lambda run: (run.usages[0].rss - run.populated.rss) / streams,
            kilobytes,
        )


async def compare(
    what: str, load: Load, options: Options, peer: Server | None = None
) -> Comparison:
    """Run *load* on both servers in turn."""
    programs = await build_programs()
    peer = peer or options.peer
    ours: list[Observed] = []
    theirs: list[Observed] = []
    for _ in range(options.rounds):
        ours.append(await run(Server.OURS, load, programs))
        theirs.append(await run(peer, load, programs))
    return Comparison(what=what, load=load, peer=peer, ours=ours, theirs=theirs)


def seconds(value: float) -> str:
    """Show seconds."""
    return f"{value:.2f} s"


def milliseconds(value: float) -> str:
    """Show seconds as milliseconds."""
    return f"{value * 1000:,.0f} ms"


def microseconds(value: float) -> str:
    """Show seconds as microseconds."""
    return f"{value * 1e6:,.0f} us"


def megabytes(value: float) -> str:
    """Show bytes as megabytes."""
    return f"{value / 1e6:,.0f} MB"


def kilobytes(value: float) -> str:
    """Show bytes as kilobytes."""
    return f"{value / 1e3:,.0f} kB"


def number(value: float) -> str:
    """Show a figure without a unit."""
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004


START_CPU = Figure("server CPU to start", lambda run: run.start_cpu, seconds)
START_WAIT = Figure(
    "until all have acknowledged the start",
    lambda run: run.events[0]["seconds"],
    seconds,
)
REFUSED = Figure(
    "streams refused at first", lambda run: run.events[0]["refused"], number
)
MEMORY = Figure("RSS", lambda run: run.usages[-1].rss, megabytes)
PEAK = Figure("peak RSS", lambda run: run.usages[-1].peak, megabytes)


def _waits(runs: Sequence[Observed]) -> list[float]:
    return sorted(wait for each in runs for wait in each.waits)


def _show_waits(waits: list[float]) -> str:
    p99 = waits[math.ceil(0.99 * len(waits)) - 1]
    return f"{milliseconds(statistics.median(waits))} ({milliseconds(p99)})"
