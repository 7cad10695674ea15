"""`/status` as tables for people: nodes, policies, problems.

In: the admin address of a running server. Out: its answer, and rich tables of it.
"""

from collections.abc import Iterator
from typing import Final

import aiohttp
import msgspec
from rich.table import Table

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
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


class Problem(Struct):
    """Something wrong in a document."""

    place: str
    severity: str
    path: str
    message: str
    hint: str | None = None


class Status(Struct):
    """All of `/status` that is shown."""

    nodes: list[Node]
    policies: list[Policy]
    problems: list[Problem]


async def fetch_status(admin_address: str) -> bytes:
    """Return what the server at *admin_address* answers to `/status`, as JSON.

    Raises:
        OSError: there is no answer, or it is none of `/status`.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(f"http://{admin_address}/status") as response,
        ):
            response.raise_for_status()
            return await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OSError(str(error) or type(error).__name__) from error


def decode_status(answer: bytes) -> Status:
    """Return *answer*, of `/status`, as a value.

    Raises:
        msgspec.DecodeError: the answer is of another program.
    """
    return msgspec.json.decode(answer, type=Status)


def status_tables(status: Status) -> Iterator[Table]:
    """Yield the tables of *status*; the one of problems only if there are any."""
    yield _nodes(status.nodes)
    yield _policies(status.policies)
    if status.problems:
        yield _problems(status.problems)


def _nodes(nodes: list[Node]) -> Table:
    table = Table("Node", "Mode", "Type", "State", "Acknowledged", "Message")
    table.title = f"Nodes connected: {len(nodes)}"
    for node in nodes:
        for name, state in node.types.items():
            message = "\n".join(_rejection(each) for each in state.rejected)
            version = (state.acknowledged_version or "-")[:_BRIEF]
            table.add_row(node.id, node.mode, name, state.state, version, message)
        table.add_section()
    return table


def _rejection(rejection: Rejection) -> str:
    """Say what was rejected, what it was made of, and why."""
    resources = ", ".join(rejection.resources) or "?"
    owners = f" ({', '.join(rejection.owners)})" if rejection.owners else ""
    return f"{resources}{owners}: {rejection.message}"


def _policies(policies: list[Policy]) -> Table:
    table = Table("Policy", "Target", "Condition", "Status", "Message")
    table.title = f"Policies: {len(policies)}"
    for policy in policies:
        for target in policy.targets:
            for condition in target.conditions:
                table.add_row(
                    f"{policy.namespace}/{policy.name}",
                    _target_name(target.target),
                    condition.type,
                    f"{condition.status} ({condition.reason})",
                    condition.message,
                )
    return table


def _target_name(target: dict[str, str] | None) -> str:
    if target is None:
        return "unknown"
    section = f":{target['sectionName']}" if "sectionName" in target else ""
    return f"{target['kind']} {target['name']}{section}"


def _problems(problems: list[Problem]) -> Table:
    table = Table("Place", "Severity", "Path", "Problem", "Hint")
    table.title = f"Problems: {len(problems)}"
    for problem in problems:
        table.add_row(
            problem.place,
            problem.severity,
            problem.path,
            problem.message,
            problem.hint or "",
        )
    return table
