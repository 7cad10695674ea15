"""Every scenario with every method: the table of docs/performance-based.md.

Runs are independent and repeated exactly by their seeds, so processes share them.
"""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.simulation.figure import SHORT, Plan
from benchmarks.simulation.method import METHODS
from benchmarks.simulation.scenario import BY_NAME, SCENARIOS

COMPARED: Final = tuple(
    scenario.name
    for scenario in SCENARIOS
    if "round robin" not in scenario.name and "restarted" not in scenario.name
)
"""Those that are the same question to all methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How *method* did in *scenario*, from the event on: milliseconds, and a part."""

    scenario: str
    method: str
    p99: float
    errors: float


def compare(
    scenarios: Sequence[str] = COMPARED,
    *,
    seeds: Sequence[int] = (1,),
    plan: Plan = SHORT,
) -> list[Outcome]:
    """Return the median of *seeds* for each of *scenarios* and each method."""
    cases = [(name, method) for name in scenarios for method in METHODS]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        pending = {
            case: [pool.submit(_play, *case, plan, seed) for seed in seeds]
            for case in cases
        }
        return [
            _middle([future.result() for future in futures])
            for futures in pending.values()
        ]


def _play(name: str, method: str, plan: Plan, seed: int) -> Outcome:
    scenario = BY_NAME[name]
    record = scenario.play(METHODS[method](), plan, seed)
    window = plan.event, max(plan.late[1], plan.event + scenario.length)
    return Outcome(
        scenario=name,
        method=method,
        p99=record.percentile(0.99, *window),
        errors=record.errors(*window),
    )


def _middle(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        scenario=outcomes[0].scenario,
        method=outcomes[0].method,
        p99=median(each.p99 for each in outcomes),
        errors=median(each.errors for each in outcomes),
    )


def write_table(outcomes: Iterable[Outcome]) -> str:
    """Return *outcomes* as a table in Markdown: a row for each scenario."""
    rows: dict[str, list[str]] = {}
    for outcome in outcomes:
        rows.setdefault(outcome.scenario, []).append(_cell(outcome))
    head = " | ".join(["scenario", *METHODS])
    rule = " | ".join(["---"] * (len(METHODS) + 1))
    lines = [f"| {head} |", f"| {rule} |"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    return "\n".join(lines)


def _cell(outcome: Outcome) -> str:
    p99 = f"{outcome.p99:,.0f}"
    if outcome.errors == 0:
        return p99
    return f"{p99}, **{100 * outcome.errors:.2g} % errors**"
