"""How many requests at once are good for a Service: `adaptiveConcurrency` of a policy.

What each Envoy finds out by itself: while answers take longer than they need to, it
sends fewer at once. Envoy takes limits here of which one makes another mean nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import Field

from xds_server.api.field import LARGEST_COUNT, LONGEST, SHORTEST, Duration
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.schema import FORBIDDEN, Rule

_MEASURED: Final = ("interval", "requestCount", "jitterPercent")
_NOT_MEASURED: Final = "not allowed with fixedValue: then nothing is measured"
_SECOND: Final = timedelta(seconds=1)
_HOUR: Final = timedelta(hours=1)


class MinRTT(Model):
    """How long an answer takes at least: where nothing waits for anything."""

    told_apart = frozenset(_MEASURED)
    served_rules: ClassVar[tuple[Rule, ...]] = tuple(
        Rule(
            holds=f"!has(self.{name}) || !has(self.fixedValue)",
            message=_NOT_MEASURED,
            at=name,
            reason=FORBIDDEN,
        )
        for name in _MEASURED
    )

    interval: Annotated[Duration, Field(ge=_SECOND, le=LONGEST)] = timedelta(seconds=60)
    """How often it is measured: for that, `minConcurrency` requests at once are let
    through, and the others refused."""
    request_count: int = Field(default=50, ge=1, le=LARGEST_COUNT)
    """By so many requests it is measured."""
    jitter_percent: float = Field(default=15, ge=0, le=100)
    """How much longer an interval may be, at random, so that Envoys do not measure at
    once."""
    buffer_percent: float = Field(default=25, ge=0, le=100)
    """So much longer an answer may take before fewer are let through."""
    fixed_value: Duration | None = Field(default=None, ge=SHORTEST, le=LONGEST)
    """Where it is known: it is this, and never measured."""

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse what is about measuring where nothing is measured."""
        if "fixedValue" in given:
            for name in _MEASURED:
                if name in given:
                    yield Fault(path=(name,), message=_NOT_MEASURED, at_key=True)


class AdaptiveConcurrency(Model):
    """Between which bounds the limit moves, how soon, and by what."""

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="self.maxConcurrency >= self.minConcurrency",
            message="must be >= minConcurrency",
            at="maxConcurrency",
        ),
    )

    min_concurrency: int = Field(default=3, ge=1, le=LARGEST_COUNT)
    """So many requests at once are always let through; the limit begins here."""
    max_concurrency: int = Field(default=1000, ge=1, le=LARGEST_COUNT)
    """Never more than so many at once; not below `minConcurrency`."""
    update_interval: Annotated[Duration, Field(ge=SHORTEST, le=_HOUR)] = timedelta(
        milliseconds=100
    )
    """How often the limit is computed, by the answers since."""
    sample_percentile: float = Field(default=50, gt=0, le=100)
    """Which answer of these counts: 50 is the median, 90 one of the slower."""
    min_rtt: MinRTT = Field(default=MinRTT(), alias="minRTT")
    """What the time that answers take is compared with."""

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a bound that Envoy would pass over."""
        if self.max_concurrency < self.min_concurrency:
            yield Fault(
                path=("maxConcurrency",),
                message="must be >= minConcurrency (got "
                f"{self.max_concurrency} < {self.min_concurrency})",
                hint="lower minConcurrency, or raise maxConcurrency",
            )
