"""The status of a policy as it stands in Kubernetes: ancestors and their conditions.

Values, as GEP-713 has them; when a condition became what it is; and what is the same
but for counts. What they say is made in `survey`.
"""

from typing import Final

import msgspec

CONTROLLER: Final = "traffic.xds-server.dev/controller"
PROGRAMMED: Final = "Programmed"
DISTRIBUTED: Final = "Distributed"


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A `metav1.Condition`; `last_transition_time` is empty until it is `stamped`."""

    type: str
    status: str
    observed_generation: int = 0
    last_transition_time: str = ""
    reason: str
    message: str = ""


class AncestorRef(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """A target, with its namespace. Of one that cannot be read it is the namespace."""

    group: str
    kind: str
    namespace: str
    name: str
    section_name: str | None = None


class Ancestor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a policy at one target, and who says so."""

    ancestor_ref: AncestorRef
    controller_name: str = CONTROLLER
    conditions: tuple[Condition, ...]


Ancestors = tuple[Ancestor, ...]


def stamped(before: Ancestors, after: Ancestors, now: str) -> Ancestors:
    """Return *after* with the times of its transitions.

    A condition that has the status that it had *before* keeps its time, however its
    reason and message changed; the others have become what they are *now*.
    """
    times = {
        (ancestor.ancestor_ref, each.type, each.status): each.last_transition_time
        for ancestor in before
        for each in ancestor.conditions
    }
    return tuple(
        msgspec.structs.replace(
            ancestor,
            conditions=tuple(
                msgspec.structs.replace(
                    each,
                    last_transition_time=times.get(
                        (ancestor.ancestor_ref, each.type, each.status), now
                    ),
                )
                for each in ancestor.conditions
            ),
        )
        for ancestor in after
    )


def differs_in_counts_alone(one: Ancestors, other: Ancestors) -> bool:
    """Whether two statuses, of which one may be newer, say the same but for counts."""
    return one != other and _without_counts(one) == _without_counts(other)


def _without_counts(ancestors: Ancestors) -> Ancestors:
    return tuple(
        msgspec.structs.replace(
            each,
            conditions=tuple(c for c in each.conditions if c.type != DISTRIBUTED),
        )
        for each in ancestors
    )
