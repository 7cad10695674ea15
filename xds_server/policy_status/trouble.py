"""What keeps statuses from being written: each named once, until it is solved."""

from enum import StrEnum
from typing import Final

import structlog

from xds_server.api.policy import API_VERSION
from xds_server.api.problem import Place, Problem, Severity
from xds_server.sources.kube_api import KubeError

_FORBIDDEN: Final = 403

logger = structlog.get_logger(__name__)


class Topic(StrEnum):
    """What may fail, as a sentence goes on: cannot ..."""

    STATUSES = "write statuses of policies"
    EVENTS = "write events of policies"
    ELECTION = "elect who writes statuses and computes weights"
    COUNTS = "say in one Lease how far policies have come"
    REPORT = "tell other replicas how far policies have come"
    ROLL = "hear from other replicas how far policies have come"
    LOAD = "tell other replicas of load and weights"
    WEIGHTS = "hear from other replicas of load and weights"


_GROUP: Final = API_VERSION.partition("/")[0]
_LEASES: Final = 'on leases of apiGroup "coordination.k8s.io"'
_PERMISSIONS: Final = {
    Topic.STATUSES: f'patch on trafficpolicies/status of apiGroup "{_GROUP}"',
    Topic.EVENTS: 'create on events of apiGroup "events.k8s.io"',
    Topic.ELECTION: f"get, create and patch {_LEASES}",
    Topic.REPORT: f"create, patch and delete {_LEASES}",
    Topic.ROLL: f"list, watch and delete {_LEASES}",
    Topic.LOAD: f"create, patch and delete {_LEASES}",
    Topic.WEIGHTS: f"list, watch and delete {_LEASES}",
}


class Troubles:
    """The problems there are, by topic."""

    def __init__(self) -> None:
        self._problems: dict[Topic, Problem] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is not as it should be."""
        return tuple(self._problems.values())

    def note(self, topic: Topic, error: Exception) -> None:
        """Note what went wrong, and name it if that is news."""
        problem = _problem(topic, error)
        known = self._problems.get(topic)
        self._problems[topic] = problem
        if known is None or known.hint != problem.hint:
            logger.warning("problem", message=problem.message, hint=problem.hint)

    def solve(self, topic: Topic) -> None:
        """Forget what went wrong: it does no more."""
        problem = self._problems.pop(topic, None)
        if problem is not None:
            logger.info("problem solved", message=problem.message)

    def judge(self, topic: Topic, error: Exception | None) -> None:
        """Note an error, or that there is none any more."""
        if error is None:
            self.solve(topic)
        else:
            self.note(topic, error)


def _problem(topic: Topic, error: Exception) -> Problem:
    """Say what cannot be done, why, and how to mend it."""
    is_final = topic in (Topic.EVENTS, Topic.COUNTS)
    hint = None if is_final else "it is tried again"
    if isinstance(error, KubeError) and error.status == _FORBIDDEN:
        hint = f"grant {_PERMISSIONS[topic]}"
    return Problem(
        place=Place("kubernetes"),
        message=f"cannot {topic}: {error}",
        hint=hint,
        severity=Severity.WARNING,
    )
