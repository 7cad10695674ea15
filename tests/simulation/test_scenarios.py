"""The controller masters every situation of the table, in simulated time.

Each run is repeated exactly by its seed: what holds once holds always, until the
controller or the simulation changes. `make bench` has longer runs with other seeds.
"""

from dataclasses import replace

import pytest

from benchmarks.simulation.figure import SHORT
from benchmarks.simulation.scenario import BY_NAME, SCENARIOS, Scenario

SEED = 1
ELSEWHERE = 3.0
"""Seconds from what the clients of a replica that follows have reported to the weights
that the leader finds: 2 s until its step, and the rest on the way."""
STEEP = [
    "5x slower, 50 sidecars",
    "load 30 % to 85 %",
    "fails all, heals after 150 s, 50 % load",
    "95 % load from neutral, 50 sidecars",
    "5x slower, 80 % load",
]
"""Situations in which a late answer costs the most."""


@pytest.mark.thorough
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_has_to_hold_holds(scenario: Scenario) -> None:
    assert misses(scenario) == []


@pytest.mark.thorough
@pytest.mark.parametrize("name", STEEP)
def test_it_holds_where_all_clients_are_at_a_replica_that_follows(name: str) -> None:
    assert misses(replace(BY_NAME[name], delay=ELSEWHERE)) == []


def misses(scenario: Scenario) -> list[str]:
    """Return what does not hold."""
    measured = scenario.measure(SHORT, SEED)
    return [
        f"{figure.what}: {value:.4g} is not within {figure.least} to {figure.most}"
        for figure, value in measured.items()
        if not figure.holds(value)
    ]
