"""A report is readable without colour, in 80 columns, and by programs."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from xds_server.lab.report import print_report, report_json, show_progress
from xds_server.lab.trial import Progress, TrialReport


@pytest.fixture
def text(report: TrialReport) -> str:
    file = io.StringIO()
    print_report(report, Console(file=file, width=80, color_system=None))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def line_with(text: str, *words: str) -> str:
    return next(
        line for line in text.splitlines() if all(word in line for word in words)
    )


def test_names_are_no_markup(report: TrialReport) -> None:
    trial = report.trials[0]
    endpoint = dataclasses.replace(trial.endpoints[0], address="[a-b]:80")
    odd = dataclasses.replace(
        trial, service="[/x]", algorithm="[c-d]", endpoints=(endpoint,)
    )
    file = io.StringIO()
    console = Console(file=file, width=80, color_system=None)
    print_report(dataclasses.replace(report, trials=(odd,)), console)

    assert file.getvalue().count("[/x]") == file.getvalue().count("[c-d]") == 2
    assert "[a-b]:80" in file.getvalue()


def test_every_endpoint_has_its_shares_and_a_bar(text: str) -> None:
    assert line_with(text, "10.0.0.1:8080").split()[1:5] == [
        "1",
        "33.33%",
        "51.00%",
        "1020",
    ]
    assert "█" * 18 in line_with(text, "10.0.0.1:8080")
    assert "█" * 8 in line_with(text, "10.0.0.2:8080")


def test_a_verdict_tells_test_statistic_p_value_and_false_alarm_rate(
    text: str,
) -> None:
    assert "DOES NOT HOLD  chi-square, 2 degrees of freedom: 2000 requests" in text
    assert (
        "statistic 281, p = 8.67e-62 (fails < 1e-4 twice), false-alarm rate 1e-8"
        in " ".join(text.split())
    )
    assert "HOLDS  affinity: 0 of 2 keys changed their endpoint" in text
    assert "statistic 0, false-alarm rate 0 (exact)" in text


def test_a_second_sample_is_mentioned(text: str) -> None:
    assert text.count("measured twice") == 1


def test_what_was_not_measured_says_why(text: str) -> None:
    assert "NOT MEASURED  no endpoint may get requests" in text


def test_the_last_table_has_all_verdicts(text: str) -> None:
    table = text[text.index("least p") :]

    assert line_with(table, "shop/cart:80", "Maglev", "exact").endswith(" HOLDS")
    assert "DOES NOT HOLD" in line_with(table, "shop/search:80", "0/1")
    assert "NOT MEASURED" in line_with(table, "shop/empty:80")
    assert "1 of 2 hold on a real Envoy, 1 not measured." in table


def test_a_run_without_any_measurement_says_so(report: TrialReport) -> None:
    unmeasured = TrialReport(trials=report.trials[2:], concurrency=1, seed=1)
    file = io.StringIO()
    print_report(unmeasured, Console(file=file, width=80, color_system=None))

    assert file.getvalue().endswith(
        "\nNothing could be measured: the reasons are above.\n"
    )


def test_progress_leaves_nothing_in_what_is_no_terminal() -> None:
    file = io.StringIO()
    with show_progress(Console(file=file)) as progress:
        progress(Progress(doing="something", done=0, total=1))

    assert file.getvalue() == ""


def test_nothing_is_cut_off_in_80_columns(text: str) -> None:
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_json_has_everything(report: TrialReport) -> None:
    value = json.loads(report_json(report))

    assert value["holds"] is False
    assert value["falseAlarmRate"] == pytest.approx(1e-8)
    assert [trial["outcome"] for trial in value["trials"]] == [
        "HOLDS",
        "DOES NOT HOLD",
        "NOT MEASURED",
    ]
    assert value["trials"][1]["endpoints"][0] == {
        "address": "10.0.0.1:8080",
        "weight": 1,
        "expected": pytest.approx(1 / 3),
        "measured": 0.51,
        "requests": 1020,
    }
    assert value["trials"][1]["checks"][0]["pValue"] < 1e-8


def test_a_report_holds_only_if_something_was_measured(report: TrialReport) -> None:
    held, failed, unmeasured = report.trials

    def of(*trials: object) -> TrialReport:
        chosen = tuple(trial for trial in report.trials if trial in trials)
        return TrialReport(trials=chosen, concurrency=1, seed=1)

    assert of(held).holds
    assert of(held, unmeasured).holds
    assert not of(held, failed).holds
    assert not of(unmeasured).holds
