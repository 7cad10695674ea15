"""What became of the policies that target one Service.

The ranked references and the outcome of each at each port in; conditions for each
target, and the problems to show to whoever wrote the policies, out.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from xds_server.api.problem import ObjectKey, Problem, Severity
from xds_server.mesh.attachment import Attachment
from xds_server.mesh.finding import finding, warning
from xds_server.mesh.model import Health, Section, Upstream
from xds_server.mesh.section import EVERYBODY, Clients, Outcome, Reference
from xds_server.mesh.selector import MOST_GROUPS, told
from xds_server.mesh.status import Condition, ConditionType, Reason
from xds_server.xds import Labels

_OR_PORT: Final = "or name a port by sectionName"
_FEW: Final = 8
"""So many Services are told of, where a target is many; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a policy at one Service, by its target at `position`.

    `service` is the Service's namespace and name with a slash between.
    """

    policy: ObjectKey
    position: int
    service: str
    conditions: tuple[Condition, ...]


def judge(
    references: Sequence[Reference],
    upstreams: Sequence[Upstream] | None,
    attachments: Sequence[Mapping[Labels, Attachment]],
) -> tuple[tuple[Verdict, ...], tuple[Problem, ...]]:
    """Return a verdict for each reference, and all problems of their policies.

    *upstreams* is None where the Service does not exist; *attachments* are theirs by
    the labels of clients, in the same order. A policy for some clients is judged by
    what those get that have its labels and no other's.
    """
    verdicts: list[Verdict] = []
    problems: list[Problem] = []
    for reference in references:
        missing = _missing(reference, upstreams)
        if missing is not None:
            problems.append(missing)
            conditions = _not_found(missing)
        else:
            outcomes = [
                outcome
                for by_labels in attachments
                for outcome in _outcomes(reference, by_labels)
            ]
            found = [
                *_found(outcomes),
                *_shared(reference, attachments),
                *_without_effect(reference, upstreams or (), attachments),
            ]
            problems += found
            is_fine = not found and not any(each.is_lost for each in outcomes)
            conditions = _FINE if is_fine else _conditions(outcomes, found)
        verdicts.append(
            Verdict(
                policy=reference.policy.key,
                position=reference.position,
                service=reference.service,
                conditions=conditions,
            )
        )
    return tuple(verdicts), tuple(dict.fromkeys(problems))


def _outcomes(
    reference: Reference, by_labels: Mapping[Labels, Attachment]
) -> Sequence[Outcome]:
    """Return what became of it at one port, for clients of no other policy.

    Where it is for several namespaces, and loses a section in some of them alone, that
    is no conflict (`_shared` tells it).
    """
    found = [
        outcome
        for labels in reference.clients
        if labels in by_labels
        for outcome in by_labels[labels].outcomes
        if outcome.reference is reference
    ]
    kept = {each.section for each in found if not each.is_lost}
    return [
        each
        for each in found
        if not each.is_lost or each.is_overridden or each.section not in kept
    ]


def _missing(
    reference: Reference, upstreams: Sequence[Upstream] | None
) -> Problem | None:
    """Return what is wrong where the reference leads nowhere."""
    target, key = reference.target, reference.policy.key
    path = ("spec", "targetRefs", reference.position)
    if upstreams is None:
        return finding(
            reference.policy,
            (*path, "name"),
            f"there is no Service {key.namespace}/{target.name}",
            hint="a policy targets Services of its own namespace",
        )
    if any(reference.matches(upstream.port) for upstream in upstreams):
        return None
    if not reference.names_port:
        return None
    sections = [
        upstream.port.name or str(upstream.port.number) for upstream in upstreams
    ]
    return finding(
        reference.policy,
        (*path, "sectionName"),
        f"Service {key.namespace}/{target.name} has no TCP port {target.section_name}",
        hint=f"its ports: {', '.join(sections) or 'none'}",
    )


def _found(outcomes: Sequence[Outcome]) -> Iterator[Problem]:
    for outcome in outcomes:
        yield from outcome.problems
        conflict = _conflict(outcome)
        if conflict is not None:
            yield conflict


def _conflict(outcome: Outcome) -> Problem | None:
    """Return the problem of a section that lost against one of its own level."""
    reference, winner = outcome.reference, outcome.winner
    if winner is None or not outcome.is_lost or outcome.is_overridden:
        return None
    path = ("spec", outcome.section.value)
    words = "join the two policies"
    return finding(
        reference.policy,
        path,
        f"{reference.scope} has the {_whose(outcome.section, winner, reference)}",
        hint=words if reference.level.is_broad else f"{words}, {_OR_PORT}",
    )


def _whose(section: Section, winner: Reference, loser: Reference) -> str:
    """Say whose *section* is in force, where it stands, and why if by its age."""
    path = ("spec", section.value)
    is_older = "" < winner.policy.seniority[0] < loser.policy.seniority[0]
    return (
        f"{section} of {winner.policy.key} at {winner.policy.locate(path)}, "
        f"which is {'older, and ' if is_older else ''}in force"
    )


def _winner(outcome: Outcome) -> str:
    key = outcome.winner.policy.key if outcome.winner else ""
    return f"{key} ({outcome.section})"


def _shared(
    reference: Reference, attachments: Sequence[Mapping[Labels, Attachment]]
) -> Iterator[Problem]:
    """Report where it loses for clients alone that have another policy's labels too.

    And that there are too many groups of clients for it to be in force at all.
    """
    path = ("spec", "clientSelector")
    if any(each not in by for each in reference.clients for by in attachments):
        yield finding(
            reference.policy,
            path,
            "is not in force: the policies of a Service tell at most "
            f"{MOST_GROUPS} groups of clients apart, and each new key doubles them",
            hint="select by values of one key",
        )
    if reference.is_for_all:
        return
    for by_labels in attachments:
        for labels, attachment in by_labels.items():
            for outcome in attachment.outcomes:
                winner = outcome.winner
                if (
                    outcome.reference is reference
                    and winner is not None
                    and outcome.is_lost
                    and not outcome.is_overridden
                    and not all(map(winner.is_for, reference.clients))
                    and labels in _joint(winner.clients, reference.clients)
                ):
                    whose = _whose(outcome.section, winner, reference)
                    message = f"clients {told(labels)} have the {whose}"
                    yield warning(reference.policy, path, message)


def _joint(one: Clients, other: Clients) -> Iterator[Labels]:
    """Yield the least that clients have who belong to both."""
    return (each | more for each in one for more in other)


def _without_effect(
    reference: Reference,
    upstreams: Sequence[Upstream],
    attachments: Sequence[Mapping[Labels, Attachment]],
) -> Iterator[Problem]:
    """Report a target that no traffic can go to, for whatever reason but weights.

    What is for all Services is for those too that have no endpoint yet.
    """
    if reference.level.is_broad:
        return
    service = f"Service {reference.service}"
    path = ("spec", "targetRefs", reference.position, "name")
    matched = [
        (upstream, by_labels[EVERYBODY])
        for upstream, by_labels in zip(upstreams, attachments, strict=True)
        if reference.matches(upstream.port)
    ]
    if not matched:
        message = f"{service} has no TCP port: the policy has no effect on it"
        yield warning(reference.policy, path, message)
    for upstream, attachment in matched:
        is_ready = any(each.health is Health.HEALTHY for each in upstream.endpoints)
        if not is_ready and not attachment.balance.weighing.stops_all:
            port = upstream.port.name or str(upstream.port.number)
            message = f"port {port} of {service} has no ready endpoint"
            yield warning(reference.policy, path, message)


def gather(verdicts: Collection[Verdict]) -> tuple[Condition, ...]:
    """Return the conditions of a target that is many Services, of what each says."""
    # Nearly all say the same, in the same words: those of a policy that is in force.
    distinct = {id(each.conditions): each.conditions for each in verdicts}
    found: dict[ConditionType, dict[Condition, None]] = {}
    for conditions in distinct.values():
        for each in conditions:
            found.setdefault(each.type, {})[each] = None
    return (
        tuple(
            _joined(list(found.get(type_, ())))
            for type_ in ConditionType
            if type_ in found
        )
        or _FINE
    )


def _joined(conditions: Sequence[Condition]) -> Condition:
    """Return what *conditions* of one type, some of which may not hold, say in one."""
    bad = [each for each in conditions if not each.status]
    told = sorted(bad or conditions, key=lambda each: each.message)
    messages = [each.message for each in told if each.message]
    more = len(messages) - _FEW
    text = "; ".join(messages[:_FEW]) + (f"; and {more} more" if more > 0 else "")
    return replace(told[0], message=text)


def _not_found(problem: Problem) -> tuple[Condition, ...]:
    return tuple(
        Condition(
            type=type_,
            status=False,
            reason=Reason.TARGET_NOT_FOUND,
            message=problem.message,
        )
        for type_ in (ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS)
    )


def _conditions(
    outcomes: Sequence[Outcome], problems: Sequence[Problem]
) -> tuple[Condition, ...]:
    conditions = [
        _accepted(outcomes, problems),
        Condition(
            type=ConditionType.RESOLVED_REFS, status=True, reason=Reason.RESOLVED_REFS
        ),
    ]
    lost = [each for each in outcomes if each.is_lost]
    conflicting = [_winner(each) for each in lost if not each.is_overridden]
    overriding = [_winner(each) for each in lost if each.is_overridden]
    incompatible = [str(each.rival) for each in outcomes if each.rival]
    warnings = [p.message for p in problems if p.severity is Severity.WARNING]
    for type_, reason, messages in (
        (ConditionType.CONFLICTED, Reason.CONFLICTED, conflicting),
        (ConditionType.INCOMPATIBLE, Reason.INCOMPATIBLE, incompatible),
        (ConditionType.OVERRIDDEN, Reason.OVERRIDDEN, overriding),
        (ConditionType.WARNINGS, Reason.WARNINGS, warnings),
    ):
        if messages:
            text = "; ".join(dict.fromkeys(messages))
            conditions.append(
                Condition(type=type_, status=True, reason=reason, message=text)
            )
    return tuple(conditions)


def _accepted(outcomes: Sequence[Outcome], problems: Sequence[Problem]) -> Condition:
    errors = [p.message for p in problems if p.severity is Severity.ERROR]
    conflicts = {p.message for p in map(_conflict, outcomes) if p is not None}
    clashes = {p.message for each in outcomes if each.rival for p in each.problems}
    reason = Reason.ACCEPTED
    if errors:
        reason = Reason.INVALID
        if clashes.issuperset(errors):
            reason = Reason.INCOMPATIBLE
        elif (conflicts | clashes).issuperset(errors):
            reason = Reason.CONFLICTED
    return Condition(
        type=ConditionType.ACCEPTED,
        status=not errors,
        reason=reason,
        message="; ".join(dict.fromkeys(errors)),
    )


_FINE: Final = _conditions((), ())
"""What became of a policy that is in force, or would be if there were a Service."""
