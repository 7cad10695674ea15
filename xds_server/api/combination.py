"""Which sections of policies can be in force together: `locality` and `loadBalancer`.

Both in; why one of them cannot be out. Envoy has a field for what is made of places in
some of its policies only, and is silent about what it does not heed.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from xds_server.api.algorithm import LoadBalancerType, Selection
from xds_server.api.load_balancer import LoadBalancer
from xds_server.api.locality import Locality, LocalityType
from xds_server.api.performance import POD_CPU, PerformanceSource
from xds_server.api.schema import FORBIDDEN, Rule, quoted
from xds_server.api.typed_block import is_type

_HASHES: Final = (
    LoadBalancerType.RING_HASH,
    LoadBalancerType.MAGLEV,
    LoadBalancerType.IP_HASH,
)
_UNFIT: Final[Mapping[LocalityType, Collection[LoadBalancerType]]] = {
    LocalityType.ZONE_AWARE: _HASHES,
    LocalityType.LOAD_AWARE: _HASHES,
}
"""What does not go with each type of `locality`; nor do draws by weight, which are a
table without a key. A hash would move its keys with the load."""

_UNFIT_SOURCES: Final[Mapping[LocalityType, Collection[PerformanceSource]]] = {
    LocalityType.ZONE_AWARE: (
        PerformanceSource.ORCA_HEADERS,
        PerformanceSource.ORCA_OUT_OF_BAND,
    ),
    LocalityType.LOAD_AWARE: (PerformanceSource.ORCA_OUT_OF_BAND,),
}
"""Sources of PerformanceBased. Client-side weights have no zones; LoadAware reads the
reports in answers alone, which Envoys write themselves where they measure."""

_SOURCE: Final = "loadBalancer.performanceBased.source"
_MEASURED: Final = (
    f"{_SOURCE} {PerformanceSource.CONTROL_PLANE} without metrics that endpoints report"
)

HINT: Final = "use locality.type Weighted or Failover, or another loadBalancer"


def combination_rules() -> Iterator[Rule]:
    """Yield the rules that an API server checks a policy's spec by."""
    for kind, types in _UNFIT.items():
        is_there = (
            "!has(self.locality) || !has(self.loadBalancer) || "
            f"self.locality.type != '{kind}' || "
        )
        balancer = is_type(types).replace("self.type", "self.loadBalancer.type")
        yield Rule(
            holds=f"{is_there}!({balancer})",
            message=f"{kind} cannot be combined with loadBalancer.type {{}}",
            found="self.loadBalancer.type",
            at="locality",
            reason=FORBIDDEN,
        )
        sources = ", ".join(map(quoted, _UNFIT_SOURCES[kind]))
        yield Rule(
            holds=f"{is_there}!has(self.loadBalancer.performanceBased) || "
            f"!(self.{_SOURCE} in [{sources}])",
            message=f"{kind} cannot be combined with {_SOURCE} {{}}",
            found=f"self.{_SOURCE}",
            at="locality",
            reason=FORBIDDEN,
        )
        if kind is LocalityType.LOAD_AWARE:
            yield _unmeasured_rule(is_there)
        yield Rule(
            holds=f"{is_there}!has(self.loadBalancer.weighted) || "
            "self.loadBalancer.weighted.selection != 'Random'",
            message=f"{kind} cannot be combined with "
            "loadBalancer.weighted.selection Random",
            at="locality",
            reason=FORBIDDEN,
        )


def _unmeasured_rule(is_there: str) -> Rule:
    block = "self.loadBalancer.performanceBased"
    return Rule(
        holds=f"{is_there}self.loadBalancer.type != "
        f"'{LoadBalancerType.PERFORMANCE_BASED}' || has({block}) && "
        f"({block}.source != '{PerformanceSource.CONTROL_PLANE}' || "
        f"has({block}.metrics) && !('{POD_CPU}' in {block}.metrics))",
        message=f"{LocalityType.LOAD_AWARE} cannot be combined with {_MEASURED}",
        at="locality",
        reason=FORBIDDEN,
    )


def clash_of(load_balancer: LoadBalancer, locality: Locality) -> str | None:
    """Return why both cannot be in force, None if they can."""
    kind, found = locality.type, None
    unfit, measured = _UNFIT.get(kind, ()), load_balancer.performance_based
    weighted = load_balancer.weighted
    if load_balancer.type in unfit:
        found = f"loadBalancer.type {load_balancer.type}"
    elif unfit and weighted and weighted.selection is Selection.RANDOM:
        found = "loadBalancer.weighted.selection Random"
    elif measured and measured.source in _UNFIT_SOURCES.get(kind, ()):
        found = f"{_SOURCE} {measured.source}"
    elif measured and measured.is_measured and kind is LocalityType.LOAD_AWARE:
        found = _MEASURED
    return found and f"{kind} cannot be combined with {found}"
