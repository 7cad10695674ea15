"""The status of every policy, from what is known of it in different places.

Verdicts (one a target, from each Service's resolution) and reports (a newest version
that was rejected) in; one `PolicyStatus` a policy out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from xds_server.api.document import Document, Revision
from xds_server.api.policy import TargetKind, TargetRef, TrafficPolicy
from xds_server.api.problem import ObjectKey, Problem, Severity
from xds_server.mesh.event import Reported
from xds_server.mesh.status import (
    Condition,
    ConditionType,
    PolicyStatus,
    Reason,
    TargetStatus,
)
from xds_server.mesh.verdict import Verdict, gather

_KIND: Final = "TrafficPolicy"

_Cell = tuple[ObjectKey, int]
"""A policy's target. It has verdicts by Services, since a new version of the policy may
have another Service at the position, whose verdict comes before the old one goes; and
since a target may be many Services."""


class _Rejection(NamedTuple):
    """Why a source rejects the newest version, and which that is."""

    reason: str
    revision: Revision | None


class Ledger:
    """What is known of each policy, and its status."""

    def __init__(self) -> None:
        self._verdicts: defaultdict[_Cell, dict[str, Verdict]] = defaultdict(dict)
        self._rejections: defaultdict[ObjectKey, dict[str, _Rejection]] = defaultdict(
            dict
        )
        self._statuses: dict[ObjectKey, PolicyStatus] = {}

    @property
    def statuses(self) -> Mapping[ObjectKey, PolicyStatus]:
        """The status of every policy, live and read-only."""
        return MappingProxyType(self._statuses)

    def judge(
        self, before: Iterable[Verdict], after: Iterable[Verdict]
    ) -> set[ObjectKey]:
        """Let the verdicts *after* replace *before*; return whose are others now."""
        old = {(_cell(each), each.service): each for each in before}
        new = {(_cell(each), each.service): each for each in after}
        for cell, service in old.keys() - new.keys():
            del self._verdicts[cell][service]
            if not self._verdicts[cell]:
                del self._verdicts[cell]
        for (cell, service), verdict in new.items():
            self._verdicts[cell][service] = verdict
        changed = old.keys() ^ new.keys()
        changed |= {key for key in old.keys() & new.keys() if old[key] != new[key]}
        return {policy for (policy, _), _ in changed}

    def report(self, before: Reported, after: Reported) -> set[ObjectKey]:
        """Let the report *after* replace *before*; return whom this concerns."""
        for key in before.rejected:
            self._rejections[key].pop(before.source, None)
            if not self._rejections[key]:
                del self._rejections[key]
        for key in after.rejected:
            if key.kind == _KIND:
                self._rejections[key][after.source] = _Rejection(
                    _reason(key, after), after.revision
                )
        return set(before.rejected | after.rejected)

    def restate(self, key: ObjectKey, document: Document | None) -> bool:
        """Bring the status of the policy *key* up to date; return if it is another."""
        before = self._statuses.pop(key, None)
        after = self._state(key, document)
        if after is not None:
            self._statuses[key] = after
        return before != after

    def _state(self, key: ObjectKey, document: Document | None) -> PolicyStatus | None:
        rejections = [each for _, each in sorted(self._rejections.get(key, {}).items())]
        rejection = "; ".join(each.reason for each in rejections)
        revision = next((one.revision for one in rejections if one.revision), None)
        if document is None:
            return _never_accepted(key, rejection, revision) if rejection else None
        if not isinstance(document.body, TrafficPolicy):
            return None
        targets = []
        for position, target in enumerate(document.body.spec.target_refs):
            conditions = self._conditions(key, position, target)
            if rejection:
                text = f"{rejection}; the last accepted version is in force"
                conditions = _replace_accepted(conditions, _rejected(text))
            targets.append(TargetStatus(target=target, conditions=conditions))
        return PolicyStatus(
            key=key,
            targets=tuple(targets),
            revision=revision or document.revision,
        )

    def _conditions(
        self, key: ObjectKey, position: int, target: TargetRef
    ) -> tuple[Condition, ...]:
        verdicts = self._verdicts.get((key, position), {})
        if target.kind is TargetKind.NAMESPACE:
            return gather(verdicts.values())
        verdict = verdicts.get(f"{key.namespace}/{target.name}")
        return verdict.conditions if verdict else ()


def _never_accepted(
    key: ObjectKey, rejection: str, revision: Revision | None
) -> PolicyStatus:
    """Return the status of a policy of which no version is in force."""
    targets = revision.targets if revision else ()
    conditions = (_rejected(rejection),)
    return PolicyStatus(
        key=key,
        targets=tuple(
            TargetStatus(target=target, conditions=conditions)
            for target in targets or (None,)
        ),
        revision=revision,
    )


def _cell(verdict: Verdict) -> _Cell:
    return verdict.policy, verdict.position


def _reason(key: ObjectKey, report: Reported) -> str:
    """Return why *report* rejects *key*: what it says of it, or else of the source."""
    errors = [p for p in report.problems if p.severity is Severity.ERROR]
    own = [p for p in errors if p.object_key == key]
    return "; ".join(": ".join(_words(key, each)) for each in own or errors)


def _words(key: ObjectKey, problem: Problem) -> Iterator[str]:
    """Yield where it is wrong and how; an object of a cluster stands at no place."""
    if (place := str(problem.place)) != str(key):
        yield place
    if problem.path:
        yield problem.path
    yield problem.message


def _rejected(message: str) -> Condition:
    return Condition(
        type=ConditionType.ACCEPTED,
        status=False,
        reason=Reason.INVALID,
        message=message,
    )


def _replace_accepted(
    conditions: Iterable[Condition], accepted: Condition
) -> tuple[Condition, ...]:
    others = (c for c in conditions if c.type is not ConditionType.ACCEPTED)
    return accepted, *others
