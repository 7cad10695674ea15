"""What a source tells the mesh: the only thing that crosses from sources."""

from collections.abc import Mapping
from dataclasses import dataclass

from xds_server.api.document import Document, Revision
from xds_server.api.problem import ObjectKey, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """This is now the good version of a document."""

    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """The object is gone."""

    key: ObjectKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """All that is wrong at one place (a file), replacing what was said of it before.

    `rejected` names the objects whose newest version is invalid. What was applied of
    them before stays in force; the problems tell why. `revision` is that of a rejected
    version, where an API server told of it.
    """

    source: str
    problems: tuple[Problem, ...]
    rejected: frozenset[ObjectKey] = frozenset()
    revision: Revision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The source has said all that there was when it started."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The control loop has found these weights for the endpoints of one port.

    `weights` are by `IP:port`, at least 1 each; they replace those of before, and none
    means that nothing is known any more. They count where a policy says so.
    """

    service: tuple[str, str]
    port: int
    weights: Mapping[str, int]


Event = Applied | Deleted | Reported | Listed | Weighed
