"""What clients that are connected do otherwise than a policy says.

The status of a policy and the Services that there are in; the same status with one more
warning out, if what some clients do differs where the policy is in force.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from xds_server.api.policy import TargetKind, TargetRef
from xds_server.api.problem import ObjectKey
from xds_server.mesh.model import Section, Service, Upstream
from xds_server.mesh.service import ServiceName
from xds_server.mesh.status import (
    Condition,
    ConditionType,
    PolicyStatus,
    Reason,
    TargetStatus,
)

Differences = Callable[[Section, Upstream], Iterable[str]]
"""Says what of a section clients do otherwise, in sentences."""


def remark(
    status: PolicyStatus,
    services: Mapping[ServiceName, Service],
    who: str,
    differences: Differences,
) -> PolicyStatus:
    """Return *status* with what *who* do otherwise among its warnings."""

    def told(target: TargetStatus) -> TargetStatus:
        if target.target is None:
            return target
        found = dict.fromkeys(
            sentence
            for section, upstream in _in_force(status.key, target.target, services)
            for sentence in differences(section, upstream)
        )
        return _warned(target, f"{who}: {'; '.join(found)}") if found else target

    return replace(status, targets=tuple(map(told, status.targets)))


def _warned(status: TargetStatus, text: str) -> TargetStatus:
    earlier = [c for c in status.conditions if c.type is ConditionType.WARNINGS]
    others = [c for c in status.conditions if c.type is not ConditionType.WARNINGS]
    warnings = Condition(
        type=ConditionType.WARNINGS,
        status=True,
        reason=Reason.WARNINGS,
        message="; ".join([*(condition.message for condition in earlier), text]),
    )
    return replace(status, conditions=(*others, warnings))


def _targeted(
    policy: ObjectKey, target: TargetRef, services: Mapping[ServiceName, Service]
) -> Iterable[Service]:
    """Return the Services that *policy* may be in force at by this target.

    Of the root namespace it may be at any.
    """
    if target.kind is TargetKind.NAMESPACE:
        return services.values()
    found = services.get((policy.namespace, target.name))
    return () if found is None else (found,)


def _in_force(
    policy: ObjectKey, target: TargetRef, services: Mapping[ServiceName, Service]
) -> Iterator[tuple[Section, Upstream]]:
    """Yield the sections of *policy* that are in force by this target, and where."""
    wanted = target.section_name
    for upstream in (
        each
        for service in _targeted(policy, target, services)
        for one in service.upstreams
        for each in (one, *(variant.upstream for variant in one.variants))
    ):
        port = upstream.port
        if wanted in (None, port.name or str(port.number)):
            for origin in upstream.origins:
                if origin.key == policy:
                    yield origin.section, upstream
