"""How each Envoy finds out which endpoints answer: `healthCheck` of a policy.

One block a type; after validation the block named like `type` is there, with its
defaults, and no other. Envoy takes most of what is wrong here without a word
(thresholds of 0, a timeout above the interval, a path without `/`), refuses the whole
cluster for some, and one value ends its process: a check over HTTP/3.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from xds_server.api.duration import format_duration, parse_duration
from xds_server.api.field import (
    LARGEST_PORT,
    LONGEST,
    Authority,
    Choice,
    Duration,
    GrpcService,
    RequestPath,
    complain,
)
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.schema import Rule, form
from xds_server.api.typed_block import (
    block_faults,
    block_rules,
    needed_faults,
    needed_rule,
)
from xds_server.api.wording import got

_STATUS: Final = re.compile(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?")
_STATUS_FORM: Final = f"^{_STATUS.pattern}$".replace("(?:", "(")
_LONGEST_STATUS: Final = len("100-199")
_BYTES_FORM: Final = "^([0-9A-Fa-f][0-9A-Fa-f])+$"
_MOST_DIGITS: Final = 2048
_INTERVAL: Final = timedelta(seconds=10)
_TIMEOUT: Final = timedelta(seconds=1)


class HealthCheckType(Choice):
    """What is sent to an endpoint to see whether it answers."""

    HTTP = "HTTP"
    GRPC = "GRPC"
    TCP = "TCP"


class CheckMethod(Choice):
    """The methods of a request that checks an endpoint; CONNECT is none."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"
    OPTIONS = "OPTIONS"
    TRACE = "TRACE"
    PATCH = "PATCH"


class Codec(Choice):
    """The versions of HTTP that an endpoint may be checked over."""

    HTTP1 = "HTTP1"
    HTTP2 = "HTTP2"


def status_range(text: str) -> tuple[int, int] | None:
    """Read `200` or `200-299` as the first and the last status; None if it is none."""
    match = _STATUS.fullmatch(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return (first, last) if first <= last else None


def _statuses(text: str) -> str:
    if status_range(text) is None:
        complain(
            f"must be a status of 100 to 599, or a range such as 200-299{got(text)}"
        )
    return text


def _bytes(text: str) -> str:
    if not re.fullmatch(_BYTES_FORM, text) or len(text) > _MOST_DIGITS:
        complain(
            f"must be bytes as pairs of hexadecimal digits, at most 1024{got(text)}",
            hint='"50494e47" is PING',
        )
    return text.lower()


Statuses = Annotated[
    str,
    AfterValidator(_statuses),
    form(
        pattern=_STATUS_FORM,
        most=_LONGEST_STATUS,
        rules=[
            Rule(
                holds=f"size(self) != {_LONGEST_STATUS}"
                " || self.substring(0, 3) <= self.substring(4, 7)",
                message="must be a status of 100 to 599, or a range such as 200-299",
            )
        ],
    ),
]
"""One status, or the first and the last of several."""

HexBytes = Annotated[
    str, AfterValidator(_bytes), form(pattern=_BYTES_FORM, most=_MOST_DIGITS)
]
"""Two hexadecimal digits a byte; lower-cased."""


class HttpCheck(Model):
    """A request, and the statuses of answers that count as healthy."""

    path: RequestPath
    """What is requested; a query may follow."""
    host: Authority | None = None
    """The request's Host; left out: `SERVICE.NAMESPACE`, or the endpoint's own name
    where it is one that DNS finds."""
    method: CheckMethod = CheckMethod.GET
    """The request's: `GET`, `HEAD`, `POST`, `PUT`, `DELETE`, `OPTIONS`, `TRACE` or
    `PATCH`, without a body."""
    expected_statuses: tuple[Statuses, ...] = Field(
        default=("200",), min_length=1, max_length=16
    )
    """The statuses that are healthy, as text: `"204"`, or `"200-299"` with both
    ends."""
    codec: Codec | None = None
    """`HTTP1` or `HTTP2`; left out: what the port speaks, and HTTP1 where that is
    TCP."""


class GrpcCheck(Model):
    """The gRPC health checking protocol: a server says how a service of its is."""

    service: GrpcService = ""
    """The gRPC service to ask for; empty: the server as a whole."""
    authority: Authority | None = None
    """The request's `:authority`; left out: as `http.host`."""


class TcpCheck(Model):
    """A connection, and maybe bytes that are sent and must come back."""

    send: HexBytes | None = None
    """What is sent, as hexadecimal digits; left out: nothing, and to be connected is to
    be healthy."""
    receive: tuple[HexBytes, ...] = Field(default=(), max_length=16)
    """What must come, in this order, with anything in between; as hexadecimal
    digits."""


_BLOCKS: Final = {
    HealthCheckType.HTTP: "http",
    HealthCheckType.GRPC: "grpc",
    HealthCheckType.TCP: "tcp",
}
_IN_HTTP: Final = "a path"


class HealthCheck(Model):
    """How often an endpoint is asked, by what, and how many answers decide."""

    told_apart = frozenset({"noTrafficInterval", "timeout"})
    served_rules: ClassVar[tuple[Rule, ...]] = (
        *block_rules(_BLOCKS),
        needed_rule(HealthCheckType.HTTP, "http", _IN_HTTP),
        Rule(
            holds="!has(self.timeout) || duration(self.timeout) <= "
            "duration(self.interval)",
            message="must be <= interval",
            at="timeout",
        ),
    )

    type: HealthCheckType
    """`HTTP`: a request, `GRPC`: the gRPC health protocol, or `TCP`: a connection."""
    interval: Duration = _INTERVAL
    """How long from one check of an endpoint to the next."""
    timeout: Duration = _TIMEOUT
    """How long an answer may take; not above `interval`, which lowers the default."""
    unhealthy_threshold: int = Field(default=3, ge=1, le=100)
    """So many failed checks in a row take an endpoint out; a gRPC answer that is not
    `SERVING` does at once."""
    healthy_threshold: int = Field(default=2, ge=1, le=100)
    """So many good checks in a row take it in again; of a new endpoint one is
    enough."""
    jitter_percent: int = Field(default=10, ge=0, le=100)
    """How much longer an interval may be, at random, so that checks spread."""
    no_traffic_interval: Duration = _INTERVAL
    """The interval where an Envoy has never sent the port any traffic; the first
    request ends it with the check after; left out: that of `interval`."""
    port: int | None = Field(default=None, ge=1, le=LARGEST_PORT)
    """Where an endpoint is checked; left out: where it serves."""
    http: HttpCheck | None = None
    """Only with type HTTP: what is requested, and what is healthy."""
    grpc: GrpcCheck | None = None
    """Only with type GRPC: what is asked for."""
    tcp: TcpCheck | None = None
    """Only with type TCP: what is sent, and must come back."""

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse the blocks of other types, and ask for the one that must be there."""
        kind = HealthCheckType.parse_or_none(given.get("type"))
        if kind is None:
            return
        yield from block_faults(_BLOCKS, kind, given, found=kind)
        if kind is HealthCheckType.HTTP:
            hint = "http: {path: /healthz}"
            yield from needed_faults(kind, "http", _IN_HTTP, given, hint=hint)

    @classmethod
    def filled(cls, given: dict[str, object]) -> dict[str, object]:
        """Give the type its block, and what goes by the interval its value."""
        filled = dict(given)
        kind = HealthCheckType.parse_or_none(given.get("type"))
        if kind in (HealthCheckType.GRPC, HealthCheckType.TCP):
            filled.setdefault(_BLOCKS[kind], {})
        interval = given.get("interval")
        if isinstance(interval, str):
            interval = parse_duration(interval)
        if isinstance(interval, timedelta) and timedelta(0) < interval <= LONGEST:
            filled.setdefault("timeout", min(interval, _TIMEOUT))
            filled.setdefault("noTrafficInterval", interval)
        return filled

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a timeout above the interval."""
        if self.timeout > self.interval:
            found = f"{format_duration(self.timeout)} > "
            found += format_duration(self.interval)
            yield Fault(
                path=("timeout",),
                message=f"must be <= interval (got {found})",
                hint="raise interval, or leave timeout out",
            )
