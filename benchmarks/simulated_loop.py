"""The scenarios of the controller in simulated time: longer, and with other seeds.

`make test` has each once, in a shorter time.
"""

import asyncio
import os
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Final

from benchmarks.result import Result
from benchmarks.simulation.figure import FULL, Figure
from benchmarks.simulation.scenario import BY_NAME

SEEDS: Final = (2, 3)


async def measure() -> list[Result]:
    """Return what was measured in each scenario."""
    return await asyncio.to_thread(_measure)


def _measure() -> list[Result]:
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        pending = {
            name: [pool.submit(_play, name, seed) for seed in SEEDS] for name in BY_NAME
        }
        return [
            row for name, futures in pending.items() for row in _rows(name, futures)
        ]


def _play(name: str, seed: int) -> list[float]:
    return list(BY_NAME[name].measure(FULL, seed).values())


def _rows(name: str, futures: list["Future[list[float]]"]) -> list[Result]:
    runs = [future.result() for future in futures]
    return [
        Result(
            what=f"{name}: {figure.what}",
            measured=", ".join(f"{value:.3g}" for value in values)
            + ("" if all(map(figure.holds, values)) else "  MISSED"),
            aim=_aim(figure),
        )
        for figure, values in zip(
            BY_NAME[name].figures, zip(*runs, strict=True), strict=True
        )
    ]


def _aim(figure: Figure) -> str:
    return f"{figure.least:g} to {figure.most:g}"
