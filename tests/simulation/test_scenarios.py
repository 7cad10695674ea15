"""The controller masters every situation of the table, in simulated time.

Each run is repeated exactly by its seed: what holds once holds always, until the
controller or the simulation changes. `make bench` has longer runs with other seeds.
"""

import pytest

from benchmarks.simulation.figure import SHORT
from benchmarks.simulation.scenario import SCENARIOS, Scenario

SEED = 1


@pytest.mark.thorough
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_has_to_hold_holds(scenario: Scenario) -> None:
    measured = scenario.measure(SHORT, SEED)

    assert [
        f"{figure.what}: {value:.4g} is not within {figure.least} to {figure.most}"
        for figure, value in measured.items()
        if not figure.holds(value)
    ] == []
