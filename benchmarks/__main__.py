"""Measures what the README quotes: `python -m benchmarks [NAME...]`.

Each benchmark compares with a baseline in the same run, because machines are noisy; the
ratio is what to quote. Nothing here is a test.
"""

import asyncio
import os
import platform
import sys
from collections.abc import Awaitable, Callable

from rich.console import Console
from rich.table import Table

from benchmarks import change, cold_check, cold_start
from benchmarks.result import Result

BENCHMARKS: dict[str, Callable[[], Awaitable[list[Result]]]] = {
    "check": cold_check.measure,
    "change": change.measure,
    "start": cold_start.measure,
}


async def main(names: list[str]) -> None:
    """Run the benchmarks called *names* and print one table."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python"
    table = Table("what", "measured", "aim", "baseline", "ratio")
    table.title = f"{machine} {platform.python_version()}"
    for name in names:
        for result in await BENCHMARKS[name]():
            table.add_row(
                result.what,
                result.measured,
                result.aim,
                result.baseline,
                f"{result.ratio:.2f}" if result.ratio is not None else "",
            )
    Console(width=140).print(table)


asyncio.run(main(sys.argv[1:] or list(BENCHMARKS)))
