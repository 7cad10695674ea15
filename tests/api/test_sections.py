"""Every limit of the sections beside `loadBalancer`, and what is left out of them."""

from datetime import timedelta

import pytest

from tests.api.policies import errors
from tests.api.sections import BAD, GOOD
from tests.translate.mesh_input import Spec, sections
from xds_server.mesh.model import Sections


@pytest.mark.parametrize(("section", "written"), GOOD)
def test_values_within_the_limits_are_taken(section: str, written: str) -> None:
    assert errors(written, section) == []


@pytest.mark.parametrize(("section", "written", "message"), BAD)
def test_values_outside_are_refused_in_one_sentence(
    section: str, written: str, message: str
) -> None:
    (error,) = errors(written, section)

    assert error.startswith(message)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, timedelta(minutes=5)),
        ({"baseEjectionTime": "4m"}, timedelta(minutes=5)),
        ({"baseEjectionTime": "1h"}, timedelta(hours=1)),
        ({"baseEjectionTime": "1h", "maxEjectionTime": "2h"}, timedelta(hours=2)),
    ],
)
def test_the_longest_ejection_is_not_shorter_than_the_first(
    spec: Spec, expected: timedelta
) -> None:
    found = sections({"outlierDetection": spec}).outlier_detection

    assert found is not None
    assert found.max_ejection_time == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [({}, 250), ({"base": "1s"}, 10_000), ({"base": "1s", "max": "2s"}, 2000)],
)
def test_the_longest_wait_before_a_retry_goes_by_the_first(
    spec: Spec, expected: int
) -> None:
    found = sections({"retry": {"backoff": spec}}).retry

    assert found is not None
    assert found.backoff.max == timedelta(milliseconds=expected)


def test_sections_that_are_left_out_say_nothing() -> None:
    assert sections({}) == Sections()
