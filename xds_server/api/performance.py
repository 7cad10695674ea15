"""What `PerformanceBased` goes by: where performance is known from, and its parameters.

Each source has fields of its own, and some defaults; what another one has is refused.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from xds_server.api.duration import format_duration
from xds_server.api.field import LARGEST_PORT, Choice, Duration, complain
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.schema import FORBIDDEN, Rule, form
from xds_server.api.wording import got


class PerformanceSource(Choice):
    """Where `PerformanceBased` learns what an endpoint can do."""

    CONTROL_PLANE = "ControlPlane"
    ORCA_HEADERS = "OrcaHeaders"
    ORCA_OUT_OF_BAND = "OrcaOutOfBand"


class PerformanceBalance(Choice):
    """What the weights that the control plane computes are given to."""

    LEAST_REQUEST = "LeastRequest"
    ROUND_ROBIN = "RoundRobin"


_METRIC: Final = re.compile(
    r"(cpu|application|mem)_utilization|(named_metrics|utilization)\.[!-~]{1,128}"
)
_NAMES: Final = (
    "cpu_utilization, application_utilization, mem_utilization, named_metrics.KEY, "
    "utilization.KEY"
)


def _metric(text: str) -> str:
    return _known(text, _NAMES)


def _known(text: str, names: str) -> str:
    if not _METRIC.fullmatch(text):
        message = f"must be the name of an ORCA metric{got(text)}"
        complain(message, hint=f"one of {names}")
    return text


MetricName = Annotated[
    str, AfterValidator(_metric), form(pattern=f"^({_METRIC.pattern})$")
]
"""The name of a metric in a report of load (ORCA)."""

POD_CPU: Final = "kubernetes.cpu"
"""The CPU that a Pod uses, for what it requests, by the Kubernetes metrics API."""


def _metric_or_cpu(text: str) -> str:
    return text if text == POD_CPU else _known(text, f"{_NAMES}, {POD_CPU}")


LoadName = Annotated[
    str,
    AfterValidator(_metric_or_cpu),
    form(pattern=f"^({_METRIC.pattern}|{re.escape(POD_CPU)})$"),
]
"""What may be an endpoint's load: a metric that it reports, or `POD_CPU`."""

_OUT_OF_BAND: Final = PerformanceSource.ORCA_OUT_OF_BAND
_ORCA: Final = (PerformanceSource.ORCA_HEADERS, _OUT_OF_BAND)
_CONTROL_PLANE: Final = PerformanceSource.CONTROL_PLANE
_ONLY_WITH: Final[Mapping[str, tuple[PerformanceSource, ...]]] = {
    "balance": (_CONTROL_PLANE,),
    "errorPenalty": _ORCA,
    "blackoutPeriod": _ORCA,
    "expiration": _ORCA,
    "reportPeriod": (_OUT_OF_BAND,),
    "reportPort": (_OUT_OF_BAND,),
}
"""The fields that some sources alone have."""

_SHORTEST_PERIOD: Final = timedelta(seconds=1)
_PERIOD: Final = f"must be >= {format_duration(_SHORTEST_PERIOD)} when source is"
_BY_CPU: Final = f"has(self.metrics) && '{POD_CPU}' in self.metrics"
_CPU_ALONE: Final = f"must have no other entry beside {POD_CPU}"
_CPU_COMPUTED: Final = f"{POD_CPU} is only allowed when source is {_CONTROL_PLANE}"
_ORCA_DEFAULTS: Final[Mapping[str, object]] = {
    "metrics": ("cpu_utilization",),
    "updatePeriod": timedelta(seconds=1),
}


def _only_with(name: str) -> str:
    return f"only allowed when source is {' or '.join(_ONLY_WITH[name])}"


class PerformanceBased(Model):
    """Shares in proportion to what endpoints can do, as it is measured all the time.

    By source ControlPlane the Envoys measure how long answers take, and xds-server
    computes the weights. By the others endpoints report their load to the Envoys (ORCA)
    and an endpoint's weight is rps / (utilization + errorPenalty * errors / rps). It
    counts from `blackout_period` after the first report until `expiration` after the
    last.
    """

    told_apart = frozenset(
        {
            *("balance", "metrics", "updatePeriod"),
            *("errorPenalty", "blackoutPeriod", "expiration", "reportPeriod"),
        }
    )
    served_rules: ClassVar[tuple[Rule, ...]] = (
        *(
            Rule(
                holds=f"self.source in {list(map(str, sources))} || !has(self.{name})",
                message=_only_with(name),
                at=name,
                reason=FORBIDDEN,
            )
            for name, sources in _ONLY_WITH.items()
        ),
        Rule(
            holds=f"self.source != '{_CONTROL_PLANE}' || !has(self.updatePeriod) || "
            f"duration(self.updatePeriod) >= duration('{_SHORTEST_PERIOD.seconds}s')",
            message=f"{_PERIOD} {_CONTROL_PLANE}",
            at="updatePeriod",
        ),
        Rule(
            holds=f"self.source == '{_CONTROL_PLANE}' || !({_BY_CPU})",
            message=_CPU_COMPUTED,
            at="metrics",
            reason=FORBIDDEN,
        ),
        Rule(
            holds=f"!({_BY_CPU}) || size(self.metrics) == 1",
            message=_CPU_ALONE,
            at="metrics",
        ),
    )

    source: PerformanceSource = PerformanceSource.CONTROL_PLANE
    """Where performance is known from; `ControlPlane`: xds-server, from what Envoys
    measure (HTTP only); `OrcaHeaders`: reports in the endpoints' answers (HTTP only);
    `OrcaOutOfBand`: a gRPC stream of reports from each endpoint."""
    balance: PerformanceBalance = PerformanceBalance.LEAST_REQUEST
    """What balances by the weights: `LeastRequest`, which reacts to requests in flight
    at once, or `RoundRobin`, whose shares are the weights exactly; only with
    ControlPlane."""
    metrics: tuple[LoadName, ...] = Field(default=(), min_length=1, max_length=16)
    """What endpoints report about their load, of which the largest counts:
    `cpu_utilization`, `application_utilization`, `mem_utilization`,
    `named_metrics.KEY`, `utilization.KEY`; or `kubernetes.cpu` alone: the CPU that the
    Pod uses for what it requests, of the Kubernetes metrics API; only with
    ControlPlane. Left out: with ControlPlane how long their answers take, which Envoys
    measure, else `cpu_utilization`."""
    update_period: Annotated[Duration, Field(ge=timedelta(milliseconds=100))] = (
        timedelta(seconds=10)
    )
    """How often weights are computed; at least 1s with ControlPlane; with the others
    1s where left out."""
    error_penalty: float = Field(default=1.0, ge=0, le=100)
    """Utilization that counts for errors: times errors / requests; not with
    ControlPlane."""
    blackout_period: Duration = timedelta(seconds=10)
    """How long an endpoint must report before it counts; not with ControlPlane."""
    expiration: Duration = timedelta(minutes=3)
    """How long a last report counts; not with ControlPlane."""
    report_period: Annotated[Duration, Field(ge=timedelta(milliseconds=100))] = (
        timedelta(seconds=10)
    )
    """How often an endpoint is asked to report; only with OrcaOutOfBand."""
    report_port: int | None = Field(default=None, ge=1, le=LARGEST_PORT)
    """Where endpoints report (`xds.service.orca.v3.OpenRcaService`); left out: where
    they serve, which has to be HTTP/2 then; only with OrcaOutOfBand."""

    @property
    def is_measured(self) -> bool:
        """Whether Envoys measure how long answers take: applications do nothing.

        Where the load is a Pod's CPU, too: who looks at it sees both.
        """
        return self.source is _CONTROL_PLANE and not self.reported

    @property
    def is_by_cpu(self) -> bool:
        """Whether the load of an endpoint is what its Pod uses of its CPU."""
        return POD_CPU in self.metrics

    @property
    def reported(self) -> tuple[str, ...]:
        """The metrics that endpoints report."""
        return () if self.is_by_cpu else self.metrics

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse what another source has."""
        source = source_of(given)
        if source is None:
            return
        found = given.get("source", f"{source}, the default")
        for name, sources in _ONLY_WITH.items():
            if name in given and source not in sources:
                message = f"{_only_with(name)} (got {found})"
                yield Fault(path=(name,), message=message, at_key=True)

    @classmethod
    def filled(cls, given: dict[str, object]) -> dict[str, object]:
        """Give the sources of ORCA defaults of their own."""
        return {**_ORCA_DEFAULTS, **given} if source_of(given) in _ORCA else given

    def value_faults(self) -> Iterable[Fault]:
        """Refuse what a source cannot know, and steps before reports tell anything."""
        period = self.update_period
        if self.is_by_cpu and self.source is not _CONTROL_PLANE:
            message = f"{_CPU_COMPUTED} (got {self.source})"
            yield Fault(path=("metrics",), message=message)
        if self.is_by_cpu and len(self.metrics) > 1:
            message = f"{_CPU_ALONE}{got(len(self.metrics))}"
            yield Fault(path=("metrics",), message=message)
        if self.source is _CONTROL_PLANE and period < _SHORTEST_PERIOD:
            message = f"{_PERIOD} {self.source}{got(format_duration(period))}"
            yield Fault(path=("updatePeriod",), message=message)


def source_of(given: Mapping[str, object]) -> PerformanceSource | None:
    """Return the source of a block as it is written; None where it is none."""
    return PerformanceSource.parse_or_none(given.get("source", _CONTROL_PLANE))
