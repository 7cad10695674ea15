"""What all tests share: golden files, and skipping what this machine cannot run."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.components import missing

# A busy machine must not fail a property: time is measured in benchmarks/ alone. New
# examples are for those who can look into them: CI has the same ones each time.
settings.register_profile(
    "untimed",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("untimed")

GoldenCheck = Callable[[Path, str], None]
"""Compares a golden file with what was made just now."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden files"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for component in missing():
        skip = pytest.mark.skip(reason=f"no {component.marker}: {component.remedy}")
        for item in items:
            if item.get_closest_marker(component.marker) is not None:
                item.add_marker(skip)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> GoldenCheck:
    """Check a text against a golden file; `--update-golden` writes the file instead.

    A changed golden is a changed behaviour, and is reviewed as one.
    """
    update = bool(request.config.getoption("--update-golden"))

    def check(path: Path, actual: str) -> None:
        if update:
            path.write_text(actual, encoding="utf-8")

        assert path.exists(), f"{path} is missing: run again with --update-golden"
        expected = path.read_text(encoding="utf-8")
        assert expected == actual, f"{path} differs: run again with --update-golden"

    return check
