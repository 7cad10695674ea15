"""`xds-server check` on one policy, from a cold interpreter.

Baseline: the same interpreter importing the libraries that any such check needs.
"""

import asyncio
import statistics
import sys
from pathlib import Path
from time import perf_counter

from benchmarks.result import Result

RUNS = 10
POLICY = Path(__file__).parent.parent / "policies" / "round-robin.yaml"
CHECK = [sys.executable, "-m", "xds_server", "check", str(POLICY)]
BASELINE = [sys.executable, "-c", "import pydantic, pydantic_settings, typer, yaml"]


async def measure() -> list[Result]:
    """Time both commands in turn; the first run of each warms the file cache."""
    checks: list[float] = []
    baselines: list[float] = []
    for _ in range(RUNS + 1):
        checks.append(await _time(CHECK))
        baselines.append(await _time(BASELINE))
    check, baseline = statistics.median(checks[1:]), statistics.median(baselines[1:])
    return [
        Result(
            what="check one policy, cold interpreter",
            measured=f"{check * 1000:.0f} ms",
            aim="< 1 s",
            baseline=f"importing pydantic, typer, yaml: {baseline * 1000:.0f} ms",
            ratio=check / baseline,
        )
    ]


async def _time(command: list[str]) -> float:
    start = perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    if await process.wait():
        message = f"{command} failed"
        raise RuntimeError(message)
    return perf_counter() - start
