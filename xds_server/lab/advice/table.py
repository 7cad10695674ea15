"""Advice for people and programs: the figures, the reasons, and a policy to copy.

Advice in; tables and YAML on a console, or JSON whose keys are camelCase, out.
"""

import json
from collections.abc import Iterator
from typing import Final

import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xds_server.lab.advice.advice import Advice
from xds_server.lab.advice.decision import ALPHA, ERROR_MARGIN, MARGIN, Ground
from xds_server.lab.advice.measurement import Standing
from xds_server.lab.advice.profile import Profile

_MILLI: Final = 1000
_PERCENT: Final = 100


def print_advice(advice: Advice, console: Console | None = None) -> None:
    """Print what was measured, whom that speaks for and why, and the policy."""
    console = console or Console(highlight=False)
    console.print(_table(advice))
    console.print()
    for line in reasons(advice):
        console.print(Text(line))
    console.print()
    console.print(Text(policy_yaml(advice)), soft_wrap=True, end="")


def policy_yaml(advice: Advice) -> str:
    """Return the policy that is recommended."""
    return yaml.safe_dump(dict(advice.policy), sort_keys=False)


def advice_json(advice: Advice) -> str:
    """Return the same as JSON. Latencies are in seconds."""
    value = {
        "service": advice.service,
        "recommended": advice.decision.winner,
        "present": advice.present,
        "reasons": list(reasons(advice)),
        "level": advice.decision.level,
        "utilization": advice.profile.utilization,
        "profile": {
            "rate": advice.profile.rate,
            "serviceTime": advice.profile.service_time,
            "workers": advice.profile.workers,
            "speeds": [host.speed for host in advice.profile.hosts],
            "errorShares": [host.error_share for host in advice.profile.hosts],
        },
        "leftOut": [each.name for each in advice.left_out],
        "candidates": [_standing_json(advice, each) for each in advice.standings],
        "policy": advice.policy,
    }
    return json.dumps(value, indent=2, ensure_ascii=False)


def reasons(advice: Advice) -> Iterator[str]:
    """Yield why that candidate is recommended, in sentences."""
    winner = advice.recommended
    titles = {each.candidate.name: each.candidate.title for each in advice.standings}
    yield (
        f"Recommended for {advice.service}: {winner.candidate.title}, the simplest "
        f"that no other one beats. In force now: {advice.present}."
    )
    for each in advice.standings:
        defeat = advice.decision.defeats.get(each.candidate.name)
        if defeat is not None:
            what = _compared(advice, each, defeat.by, defeat.ground)
            yield (
                f"{each.candidate.title} is beaten by {titles[defeat.by]}: {what} "
                f"(p = {defeat.p_value:.1g})."
            )
    yield (
        f"To beat is to have errors fewer by {ERROR_MARGIN:.0%} of the requests, or a "
        f"95th percentile lower by {MARGIN:.0%}: more than that, by a paired t-test "
        f"below p = {advice.decision.level:.1g}. All of this is wrong in at most "
        f"{ALPHA:.0%} of such runs."
    )
    if (faster := _faster(advice)) is not None:
        yield (
            f"{faster.candidate.title} was better at the 95th percentile, "
            f"{_ms(faster.p95)} ms and not {_ms(winner.p95)} ms, which so short a run "
            "does not prove; more --seconds may."
        )
    for left in advice.left_out:
        yield (
            f"Not measured: {left.title}, which needs {left.settling:g} s to settle; "
            "give it more --seconds."
        )


def _faster(advice: Advice) -> Standing | None:
    """Return who was faster than the winner by more than the margin, if unproved."""
    winner = advice.recommended
    best = min(
        (
            each
            for each in advice.standings
            if each.error_share <= winner.error_share + ERROR_MARGIN
        ),
        key=lambda each: each.p95,
    )
    return best if best.p95 < (1 - MARGIN) * winner.p95 else None


def _servers(profile: Profile) -> str:
    """Say what the servers were like."""
    speeds = ":".join(f"{host.speed:g}" for host in profile.hosts)
    said = f"{_ms(profile.service_time)} ms a request at speed 1, speeds {speeds}, "
    said += f"{profile.workers} workers each"
    if any(host.error_share for host in profile.hosts):
        errors = ":".join(f"{_PERCENT * host.error_share:g}" for host in profile.hosts)
        said += f", errors {errors} %"
    return said


def _compared(advice: Advice, loser: Standing, name: str, ground: Ground) -> str:
    by = next(each for each in advice.standings if each.candidate.name == name)
    if ground is Ground.ERRORS:
        return f"{by.error_share:.1%} of its requests fail, not {loser.error_share:.1%}"
    return f"p95 {_ms(by.p95)} ms, not {_ms(loser.p95)} ms"


def _table(advice: Advice) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.title = Text(
        f"{advice.service}: {advice.profile.rate:g} requests a second, "
        f"{advice.profile.utilization:.0%} of what {len(advice.profile.hosts)} "
        f"endpoints can do\n({_servers(advice.profile)})"
    )
    table.title_justify = "left"
    table.add_column("candidate", no_wrap=True)
    has_keys = advice.profile.keys is not None
    hits = ("hits",) if has_keys else ()
    for heading in ("requests", "p50 ms", "p95 ms", "p99 ms", "errors", *hits):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("shares")
    table.add_column("")
    for each in advice.standings:
        table.add_row(*_row(advice, each))
    return table


def _row(advice: Advice, standing: Standing) -> Iterator[str | Text]:
    name = standing.candidate.name
    yield standing.candidate.title
    yield str(standing.requests)
    yield from map(_ms, (standing.median, standing.p95, standing.p99))
    yield f"{standing.error_share:.1%}"
    if standing.hit_share is not None:
        yield f"{standing.hit_share:.0%}"
    yield ":".join(f"{_percent(share)}" for share in standing.shares)
    if name == advice.decision.winner:
        yield Text("recommended", style="bold green")
    else:
        yield "beaten" if name in advice.decision.defeats else ""


def _standing_json(advice: Advice, standing: Standing) -> dict[str, object]:
    defeat = advice.decision.defeats.get(standing.candidate.name)
    return {
        "name": standing.candidate.name,
        "title": standing.candidate.title,
        "requests": standing.requests,
        "median": standing.median,
        "p95": standing.p95,
        "p99": standing.p99,
        "errorShare": standing.error_share,
        "hitShare": standing.hit_share,
        "shares": list(standing.shares),
        "beatenBy": defeat and defeat.by,
        "pValue": defeat and defeat.p_value,
    }


def _ms(seconds: float) -> str:
    return f"{seconds * _MILLI:.0f}"


def _percent(share: float) -> int:
    return round(_PERCENT * share)
