"""How weighed ports stand, for people: values at one moment, for `/status` and metrics.

Also what is told of each push, to whoever logs and counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from xds_server.control.controller import Reason
from xds_server.control.observation import EndpointSums
from xds_server.control.port_loop import PortLoop, Terms

PortKey = tuple[str, str, int]
"""Namespace, Service and port number."""


class Cause(StrEnum):
    """Why weights are pushed."""

    REPORTS = "reports"
    """The loads of a period asked for it."""
    ENDPOINTS = "endpoints"
    """Endpoints came or went, or a policy gave them other base weights."""
    SAVED = "saved"
    """They are those from before the restart."""
    KEPT = "kept"
    """They are what the traffic shows of clients that kept theirs over the restart."""
    LEADER = "leader"
    """They are those of the replica that computes them for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStanding:
    """One endpoint, `IP:port`.

    Of the last period with reports: `rate` in answers a second, `latency` the mean
    seconds to the first byte of an answer (None without answers, or where applications
    report other metrics), `errors` the part of answers that failed. `load` is in
    requests in progress, for each unit of `base`, or the level of a metric;
    `error_factor` what errors leave of the weight; `evidence_age` the seconds since
    something was last known of the load; `reason` why the weight is what it is, None
    before the first step.
    """

    address: str
    weight: int
    base: int
    share: float
    rate: float
    latency: float | None
    errors: float
    load: float | None
    error_factor: float
    evidence_age: float | None
    reason: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortStanding:
    """One port of a Service; times are in seconds.

    `reporters` are the clients that report on it; the ages are None where there was no
    report, or no push, since the start.
    """

    namespace: str
    service: str
    port: int
    period: float
    reporters: int
    report_age: float | None
    push_age: float | None
    pushes: int
    endpoints: tuple[EndpointStanding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """New weights of a port: clients are about to have them.

    `before` are those that they replace, and may be of other endpoints; `reasons` those
    of the endpoints whose weights are others now, where a step was made.
    """

    namespace: str
    service: str
    port: int
    cause: Cause
    before: Mapping[str, int]
    weights: Mapping[str, int]
    reasons: Mapping[str, Reason]


class PushObserver(Protocol):
    """Hears of pushes; must be quick and must not raise."""

    def on_push(self, push: Push) -> None:
        """Hear of new weights."""
        ...


def standing_of(
    loop: PortLoop, key: PortKey, *, pushes: int, pushed_at: float | None, now: float
) -> PortStanding:
    """Return how the port *key* stands, of which *loop* is the loop."""
    heard = loop.tally.last_report
    namespace, service, port = key
    total = sum(loop.weights.values()) or 1
    return PortStanding(
        namespace=namespace,
        service=service,
        port=port,
        period=loop.period,
        reporters=loop.tally.reporters,
        report_age=None if heard is None else now - heard,
        push_age=None if pushed_at is None else now - pushed_at,
        pushes=pushes,
        endpoints=tuple(
            _endpoint(loop, address, weight, weight / total)
            for address, weight in sorted(loop.weights.items())
        ),
    )


def _endpoint(
    loop: PortLoop, address: str, weight: int, share: float
) -> EndpointStanding:
    seen, step = loop.seen_of(address), loop.standing_of(address)
    ended = seen.succeeded + seen.failed
    return EndpointStanding(
        address=address,
        weight=weight,
        base=loop.bases.get(address, 1),
        share=share,
        rate=ended / loop.seen.seconds if loop.seen else 0.0,
        latency=_latency(seen, loop.terms),
        errors=seen.failed / ended if ended else 0.0,
        load=None if step is None else step.load,
        error_factor=1.0 if step is None else step.health,
        evidence_age=None if step is None else step.age,
        reason=None if step is None else step.reason,
    )


def _latency(seen: EndpointSums, terms: Terms) -> float | None:
    if terms.metrics or not seen.answers:
        return None
    return seen.load / seen.answers
