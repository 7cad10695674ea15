"""What became of each policy, in the words of Kubernetes conditions.

One status a policy, one entry a target. Values only; the index makes them.
"""

from dataclasses import dataclass
from enum import StrEnum

from xds_server.api.document import Revision
from xds_server.api.policy import TargetRef
from xds_server.api.problem import ObjectKey


class ConditionType(StrEnum):
    """What a condition tells about a policy at a target (GEP-713).

    `Conflicted`, `Incompatible`, `Overridden` and `Warnings` appear only where they are
    true.
    """

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    CONFLICTED = "Conflicted"
    INCOMPATIBLE = "Incompatible"
    OVERRIDDEN = "Overridden"
    WARNINGS = "Warnings"


class Reason(StrEnum):
    """Why a condition is as it is."""

    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    TARGET_NOT_FOUND = "TargetNotFound"
    CONFLICTED = "Conflicted"
    INCOMPATIBLE = "Incompatible"
    RESOLVED_REFS = "ResolvedRefs"
    OVERRIDDEN = "Overridden"
    WARNINGS = "Warnings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One fact: `type` holds or not, why, and the same for people."""

    type: ConditionType
    status: bool
    reason: Reason
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """What became of a policy at one target.

    `target` is unset for a policy that was never accepted: what it targets is unknown.
    """

    target: TargetRef | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatus:
    """What became of a policy, at every target in the order of its `targetRefs`.

    `revision` is the newest version that an API server told of, in force or not.
    """

    key: ObjectKey
    targets: tuple[TargetStatus, ...]
    revision: Revision | None = None

    @property
    def accepted(self) -> bool:
        """Whether the policy's newest version is in force at every target."""
        return all(
            condition.status
            for target in self.targets
            for condition in target.conditions
            if condition.type is ConditionType.ACCEPTED
        )
