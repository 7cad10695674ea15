"""How many requests each Envoy lets through to a Service: `rateLimit` of a policy.

A bucket of tokens, of which each request takes one. Envoy fills it evenly, and asks for
at least 50 ms; an empty one that nothing fills would refuse everything.
"""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from xds_server.api.field import LARGEST_COUNT, LONGEST, Duration
from xds_server.api.model import Model

SHORTEST_FILL = timedelta(milliseconds=50)


class RateLimit(Model):
    """How fast requests may come, in the long run and at once."""

    requests: int = Field(ge=1, le=LARGEST_COUNT)
    """So many requests in each time of `per`; what exceeds that is answered with
    429."""
    per: Annotated[Duration, Field(ge=SHORTEST_FILL, le=LONGEST)] = timedelta(seconds=1)
    """The time that `requests` are for."""
    burst: int | None = Field(default=None, ge=1, le=LARGEST_COUNT)
    """So many requests at once after a time without any; left out: as many as
    `requests`."""
