"""How much of the traffic is turned away at once: `overload` of a policy."""

from pydantic import Field

from xds_server.api.model import Model


class Overload(Model):
    """A part of all requests that endpoints are spared."""

    drop_percent: float = Field(gt=0, le=100)
    """So much of the requests each Envoy answers with 503 by itself, at random; of
    100 % all."""
