"""How much each Envoy sends to a port at once: `circuitBreaker` of a policy.

What exceeds a limit is refused at once, so that a server that is slow does not make its
clients wait, and their memory grow. The limits are each Envoy's own: nobody adds them
up. Envoy takes a limit of 0, by which it refuses everything, or nothing.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from pydantic import Field

from xds_server.api.field import LARGEST_COUNT
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.schema import FORBIDDEN, Rule

_ONE_OF_TWO = "not allowed with retryBudget, beside which Envoy ignores it"


class RetryBudget(Model):
    """So many retries at once as belong to the traffic that there is."""

    percent: float = Field(default=20, gt=0, le=100)
    """Retries that may be in flight, in percent of all requests that are."""
    min_retry_concurrency: int = Field(default=3, ge=0, le=LARGEST_COUNT)
    """So many retries are allowed however few requests there are."""


class EndpointLimits(Model):
    """Limits of one endpoint, whatever the others have."""

    max_connections: int = Field(ge=1, le=LARGEST_COUNT)
    """Connections to one endpoint at once; above it requests wait for one of these."""


class CircuitBreaker(Model):
    """Limits of a port, and of each of its endpoints."""

    told_apart = frozenset({"maxRequests", "maxRetries"})
    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="!has(self.maxRetries) || !has(self.retryBudget)",
            message=_ONE_OF_TWO,
            at="maxRetries",
            reason=FORBIDDEN,
        ),
    )

    max_connections: int = Field(default=1024, ge=1, le=LARGEST_COUNT)
    """Connections to all endpoints at once; above it requests of HTTP/1 wait for one of
    these, and connections of TCP are refused."""
    max_pending_requests: int = Field(default=1024, ge=1, le=LARGEST_COUNT)
    """Requests (of TCP: connections) that wait for a connection at once; above it they
    are refused."""
    max_requests: int = Field(default=1024, ge=1, le=LARGEST_COUNT)
    """Requests in flight at once; above it they are refused (HTTP only)."""
    max_retries: int = Field(default=3, ge=0, le=LARGEST_COUNT)
    """Retries in flight at once; above it a request that failed is not tried again
    (HTTP only); not with `retryBudget`."""
    retry_budget: RetryBudget | None = None
    """In place of `maxRetries`: a limit that grows with the traffic (HTTP only)."""
    per_endpoint: EndpointLimits | None = None
    """Limits of each endpoint by itself."""

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse a limit of retries that another one replaces."""
        if {"maxRetries", "retryBudget"} <= given.keys():
            yield Fault(
                path=("maxRetries",),
                message=_ONE_OF_TWO,
                hint="write minRetryConcurrency of retryBudget instead",
                at_key=True,
            )
