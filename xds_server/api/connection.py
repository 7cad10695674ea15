"""How each Envoy keeps its connections to endpoints: `connection` of a policy.

Envoy takes a limit of 0 for most of this and then does what nobody meant, and values
that the kernel refuses, so that no connection is made at all.
"""

from datetime import timedelta

from pydantic import Field

from xds_server.api.field import (
    LARGEST_COUNT,
    LONGEST,
    SHORTEST,
    Choice,
    Duration,
    Seconds,
    TimeLimit,
)
from xds_server.api.model import Model

_SECOND = timedelta(seconds=1)
_LONGEST_KEEPALIVE = timedelta(seconds=32767)
_MOST_PROBES = 127
_MOST_STREAMS = 2_147_483_647


class SpokenProtocol(Choice):
    """What an Envoy speaks with the endpoints, whatever its client speaks."""

    HTTP1 = "HTTP1"
    HTTP2 = "HTTP2"
    SAME = "Same"
    AUTO = "Auto"


class ProxyProtocol(Choice):
    """A version of the header that says whose connection is passed on."""

    V1 = "V1"
    V2 = "V2"


class Http2Keepalive(Model):
    """Pings by which a connection that leads nowhere is noticed."""

    interval: Duration
    """How long from one ping to the next."""
    timeout: Duration
    """How long an answer may take before the connection is closed."""


class Http2Connection(Model):
    """What is particular to connections of HTTP/2."""

    max_concurrent_streams: int | None = Field(default=None, ge=1, le=_MOST_STREAMS)
    """Requests at once on one connection; above it another one is opened; left out:
    1024, or what the endpoint allows."""
    keepalive: Http2Keepalive | None = None
    """Pings; left out: none."""


class TcpKeepalive(Model):
    """The kernel's probes of a connection on which nothing moves."""

    probes: int | None = Field(default=None, ge=1, le=_MOST_PROBES)
    """So many without an answer end the connection; left out: the kernel's."""
    time: Seconds | None = Field(default=None, ge=_SECOND, le=_LONGEST_KEEPALIVE)
    """How long nothing moves before the first, in whole seconds; left out: the
    kernel's."""
    interval: Seconds | None = Field(default=None, ge=_SECOND, le=_LONGEST_KEEPALIVE)
    """How long from one probe to the next, in whole seconds; left out: the kernel's."""


class Connection(Model):
    """How connections are made, what is spoken on them, and how long they last."""

    connect_timeout: Duration = timedelta(seconds=5)
    """How long it may take to connect to an endpoint."""
    protocol: SpokenProtocol | None = None
    """`HTTP1`, `HTTP2`, `Same`: what the client speaks, or `Auto`: the best that an
    endpoint offers, which takes `tls`; left out: what the port says (HTTP only)."""
    idle_timeout: TimeLimit | None = Field(default=None, ge=timedelta(0), le=LONGEST)
    """How long a connection without requests is kept; `0s`: for good; left out: 4s, and
    1h for HTTP/2 (HTTP only)."""
    max_connection_duration: Duration | None = Field(
        default=None, ge=SHORTEST, le=LONGEST
    )
    """How long a connection is used; left out: as long as it lasts (HTTP only)."""
    max_requests_per_connection: int | None = Field(
        default=None, ge=1, le=LARGEST_COUNT
    )
    """So many requests, then another connection; left out: any number (HTTP only)."""
    http2: Http2Connection | None = None
    """Where HTTP/2 is spoken with the endpoints."""
    tcp_keepalive: TcpKeepalive | None = None
    """Where written, the kernel probes connections; left out: it does not."""
    proxy_protocol: ProxyProtocol | None = None
    """Where written, each connection begins with the address of the Envoy's client:
    `V1`, a line of text, or `V2`, in binary; left out: it does not."""
    buffer_limit_bytes: int | None = Field(default=None, ge=1, le=LARGEST_COUNT)
    """How much of a connection's data is kept before its reader is awaited; left out:
    1 MiB."""
