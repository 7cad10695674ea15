"""How long endpoints count that nobody confirms: `staleEndpoints` of a policy."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from xds_server.api.field import Duration
from xds_server.api.model import Model


class StaleEndpoints(Model):
    """When an Envoy that does not hear from the server gives all endpoints up."""

    after: Annotated[Duration, Field(ge=timedelta(minutes=1))]
    """How long an Envoy that hears nothing keeps the endpoints that it knows; then it
    has none."""
