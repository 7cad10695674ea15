"""What `xds-server status` shows of an answer, also where there is little room."""

import io

import msgspec
import pytest
from rich.console import Console

from xds_server.status_table import (
    Condition,
    Node,
    Policy,
    Problem,
    Rejection,
    Server,
    Status,
    StatusError,
    Target,
    TypeState,
    decode_status,
    problem_lines,
    status_tables,
)

ACCEPTED = Condition(type="Accepted", status="True", reason="Accepted", message="")
LONG = "web-7f9c8d6b5-abcde-of-a-deployment-with-a-name-of-more-than-80-columns.shop"
BAD_RING = Rejection(
    resources=["shop/web/80"],
    owners=["Service shop/web", "TrafficPolicy shop/spread"],
    message="ring_hash: minimum_ring_size is greater than maximum_ring_size",
)


def status(
    *conditions: Condition,
    rejected: tuple[Rejection, ...] = (),
    problems: tuple[Problem, ...] = (),
    ready: bool = True,
) -> Status:
    """Return the status of a node and a policy."""
    held = TypeState(
        state="Rejected" if rejected else "Acknowledged",
        acknowledged_version="c973b91ccae2755f",
        rejected=list(rejected),
    )
    web = Target(target={"kind": "Service", "name": "web"}, conditions=[*conditions])
    return Status(
        server=Server(ready=ready),
        nodes=[Node(id=LONG, mode="delta", types={"cluster": held, "endpoint": held})],
        policies=[Policy(namespace="shop", name="spread", targets=[web])],
        problems=[*problems],
    )


def shown(found: Status) -> str:
    """Return the tables as they are at 80 columns, without the spaces of layout."""
    file = io.StringIO()
    console = Console(file=file, width=80, color_system=None)
    for table in status_tables(found):
        console.print(table)
    assert max(map(len, file.getvalue().splitlines())) <= 80
    return file.getvalue()


def test_nothing_is_cut_at_80_columns() -> None:
    text = shown(status(ACCEPTED, rejected=(BAD_RING,)))
    first_column = "".join(line.partition(" ")[0] for line in text.splitlines())

    assert "…" not in text
    assert LONG in first_column
    for word in BAD_RING.message.split():
        assert word in text


def test_the_words_of_others_are_no_markup() -> None:
    rejection = msgspec.structs.replace(
        BAD_RING, resources=["[a-b]"], owners=["[red]"], message="no ['a'] in [/x]"
    )
    condition = msgspec.structs.replace(ACCEPTED, message="[a-b] [/y]")
    found = status(condition, rejected=(rejection,))
    found.nodes[0].id = "[bold]node[/z]"
    found.policies[0].name = "[/p]"
    found.policies[0].targets[0].target = {"kind": "Service", "name": "[/t]"}
    text = " ".join(shown(found).split())

    for words in ("[a-b] ([red]):", "['a']", "[/x]", "[/y]", "[bold]node[/z]"):
        assert words in text
    assert "shop/[/p] Service [/t]" in text


def test_a_condition_says_what_holds_or_not_and_why() -> None:
    overridden = Condition(
        type="Overridden",
        status="True",
        reason="Overridden",
        message="TrafficPolicy shop/x",
    )
    missing = Condition(
        type="ResolvedRefs",
        status="False",
        reason="TargetNotFound",
        message="no Service",
    )
    lines = [line.rstrip() for line in shown(status(ACCEPTED)).splitlines()]
    text = " ".join(shown(status(overridden, missing)).split())

    assert lines[-1].split() == ["shop/spread", "Service", "web", "Accepted"]
    assert "Overridden: TrafficPolicy shop/x" in text
    assert "not ResolvedRefs (TargetNotFound): no Service" in text


def test_a_problem_is_a_line_as_check_prints_it() -> None:
    problem = Problem(
        place="web.yaml:9:5",
        severity="warning",
        path="spec.loadBalancer",
        message="unwise",
        hint="be wise",
    )

    assert list(problem_lines(status(ACCEPTED, problems=(problem,)))) == [
        "web.yaml:9:5: warning: spec.loadBalancer: unwise\n  hint: be wise"
    ]


def test_all_is_fine_where_all_is_accepted_and_nothing_rejected() -> None:
    refused = msgspec.structs.replace(ACCEPTED, status="False", reason="Invalid")

    assert status(ACCEPTED).is_fine
    assert not status(refused).is_fine
    assert not status(ACCEPTED, rejected=(BAD_RING,)).is_fine


def test_a_server_that_is_not_ready_says_so() -> None:
    starting = status(ACCEPTED, ready=False)

    assert not starting.is_fine
    assert next(problem_lines(starting)).startswith("not ready: ")


def test_the_answer_of_another_program_is_none() -> None:
    with pytest.raises(StatusError, match="not the admin endpoint of an xds-server"):
        decode_status(b'{"nodes": 3}')
