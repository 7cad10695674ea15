"""How each Envoy spares a Service that fails: `admissionControl` of a policy.

The more requests fail, the more are refused before they are sent, at random. Envoy
takes windows that it rounds down to nothing, and ranges of statuses that are empty.
"""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from xds_server.api.field import LARGEST_COUNT, Seconds
from xds_server.api.health_check import Statuses
from xds_server.api.model import Model

_SHORTEST = timedelta(seconds=1)
_LONGEST = timedelta(hours=1)


class AdmissionControl(Model):
    """When requests are refused, which ones count as failed, and how far it goes."""

    success_rate_threshold: float = Field(default=95, ge=1, le=100)
    """So many percent of requests must succeed, or some are refused."""
    sampling_window: Annotated[Seconds, Field(ge=_SHORTEST, le=_LONGEST)] = timedelta(
        seconds=30
    )
    """How far back requests count, in whole seconds."""
    rps_threshold: int = Field(default=1, ge=0, le=LARGEST_COUNT)
    """Where fewer requests a second were sent in the window, none is refused."""
    aggression: float = Field(default=1.0, ge=1, le=100)
    """Above 1: more are refused where few fail."""
    max_rejection_percent: float = Field(default=80, gt=0, le=100)
    """So many percent of requests are refused at most: the others find out whether the
    Service is well again."""
    success_statuses: tuple[Statuses, ...] = Field(
        default=("100-499",), min_length=1, max_length=16
    )
    """The statuses that are successes, as text: `"404"`, or `"200-299"` with both ends;
    gRPC's are Envoy's."""
