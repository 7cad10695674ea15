"""What became of the policies that target one Service.

The ranked references and the outcome of each at each port in; conditions for each
target, and the problems to show to whoever wrote the policies, out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xds_server.api.problem import ObjectKey, Problem, Severity
from xds_server.mesh.attachment import Attachment, Outcome, Reference
from xds_server.mesh.finding import finding, warning
from xds_server.mesh.model import Health, Upstream
from xds_server.mesh.status import Condition, ConditionType, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one of a policy's targets: the Service at `position`."""

    policy: ObjectKey
    position: int
    service: str
    conditions: tuple[Condition, ...]


def judge(
    references: Sequence[Reference],
    upstreams: Sequence[Upstream] | None,
    attachments: Sequence[Attachment],
) -> tuple[tuple[Verdict, ...], tuple[Problem, ...]]:
    """Return a verdict for each reference, and all problems of their policies.

    *upstreams* is None where the Service does not exist; *attachments* are theirs, in
    the same order.
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
                for attachment in attachments
                for outcome in attachment.outcomes
                if outcome.reference is reference
            ]
            found = [
                *_found(outcomes),
                *_without_effect(reference, upstreams or (), attachments),
            ]
            problems += found
            conditions = _conditions(outcomes, found)
        verdicts.append(
            Verdict(
                policy=reference.policy.key,
                position=reference.position,
                service=reference.target.name,
                conditions=conditions,
            )
        )
    return tuple(verdicts), tuple(dict.fromkeys(problems))


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
    """Return the problem of a reference that lost against one of its own level."""
    reference, winner = outcome.reference, outcome.winner
    if winner is None or not _lost(outcome) or _overridden(outcome):
        return None
    target, key = reference.target, winner.policy.key
    place = winner.policy.locate(("spec", "targetRefs", winner.position, "name"))
    section = f" port {target.section_name}" if reference.names_port else ""
    is_older = "" < winner.policy.seniority[0] < reference.policy.seniority[0]
    return finding(
        reference.policy,
        ("spec", "targetRefs", reference.position, "name"),
        f"Service {key.namespace}/{target.name}{section} is already targeted by "
        f"TrafficPolicy {key.namespace}/{key.name} at {place}, which is "
        f"{'older, and ' if is_older else ''}in force",
        hint="join the two policies, or name a port by sectionName",
    )


def _lost(outcome: Outcome) -> bool:
    """Whether another policy is in force at the port."""
    winner = outcome.winner
    return winner is not None and winner.policy is not outcome.reference.policy


def _winner(outcome: Outcome) -> str:
    return str(outcome.winner.policy.key) if outcome.winner else ""


def _overridden(outcome: Outcome) -> bool:
    """Whether that other policy is more specific: normal, and no conflict."""
    winner = outcome.winner
    return winner is not None and winner.names_port != outcome.reference.names_port


def _without_effect(
    reference: Reference,
    upstreams: Sequence[Upstream],
    attachments: Sequence[Attachment],
) -> Iterator[Problem]:
    """Report a target that no traffic can go to, for whatever reason but weights."""
    key, target = reference.policy.key, reference.target
    service = f"Service {key.namespace}/{target.name}"
    path = ("spec", "targetRefs", reference.position, "name")
    matched = [
        (upstream, attachment)
        for upstream, attachment in zip(upstreams, attachments, strict=True)
        if reference.matches(upstream.port)
    ]
    if not matched:
        message = f"{service} has no TCP port: the policy has no effect on it"
        yield warning(reference.policy, path, message)
    for upstream, attachment in matched:
        is_ready = any(each.health is Health.HEALTHY for each in upstream.endpoints)
        if not is_ready and not attachment.weighing.stops_all:
            port = upstream.port.name or str(upstream.port.number)
            message = f"port {port} of {service} has no ready endpoint"
            yield warning(reference.policy, path, message)


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
    lost = [each for each in outcomes if _lost(each)]
    conflicting = [_winner(each) for each in lost if not _overridden(each)]
    overriding = [_winner(each) for each in lost if _overridden(each)]
    warnings = [p.message for p in problems if p.severity is Severity.WARNING]
    for type_, reason, messages in (
        (ConditionType.CONFLICTED, Reason.CONFLICTED, conflicting),
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
    unfit = any(outcome.winner is None for outcome in outcomes)
    reason = Reason.ACCEPTED
    if errors:
        reason = Reason.INVALID if unfit else Reason.CONFLICTED
    return Condition(
        type=ConditionType.ACCEPTED,
        status=not errors,
        reason=reason,
        message="; ".join(dict.fromkeys(errors)),
    )
