"""What a run found, for people and for programs.

A report in; tables on a console or JSON out, and a progress bar while it runs. Nothing
depends on colour.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress as Bar, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from xds_server.lab.trial import Outcome, Progress, ProgressCallback, Trial, TrialReport
from xds_server.lab.verdict import ALPHA, Check

_INDENT: Final = (0, 0, 0, 2)
_BAR_WIDTH: Final = 18
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_STYLES: Final = {
    Outcome.HOLDS: "bold green",
    Outcome.DOES_NOT_HOLD: "bold red",
    Outcome.NOT_MEASURED: "bold yellow",
}


def print_report(report: TrialReport, console: Console | None = None) -> None:
    """Print a table for each Service, and one of all verdicts."""
    console = console or Console(highlight=False)
    for trial in report.trials:
        _print_trial(trial, console)
    console.print(_verdicts(report))
    console.print()
    console.print(_summary(report))


def report_json(report: TrialReport) -> str:
    """Return the report as JSON: its fields in camelCase, and whether all holds."""
    trials = [
        dataclasses.asdict(trial) | {"holds": trial.outcome is Outcome.HOLDS}
        for trial in report.trials
    ]
    value = {
        "holds": report.holds,
        "falseAlarmRate": report.false_alarm_rate,
        "concurrency": report.concurrency,
        "seed": report.seed,
        "trials": [_camel(trial) for trial in trials],
    }
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


@contextmanager
def show_progress(console: Console | None = None) -> Iterator[ProgressCallback]:
    """Show a bar on stderr as long as the context lasts; it leaves nothing behind."""
    console = console or Console(stderr=True)
    columns = (
        BarColumn(bar_width=_BAR_WIDTH),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    hidden = not console.is_terminal  # else it leaves an empty line in files
    with Bar(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("starting", total=1)

        def show(progress: Progress) -> None:
            bar.update(
                task,
                description=progress.doing,
                completed=progress.done,
                total=progress.total,
            )

        yield show


def _print_trial(trial: Trial, console: Console) -> None:
    title = Text(f"{trial.service}  {trial.algorithm}", style="bold")
    console.print(title)
    if trial.policies:
        console.print(_indented(f"by {', '.join(trial.policies)}", style="dim"))
    if trial.promise:
        console.print(_indented(f"promise: {trial.promise}"))
    if trial.endpoints:
        console.print(Padding(_shares(trial), _INDENT, expand=False))
    for check in trial.checks:
        console.print(_check(check))
    if trial.repeated:
        console.print(_indented("measured twice: the first sample did not hold"))
    if trial.reason:
        console.print(_verdict_line(trial.outcome, Text(trial.reason)))
    console.print()


def _indented(text: str, style: str = "none") -> Padding:
    return Padding(Text(text, style=style), _INDENT, expand=False)


def _shares(trial: Trial) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("endpoint", no_wrap=True)
    for heading in ("weight", "expected", "measured", "requests"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    largest = max(max(e.expected, e.measured) for e in trial.endpoints)
    for endpoint in trial.endpoints:
        table.add_row(
            Text(endpoint.address),
            str(endpoint.weight),
            f"{endpoint.expected:.2%}",
            f"{endpoint.measured:.2%}",
            str(endpoint.requests),
            _bar(endpoint.measured / largest),
        )
    return table


def _bar(part: float) -> str:
    """Return a bar for a number of 0..1, exact to an eighth of a character."""
    whole, eighths = divmod(round(part * _BAR_WIDTH * 8), 8)
    return "█" * whole + _EIGHTHS[eighths].strip()


def _check(check: Check) -> Table:
    numbers = []
    if check.statistic is not None:
        numbers.append(f"statistic {check.statistic:.3g}")
    if check.p_value is not None:
        fails = f"fails < {_power(ALPHA)} twice"
        numbers.append(f"p = {check.p_value:.3g} ({fails})")
    rate = _power(check.false_alarm_rate) if check.false_alarm_rate else "0 (exact)"
    numbers.append("a margin" if check.has_margin else f"false-alarm rate {rate}")
    outcome = Outcome.HOLDS if check.holds else Outcome.DOES_NOT_HOLD
    text = Text(f"{check.test}: {check.finding}\n")
    return _verdict_line(outcome, text.append(", ".join(numbers), style="dim"))


def _verdict_line(outcome: Outcome, text: Text) -> Table:
    """Return a verdict and what it is about, which keeps its own margin."""
    line = Table.grid(padding=(0, 2))
    line.add_column()
    line.add_column(no_wrap=True)
    line.add_column()
    line.add_row("", _outcome(outcome), text)
    return line


def _outcome(outcome: Outcome) -> Text:
    return Text(str(outcome), style=_STYLES[outcome])


def _verdicts(report: TrialReport) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True
    )
    table.add_column("Service", no_wrap=True)
    table.add_column("algorithm")
    for heading in ("checks", "least p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for trial in report.trials:
        p_values = [c.p_value for c in trial.checks if c.p_value is not None]
        held = sum(check.holds for check in trial.checks)
        table.add_row(
            Text(trial.service),
            Text(trial.algorithm),
            f"{held}/{len(trial.checks)}" if trial.checks else "",
            f"{min(p_values):.2g}" if p_values else _kind(trial),
            _outcome(trial.outcome),
        )
    return table


def _kind(trial: Trial) -> str:
    """Return what stands where no check of a trial has a p-value."""
    if any(check.has_margin for check in trial.checks):
        return "margins"
    return "exact" if trial.checks else ""


def _summary(report: TrialReport) -> Text:
    outcomes = [trial.outcome for trial in report.trials]
    unmeasured = outcomes.count(Outcome.NOT_MEASURED)
    measured = len(outcomes) - unmeasured
    if not measured:
        return Text("Nothing could be measured: the reasons are above.")
    held = f"{outcomes.count(Outcome.HOLDS)} of {measured} hold on a real Envoy"
    if unmeasured:
        held += f", {unmeasured} not measured"
    rate = _power(report.false_alarm_rate) if report.false_alarm_rate else "0"
    if any(check.has_margin for trial in report.trials for check in trial.checks):
        rate += ", margins aside"
    return Text(f"{held}. False-alarm rate of the whole run: {rate}.")


def _power(rate: float) -> str:
    """Return a small number as people write it: `3e-7`."""
    return f"{rate:.0e}".replace("e-0", "e-")


def _camel(value: object) -> object:
    """Return *value* with the keys of all its mappings in camelCase."""
    if isinstance(value, dict):
        return {_camel_key(str(key)): _camel(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_camel(item) for item in value]
    return value


def _camel_key(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(part.capitalize() for part in rest)
