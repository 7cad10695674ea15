"""What each Envoy sends again: `retry` of a policy.

Nothing is sent again unless it is written: whether a request may be sent twice, only
its author knows. Names of conditions are Envoy's. It ignores those that it does not
know, and two that need a list beside them, which is not here.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import Field

from xds_server.api.duration import format_duration, parse_duration
from xds_server.api.field import LONGEST, Choice, Duration
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.schema import Rule, form

_BASE: Final = timedelta(milliseconds=25)
_MOST_BASES: Final = 10


class RetryCondition(Choice):
    """When a request has failed in a way that another try may mend."""

    CONNECT_FAILURE = "connect-failure"
    REFUSED_STREAM = "refused-stream"
    RESET_BEFORE_REQUEST = "reset-before-request"
    RESET = "reset"
    GATEWAY_ERROR = "gateway-error"
    ANY_5XX = "5xx"
    RETRIABLE_4XX = "retriable-4xx"
    RATE_LIMITED = "envoy-ratelimited"
    CANCELLED = "cancelled"
    DEADLINE_EXCEEDED = "deadline-exceeded"
    INTERNAL = "internal"
    RESOURCE_EXHAUSTED = "resource-exhausted"
    UNAVAILABLE = "unavailable"


_SAFE: Final = (
    RetryCondition.CONNECT_FAILURE,
    RetryCondition.REFUSED_STREAM,
    RetryCondition.UNAVAILABLE,
    RetryCondition.RESET_BEFORE_REQUEST,
)


class Backoff(Model):
    """How long to wait before a try: at random, the longer the more there were."""

    told_apart = frozenset({"max"})
    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="!has(self.max) || duration(self.max) >= duration(self.base)",
            message="must be >= base",
            at="max",
        ),
    )

    base: Duration = _BASE
    """At most this before the first new try; about twice as long before each other."""
    max: Duration = _MOST_BASES * _BASE
    """Never longer than this; not below `base`; left out: 10 times that."""

    @classmethod
    def filled(cls, given: dict[str, object]) -> dict[str, object]:
        """Let the longest wait go by the first one."""
        base = given.get("base")
        if isinstance(base, str):
            base = parse_duration(base)
        if isinstance(base, timedelta) and timedelta(0) < base <= LONGEST:
            return {"max": min(_MOST_BASES * base, LONGEST), **given}
        return given

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a longest wait that is below the first one: Envoy does."""
        if self.max < self.base:
            found = f"{format_duration(self.max)} < {format_duration(self.base)}"
            yield Fault(
                path=("max",),
                message=f"must be >= base (got {found})",
                hint="lower base, or leave max out",
            )


class Retry(Model):
    """When, how often and where a request is sent again."""

    later = frozenset({"perTryTimeout"})  # Envoy takes it in a cluster, and ignores it

    attempts: int = Field(default=2, ge=0, le=10)
    """So many new tries at most; `0`: none, whatever a broader policy says."""
    retry_on: Annotated[
        tuple[RetryCondition, ...], form(**{"x-kubernetes-list-type": "set"})
    ] = Field(default=_SAFE, min_length=1, max_length=16)
    """What is tried again: `connect-failure`, `refused-stream`, `reset-before-request`
    (nothing was sent yet), `reset` (no answer), `gateway-error` (502 to 504), `5xx`
    (any of these), `retriable-4xx` (409), `envoy-ratelimited`, or gRPC's `cancelled`,
    `deadline-exceeded`, `internal`, `resource-exhausted`, `unavailable`."""
    backoff: Backoff = Backoff()
    """How long to wait before a new try."""
    avoid_tried_endpoints: bool = True
    """Whether a new try goes to another endpoint, as long as one is found."""

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a condition that is named twice."""
        seen: set[RetryCondition] = set()
        for position, condition in enumerate(self.retry_on):
            if condition in seen:
                message = f"named twice (got {condition} again)"
                yield Fault(path=("retryOn", position), message=message)
            seen.add(condition)
