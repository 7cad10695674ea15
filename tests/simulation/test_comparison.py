"""What is written of a comparison: a table, and a picture."""

import math
from pathlib import Path

from benchmarks.simulation.comparison import Outcome, compare, write_table
from benchmarks.simulation.figure import Plan
from benchmarks.simulation.method import METHODS
from benchmarks.simulation.picture import Line, draw


def test_a_table_has_a_row_for_each_scenario_and_a_cell_for_each_method() -> None:
    outcomes = [
        Outcome(scenario="calm", method=method, p99=1234.5, errors=0.0)
        for method in METHODS
    ] + [
        Outcome(scenario="storm", method=method, p99=99.5, errors=0.1234)
        for method in METHODS
    ]
    head, _, calm, storm = write_table(outcomes).splitlines()

    assert head == "| scenario | " + " | ".join(METHODS) + " |"
    assert calm == "| calm |" + " 1,234 |" * len(METHODS)
    assert storm == "| storm |" + " 100, **12 % errors** |" * len(METHODS)


def test_methods_are_compared_in_a_scenario() -> None:
    """Where one of two servers fails at once, it attracts who looks at load alone."""
    plan = Plan(event=40, late=(80, 90))
    outcomes = compare(["two endpoints, one fails all"], plan=plan)
    errors = {outcome.method: outcome.errors for outcome in outcomes}

    assert errors.keys() == METHODS.keys()
    assert errors["ideal weights"] < errors["loop"] < errors["round robin"]
    assert errors["round robin"] < errors["least request"] < errors["CSWRR"]


def test_a_picture_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    lines = [
        Line(method=method, times=[2.5, 7.5], p99=[100.0, math.inf], errors=0.01)
        for method in METHODS
    ]
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    draw(lines, first)
    draw(lines, second)

    assert first.read_bytes() == second.read_bytes()
    assert all(method in first.read_text(encoding="utf-8") for method in METHODS)
