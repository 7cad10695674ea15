"""A document that passed: what was said, and where every part of it stands."""

from collections.abc import Callable
from dataclasses import dataclass

from xds_server.api.kubernetes import EndpointSlice, Node, Pod, Service
from xds_server.api.policy import TargetRef, TrafficPolicy
from xds_server.api.problem import FieldPath, ObjectKey, Place, Problem

__all__ = ["Body", "Decoded", "Document", "FieldPath", "Revision"]

Body = TrafficPolicy | Service | EndpointSlice | Pod | Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Which version of an object an API server told of.

    `uid` tells an object from those that had its name before; `generation` counts what
    was asked for, and does not move with the status. `created` is when the object was,
    by the clock of the API server: to the second and in UTC, so that the order of texts
    is that of times. `targets` are those of a policy that can be read, valid or not.
    """

    uid: str
    generation: int = 0
    created: str = ""
    targets: tuple[TargetRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """One valid object.

    `locate(path)` gives the place of the value at a path, or of its nearest parent that
    was written. `revision` is unset for what no API server told.
    """

    key: ObjectKey
    body: Body
    locate: Callable[[FieldPath], Place]
    revision: Revision | None = None

    @property
    def seniority(self) -> tuple[str, ObjectKey]:
        """What to sort by where the oldest goes first, as GEP-713 has it.

        Of the same age the first by name does. What no API server told of has no age,
        and goes before all that has one.
        """
        return (self.revision.created if self.revision else "", self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What one source (a file) said.

    `rejected` names objects that were there but invalid: their last good version stays
    in force. `is_complete` is False where not every object could be made out, as in
    bytes that are no YAML: what is no longer named is then not known to be gone, and
    all that this source said before stays in force. `revision` is that of the one
    object of an API server, valid or not.
    """

    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    rejected: frozenset[ObjectKey] = frozenset()
    is_complete: bool = True
    revision: Revision | None = None
