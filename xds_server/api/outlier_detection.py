"""How each Envoy takes out endpoints that answer badly: `outlierDetection` of a policy.

It looks at the traffic itself and asks nobody. What is written is what ejects: Envoy's
own detector of success rates is on where nobody asked for it, and here it is off.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import ClassVar, Final

from pydantic import Field

from xds_server.api.duration import format_duration, parse_duration
from xds_server.api.field import LARGEST_COUNT, LONGEST, Duration
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.schema import Rule

_BASE: Final = timedelta(seconds=30)
_MOST: Final = timedelta(seconds=300)
_OPTIONAL: Final = (
    "consecutiveGatewayErrors",
    "consecutiveLocalErrors",
    "successRate",
    "failurePercentage",
)
_NOTHING: Final = "nothing ejects: consecutive5xx is 0, and there is no other detector"
_HIDDEN: Final = "must be below consecutive5xx, which counts these too"


class SuccessRate(Model):
    """An endpoint that succeeds much less often than the others is an outlier."""

    minimum_hosts: int = Field(default=5, ge=1, le=LARGEST_COUNT)
    """So many endpoints must have had `requestVolume`; else none is judged."""
    request_volume: int = Field(default=100, ge=1, le=LARGEST_COUNT)
    """So many requests in one `interval` make an endpoint count."""
    stdev_factor: float = Field(default=1.9, ge=0.1, le=10)
    """An outlier is below mean - factor * standard deviation of all rates; of n
    endpoints one is at most the root of n - 1 deviations away."""


class FailurePercentage(Model):
    """An endpoint that fails too large a part of its requests is an outlier."""

    threshold: int = Field(default=85, ge=1, le=100)
    """So many percent of failed requests in one `interval` eject."""
    minimum_hosts: int = Field(default=5, ge=1, le=LARGEST_COUNT)
    """So many endpoints must have had `requestVolume`; else none is judged."""
    request_volume: int = Field(default=50, ge=1, le=LARGEST_COUNT)
    """So many requests in one `interval` make an endpoint count."""


class OutlierDetection(Model):
    """What makes an endpoint an outlier, and how long it is out."""

    told_apart = frozenset({"maxEjectionTime"})
    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="!has(self.maxEjectionTime) || duration(self.maxEjectionTime) >= "
            "duration(self.baseEjectionTime)",
            message="must be >= baseEjectionTime",
            at="maxEjectionTime",
        ),
        Rule(
            holds="self.consecutive5xx > 0"
            + "".join(f" || has(self.{name})" for name in _OPTIONAL),
            message=_NOTHING,
            at="consecutive5xx",
        ),
        Rule(
            holds="self.consecutive5xx == 0 || !has(self.consecutiveGatewayErrors) || "
            "self.consecutiveGatewayErrors < self.consecutive5xx",
            message=_HIDDEN,
            at="consecutiveGatewayErrors",
        ),
        Rule(
            holds="self.alwaysEjectOne || self.maxEjectionPercent > 0",
            message="must be above 0 with alwaysEjectOne: false",
            at="maxEjectionPercent",
        ),
    )

    consecutive_5xx: int = Field(
        default=5, ge=0, le=LARGEST_COUNT, alias="consecutive5xx"
    )
    """So many answers of 500 to 599 in a row eject, and failures to connect among them;
    `0`: they do not."""
    consecutive_gateway_errors: int | None = Field(default=None, ge=1, le=LARGEST_COUNT)
    """So many answers of 502, 503 or 504 in a row eject; below `consecutive5xx`, which
    counts them too."""
    consecutive_local_errors: int | None = Field(default=None, ge=1, le=LARGEST_COUNT)
    """So many failures to connect, to keep a connection or to answer in time in a row
    eject; they are then no 5xx any more, and have rates of their own."""
    success_rate: SuccessRate | None = None
    """Where written: endpoints are compared with each other."""
    failure_percentage: FailurePercentage | None = None
    """Where written: the part of requests that may fail is fixed."""
    interval: Duration = timedelta(seconds=10)
    """How often rates are computed, and those whose time is over let in again."""
    base_ejection_time: Duration = _BASE
    """How long an endpoint is out the first time; the second time twice as long, and so
    on, less again with each `interval` that it is well."""
    max_ejection_time: Duration = _MOST
    """The longest that an endpoint is out; not below `baseEjectionTime`, which raises
    the default."""
    max_ejection_percent: int = Field(default=10, ge=0, le=100)
    """So much of the endpoints may be out at once."""
    always_eject_one: bool = True
    """Whether one may be out whatever `maxEjectionPercent` says: of fewer than 10
    endpoints, one is more than 10 %."""

    @classmethod
    def filled(cls, given: dict[str, object]) -> dict[str, object]:
        """Raise the longest time where the first one is longer."""
        base = given.get("baseEjectionTime")
        if isinstance(base, str):
            base = parse_duration(base)
        if isinstance(base, timedelta) and _MOST < base <= LONGEST:
            return {"maxEjectionTime": base, **given}
        return given

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse a section without any detector."""
        written = given.get("consecutive5xx")
        is_off = type(written) is int and written == 0
        if is_off and given.keys().isdisjoint(_OPTIONAL):
            hint = f"write one of {', '.join(_OPTIONAL)}, or leave the section out"
            yield Fault(path=("consecutive5xx",), message=_NOTHING, hint=hint)

    def value_faults(self) -> Iterable[Fault]:
        """Refuse what another value makes impossible."""
        if self.max_ejection_time < self.base_ejection_time:
            found = f"{format_duration(self.max_ejection_time)} < "
            found += format_duration(self.base_ejection_time)
            yield Fault(
                path=("maxEjectionTime",),
                message=f"must be >= baseEjectionTime (got {found})",
                hint="lower baseEjectionTime, or leave maxEjectionTime out",
            )
        gateway, any_5xx = self.consecutive_gateway_errors, self.consecutive_5xx
        if gateway is not None and 0 < any_5xx <= gateway:
            yield Fault(
                path=("consecutiveGatewayErrors",),
                message=f"{_HIDDEN} (got {gateway} >= {any_5xx})",
                hint="consecutive5xx: 0 counts gateway errors alone",
            )
        if not self.always_eject_one and self.max_ejection_percent == 0:
            yield Fault(
                path=("maxEjectionPercent",),
                message="must be above 0 with alwaysEjectOne: false (got 0)",
                hint="nothing could be ejected",
            )
