"""`/status` for people: tables of nodes and policies, and problems as `check` prints.

In: the admin address of a running server. Out: its answer, rich tables and lines of it;
those of weights are `weight_table`'s.
Nothing is cut where a terminal is narrow: long values go on in the next line. Values
are text as it is, not markup.
"""

import os
from collections.abc import Iterator
from typing import Final

import aiohttp
import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from xds_server.api import problem

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_NOT_OURS: Final = (
    "{} is not the admin endpoint of an xds-server: it has no such /status"
)
_BRIEF: Final = 12
"""So many digits of a version tell two apart for people."""


class Struct(msgspec.Struct, kw_only=True, rename="camel"):
    """The part of `/status` that is shown; whatever else is in it is passed over."""


class Rejection(Struct):
    """A response that a node did not accept."""

    resources: list[str]
    message: str
    owners: list[str] = []


class TypeState(Struct):
    """What a node holds of one resource type."""

    state: str
    acknowledged_version: str | None = None
    rejected: list[Rejection] = []


class Node(Struct):
    """A connected node."""

    id: str
    mode: str
    types: dict[str, TypeState]


class Condition(Struct):
    """One fact about a policy at a target."""

    type: str
    status: str
    reason: str
    message: str


class Target(Struct):
    """What a policy targets; unset where that is unknown."""

    target: dict[str, str] | None
    conditions: list[Condition]


class Policy(Struct):
    """A policy and its targets."""

    namespace: str
    name: str
    targets: list[Target]


class Endpoint(Struct):
    """An endpoint whose weight is computed; times are in seconds.

    Unset is what is not known yet, or what reports do not tell.
    """

    address: str
    weight: int
    share: float
    answers_per_second: float
    latency_seconds: float | None
    error_ratio: float
    load: float | None
    error_factor: float
    evidence_seconds_ago: float | None
    reason: str | None


class WeighedPort(Struct):
    """A port of a Service whose weights are computed."""

    namespace: str
    service: str
    port: int
    reporters: int
    last_report_seconds_ago: float | None
    last_push_seconds_ago: float | None
    endpoints: list[Endpoint]


class Problem(Struct):
    """Something wrong in a document."""

    place: str
    severity: str
    path: str
    message: str
    hint: str | None = None


class Server(Struct):
    """The server itself."""

    ready: bool


class Status(Struct):
    """All of `/status` that is shown."""

    server: Server
    nodes: list[Node]
    policies: list[Policy]
    problems: list[Problem]
    weights: list[WeighedPort] = []

    @property
    def is_fine(self) -> bool:
        """Whether it serves, with every policy accepted and nothing rejected."""
        accepted = all(
            condition.status == "True"
            for policy in self.policies
            for target in policy.targets
            for condition in target.conditions
            if condition.type == "Accepted"
        )
        states = (state for node in self.nodes for state in node.types.values())
        is_taken = not any(state.rejected for state in states)
        return self.server.ready and accepted and is_taken


class StatusError(Exception):
    """There is no status to be had; the message says what there is instead."""


async def fetch_status(admin_address: str) -> bytes:
    """Return what the server at *admin_address* answers to `/status`, as JSON.

    Raises:
        StatusError: there is no answer, or it is none of `/status`.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(f"http://{admin_address}/status") as response,
        ):
            answer = await response.read()
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno or 0
        reason = os.strerror(number) if number > 0 else error.os_error.strerror
        message = f"no answer from {admin_address}: {str(reason).lower()}"
        raise StatusError(message) from error
    except TimeoutError as error:
        message = f"no answer from {admin_address} within {_TIMEOUT.total:g} s"
        raise StatusError(message) from error
    except aiohttp.ClientError as error:
        raise StatusError(_NOT_OURS.format(admin_address)) from error
    if not response.ok:
        raise StatusError(_NOT_OURS.format(admin_address))
    return answer


def decode_status(answer: bytes) -> Status:
    """Return *answer*, of `/status`, as a value.

    Raises:
        StatusError: the answer is of another program.
    """
    try:
        return msgspec.json.decode(answer, type=Status)
    except msgspec.MsgspecError as error:
        raise StatusError(_NOT_OURS.format("what answered")) from error


def status_tables(status: Status) -> Iterator[Table]:
    """Yield the tables of *status*: nodes, and policies."""
    yield _nodes(status.nodes)
    yield _policies(status.policies)


def problem_lines(status: Status) -> Iterator[str]:
    """Yield what is wrong in *status*, problems as `check` prints them."""
    if not status.server.ready:
        yield "not ready: nothing is served before everything was listed"
    for each in status.problems:
        shown = problem.Problem(
            place=problem.Place(each.place),
            path=each.path,
            message=each.message,
            hint=each.hint,
            severity=problem.Severity(each.severity),
        )
        yield str(shown)


def _table(title: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.title, table.title_justify = title, "left"
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _nodes(nodes: list[Node]) -> Table:
    headings = ("Node", "Mode", "Type", "Acknowledged", "State")
    table = _table(f"Nodes connected: {len(nodes)}", *headings)
    for node in nodes:
        names = (node.id, node.mode)
        for name, state in node.types.items():
            rejections = (f"{_rejection(each)}" for each in state.rejected)
            version = (state.acknowledged_version or "-")[:_BRIEF]
            states = "\n".join((state.state, *rejections))
            table.add_row(*map(Text, (*names, name, version, states)))
            names = ("", "")
    return table


def _rejection(rejection: Rejection) -> str:
    """Say what was rejected, what it was made of, and why."""
    resources = ", ".join(rejection.resources) or "?"
    owners = f" ({', '.join(rejection.owners)})" if rejection.owners else ""
    return f"{resources}{owners}: {rejection.message}"


def _policies(policies: list[Policy]) -> Table:
    table = _table(f"Policies: {len(policies)}", "Policy", "Target", "Conditions")
    for policy in policies:
        name = f"{policy.namespace}/{policy.name}"
        for target in policy.targets:
            conditions = "\n".join(map(_condition, target.conditions))
            cells = (name, _target_name(target.target), conditions)
            table.add_row(*map(Text, cells))
            name = ""
    return table


def _condition(condition: Condition) -> str:
    """Say a condition in a line: what holds or not, why, and the same in words."""
    text = condition.type if condition.status == "True" else f"not {condition.type}"
    if condition.reason != condition.type:
        text += f" ({condition.reason})"
    return f"{text}: {condition.message}" if condition.message else text


def _target_name(target: dict[str, str] | None) -> str:
    if target is None:
        return "unknown"
    section = f":{target['sectionName']}" if "sectionName" in target else ""
    return f"{target['kind']} {target['name']}{section}"
