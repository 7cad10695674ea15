"""Durations, quantities and problems, as they are written and read."""

from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from xds_server.api.duration import format_duration, parse_duration
from xds_server.api.problem import Place, Problem, Severity, field_path, report
from xds_server.api.quantity import parse_quantity

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", timedelta(0)),
        ("500ms", timedelta(milliseconds=500)),
        ("1m30s", timedelta(seconds=90)),
        ("1m500ms", timedelta(seconds=60.5)),
        ("2h", timedelta(hours=2)),
        ("1h2m3s4ms", timedelta(hours=1, minutes=2, seconds=3, milliseconds=4)),
        *((text, None) for text in ("", "5", "s", "1d", "-1s", "1.5s", "1s1m", "1h1h")),
        *((text, None) for text in (" 1s", "1 s", "1S", "1s\n", "٣s", "9999999999h")),
    ],
)
def test_durations_are_read_as_the_gateway_api_writes_them(
    text: str, expected: timedelta | None
) -> None:
    assert parse_duration(text) == expected


@given(st.integers(0, 10**9))
def test_a_duration_survives_being_written(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)

    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", Fraction(1)),
        ("100m", Fraction(1, 10)),
        ("0.5", Fraction(1, 2)),
        (".5Gi", Fraction(2**29)),
        ("1k", Fraction(1000)),
        ("2Ki", Fraction(2048)),
        ("3E", Fraction(3 * 10**18)),
        ("3e2", Fraction(300)),
        ("5n", Fraction(5, 10**9)),
        ("-1u", Fraction(-1, 10**6)),
        *(
            (text, None)
            for text in ("", "1x", "k", "1 k", "0x1", "1e", "1Kii", "1e999")
        ),
    ],
)
def test_quantities_are_exact(text: str, expected: Fraction | None) -> None:
    assert parse_quantity(text) == expected


def test_paths_are_written_as_people_do() -> None:
    path = ("spec", "hashOn", 0, "header", "a.b/c", "d_e-f")

    assert field_path(path) == "spec.hashOn[0].header[a.b/c].d_e-f"


def test_a_report_is_sorted_by_place_and_counts_errors_only() -> None:
    """Lines sort as numbers; warnings and notices are shown, not counted."""
    problems = [
        Problem(place=Place("b.yaml", 2, 1), message="fourth", hint="mend it"),
        Problem(place=Place("a.yaml", 10, 1), message="third"),
        Problem(place=Place("a.yaml", 9, 5), message="second", path="spec"),
        Problem(place=Place("a.yaml"), message="first", severity=Severity.WARNING),
    ]

    assert report(problems) == (
        "a.yaml: warning: first\n"
        "a.yaml:9:5: spec: second\n"
        "a.yaml:10:1: third\n"
        "b.yaml:2:1: fourth\n"
        "  hint: mend it\n"
        "3 errors in 2 files"
    )
