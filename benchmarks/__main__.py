"""Measures what the README quotes: `python -m benchmarks [NAME...]`.

Each benchmark compares with a baseline in the same run, because machines are noisy; the
ratio is what to quote. Nothing here is a test.
"""

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import (
    change,
    closed_loop,
    cold_check,
    cold_start,
    control_case,
    engine_case,
    kubernetes_case,
    load_report,
    simulated_loop,
)
from benchmarks.engine_compare import Options
from benchmarks.engine_run import Server
from benchmarks.result import Result
from xds_server.lab.error import LabError

Benchmark = Callable[[], Awaitable[list[Result]]]

_GROUPS: Final = ("engine", "kubernetes")
_PEERS: Final = {"linear": Server.LINEAR, "snapshot": Server.SNAPSHOT}


def _benchmarks(options: Options) -> dict[str, Benchmark]:
    """Return everything there is to measure, by name."""
    return {
        "check": cold_check.measure,
        "change": change.measure,
        "start": cold_start.measure,
        "closed-loop": closed_loop.measure,
        "load-report": load_report.measure,
        "simulated-loop": simulated_loop.measure,
        "control": control_case.measure,
        "kubernetes-change": kubernetes_case.measure_change,
        "kubernetes-start": kubernetes_case.measure_start,
        "kubernetes-rollout": kubernetes_case.measure_rollout,
        "engine-clusters": partial(engine_case.measure_clusters, options),
        "engine-endpoints": partial(engine_case.measure_endpoints, options),
        "engine-cold": partial(engine_case.measure_cold_start, options),
        "engine-churn": partial(engine_case.measure_churn, options),
        "engine-idle": partial(engine_case.measure_idle, options),
        "engine-views": partial(engine_case.measure_views, options),
    }


def _parts(options: Options) -> dict[str, Benchmark]:
    """Return what is measured anyway, but can be asked for by itself."""
    return {
        f"engine-clusters-{size}": partial(
            engine_case.measure_clusters, options, sizes=(size,)
        )
        for size in engine_case.SIZES
    }


def _select(names: list[str], options: Options) -> dict[str, Benchmark]:
    """Return the benchmarks called *names*; `engine` and `kubernetes` are several."""
    benchmarks = _benchmarks(options)
    if not names:
        return benchmarks
    known = benchmarks | _parts(options)
    selected: dict[str, Benchmark] = {}
    for name in names:
        if name in _GROUPS:
            group = f"{name}-"
            selected |= {
                n: each for n, each in benchmarks.items() if n.startswith(group)
            }
        elif name in known:
            selected[name] = known[name]
        else:
            there = ", ".join([*_GROUPS, *known])
            sys.exit(f"no benchmark {name}; there are: {there}")
    return selected


async def main(names: list[str], options: Options) -> int:
    """Run the benchmarks called *names* and print one table; return the exit code.

    One that fails or cannot run here says so, and the others go on.
    """
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python"
    table = Table("what", "measured", "aim", "baseline", "ratio")
    table.title = f"{machine} {platform.python_version()}"
    code = 0
    for name, measure in _select(names, options).items():
        try:
            results = await measure()
        except LabError as error:
            print(f"{name}: {error}", file=sys.stderr)
            code = 1
            continue
        for result in results:
            table.add_row(
                result.what,
                result.measured,
                result.aim,
                result.baseline,
                f"{result.ratio:.2f}" if result.ratio is not None else "",
            )
    Console(width=140).print(table)
    return code


def _parse(arguments: list[str]) -> tuple[list[str], Options]:
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument(
        "--peer-cache",
        choices=_PEERS,
        default="linear",
        help="what the engine's peer serves from (default: the faster of both)",
    )
    for name in ("rounds", "changes", "churn_seconds"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=getattr(default, name))
    parsed = parser.parse_args(arguments)
    return parsed.names, Options(
        peer=_PEERS[parsed.peer_cache],
        rounds=parsed.rounds,
        changes=parsed.changes,
        churn_seconds=parsed.churn_seconds,
    )


sys.exit(asyncio.run(main(*_parse(sys.argv[1:]))))
