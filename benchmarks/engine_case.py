"""The engine against go-control-plane: what is asked of both servers.

The peer's figures are of the same run, with the faster of its caches unless the options
say otherwise; where nodes see different things, its snapshot cache serves. Clients are
those of `engine/loadclient`: each has a connection of its own, speaks delta and
acknowledges everything at once.
"""

from collections.abc import Sequence
from typing import Final

from benchmarks.engine_compare import (
    MEMORY,
    PEAK,
    REFUSED,
    START_CPU,
    START_WAIT,
    Comparison,
    Figure,
    Options,
    compare,
    milliseconds,
    number,
)
from benchmarks.engine_run import Load, Server
from benchmarks.result import Result

SIZES: Final = {10: "<= 1.2x", 1_000: "<= 0.7x", 5_000: "<= 0.15x"}
"""How many clusters, and how long the clients may wait compared with the peer."""
RATE: Final = 1_000
"""Endpoints that change in a second."""


async def measure_clusters(
    options: Options, sizes: Sequence[int] = tuple(SIZES)
) -> list[Result]:
    """500 streams, one cluster changes; CPU must not grow with the clusters."""
    rows: list[Result] = []
    runs: dict[int, Comparison] = {}
    for size in sizes:
        load = Load(streams=500, clusters=size, changes=options.changes)
        what = f"500 streams x {size:,} clusters, one changes"
        runs[size] = await compare(what, load, options)
        rows += _change_rows(runs[size], SIZES[size])
    least, most = min(SIZES), max(SIZES)
    if {least, most} <= runs.keys():
        rows.append(_growth(runs[least], runs[most]))
    return rows


def _growth(least: Comparison, most: Comparison) -> Result:
    """Return how much more CPU a stream takes where there are more clusters."""
    ours = most.change_cpu.mean(most.ours) / least.change_cpu.mean(least.ours)
    theirs = most.change_cpu.mean(most.theirs) / least.change_cpu.mean(least.theirs)
    clusters = f"{most.load.clusters:,} clusters over that at {least.load.clusters:,}"
    return Result(
        what=f"CPU a stream and change at {clusters}",
        measured=f"{ours:.2f}x",
        aim="< 1.3x",
        baseline=f"{most.peer}: {theirs:.2f}x",
    )


async def measure_endpoints(options: Options) -> list[Result]:
    """200 streams that name 1,000 assignments each, one of which changes."""
    load = Load(
        streams=200,
        clusters=1_000,
        endpoints=10,
        asks_for="assignment",
        changes=options.changes,
    )
    what = "200 streams x 1,000 EDS names, one changes"
    return _change_rows(await compare(what, load, options), "<= 0.3x")


async def measure_cold_start(options: Options) -> list[Result]:
    """300 streams connect at once and take 1,000 clusters each."""
    load = Load(streams=300, clusters=1_000)
    runs = await compare("cold start: 300 streams x 1,000 clusters", load, options)
    return [runs.row(START_CPU, "<= 0.6x"), runs.row(START_WAIT), runs.row(PEAK)]


async def measure_churn(options: Options) -> list[Result]:
    """1,000 endpoints change in a second, whatever the clients have acknowledged.

    A lag runs from when a change is due to the last stream's acknowledgement of it.
    """
    load = Load(
        streams=100,
        clusters=1_000,
        endpoints=10,
        asks_for="assignment",
        rate=RATE,
        changes=RATE * options.churn_seconds,
    )
    what = f"churn: {RATE:,} changes/s for {options.churn_seconds} s, 100 streams"
    runs = await compare(what, load, options)
    sent = load.changes * load.streams
    return [
        runs.row(_lag("p99", "lag_p99"), "< 500 ms"),
        runs.row(_lag("p50", "lag_p50")),
        runs.row(_lag("p50 of the first fifth", "lag_first")),
        runs.row(_lag("p50 of the last fifth", "lag_last"), "no growth"),
        runs.row(
            Figure(
                "changes that a response carries",
                lambda run: sent / run.events[-1]["responses"],
                number,
            )
        ),
        runs.row(
            Figure(
                "cores in use",
                lambda run: run.change_cpu / options.churn_seconds,
                number,
            )
        ),
        runs.row(PEAK),
    ]


def _lag(name: str, key: str) -> Figure:
    return Figure(f"lag {name}", lambda run: run.events[-1][key], milliseconds)


async def measure_idle(options: Options) -> list[Result]:
    """5,000 streams that have what they want."""
    load = Load(streams=5_000, clusters=100)
    runs = await compare("5,000 idle streams x 100 clusters", load, options)
    return [
        runs.row(runs.stream_memory, "50 kB"),
        runs.row(PEAK),
        runs.row(START_CPU),
        runs.row(START_WAIT),
        runs.row(REFUSED),
    ]


async def measure_views(options: Options) -> list[Result]:
    """200 nodes; 100 of the 1,000 clusters that each sees are its own; one changes."""
    load = Load(streams=200, clusters=1_000, views=200, changes=options.changes)
    what = "200 views x 1,000 clusters, one changes in all"
    return _change_rows(await compare(what, load, options, Server.SNAPSHOT), "")


def _change_rows(runs: Comparison, aim: str) -> list[Result]:
    return [
        runs.wait_row(aim),
        runs.row(runs.change_cpu),
        runs.row(MEMORY),
        runs.row(PEAK),
    ]
