"""Callers that name the endpoint that gets a request: `overrideHost` of a policy.

For test clients, routers that know more than a balancer, and shards that clients know.
"""

from xds_server.api.field import RequestHeader
from xds_server.api.model import Model


class OverrideHeader(Model):
    """The header in which a caller names an endpoint."""

    name: RequestHeader
    """Of the header; its value is an `ADDRESS:PORT`, or several, separated by commas:
    the first that is an endpoint gets the request, the next its retry."""


class OverrideHost(Model):
    """Where the caller's choice is read."""

    header: OverrideHeader
    """The request header that names an endpoint; without it, or where it names none,
    `loadBalancer` decides."""
