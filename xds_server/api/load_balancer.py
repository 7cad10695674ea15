"""How one Service's traffic is spread: the `loadBalancer` section of a policy.

One block per algorithm; after validation the block named like `type` is there, with its
defaults, and no other.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import Field

from xds_server.api.algorithm import (
    CLIENT_SIDE,
    IPHash,
    LeastRequest,
    LoadBalancerType,
    Maglev,
    RingHash,
    Selection,
    Weighted,
)
from xds_server.api.field import Duration, fold
from xds_server.api.hash_key import HashKey, SourceIP
from xds_server.api.model import Model
from xds_server.api.performance import (
    PerformanceBased,
    PerformanceSource,
    source_of,
)
from xds_server.api.problem import Fault
from xds_server.api.schema import FORBIDDEN, REQUIRED, Rule
from xds_server.api.typed_block import block_faults, block_rules, is_type
from xds_server.api.weights import Weights

_BLOCKS: Final = {
    LoadBalancerType.WEIGHTED: "weighted",
    LoadBalancerType.LEAST_REQUEST: "leastRequest",
    LoadBalancerType.RING_HASH: "ringHash",
    LoadBalancerType.MAGLEV: "maglev",
    LoadBalancerType.IP_HASH: "ipHash",
    LoadBalancerType.PERFORMANCE_BASED: "performanceBased",
}
"""The block of each type that has one."""

_HASHES: Final = (LoadBalancerType.RING_HASH, LoadBalancerType.MAGLEV)
_SLOW_START: Final = (
    LoadBalancerType.ROUND_ROBIN,
    LoadBalancerType.WEIGHTED,
    LoadBalancerType.LEAST_REQUEST,
    LoadBalancerType.PERFORMANCE_BASED,
)
"""The types whose Envoy messages have a slow start."""

_NO_WEIGHTS: Final = {
    LoadBalancerType.ROUND_ROBIN: (
        "all endpoints are equal there",
        "use type: Weighted (selection: Random for independent draws)",
    ),
    LoadBalancerType.RANDOM: (
        "Envoy ignores weights there",
        "use type: Weighted with weighted.selection: Random",
    ),
}
_REPORTED: Final = "the endpoints' reports are the weights"
_ORCA: Final = frozenset(PerformanceSource) - {PerformanceSource.CONTROL_PLANE}


_SERVED_RULES: Final = (
    *block_rules(_BLOCKS),
    Rule(
        holds=f"!({is_type(_HASHES)}) || has(self.hashOn) && size(self.hashOn) > 0",
        message="required with type {}: 1 to 8 keys",
        found="self.type",
        at="hashOn",
        reason=REQUIRED,
    ),
    Rule(
        holds=f"!has(self.hashOn) || {is_type(_HASHES)}",
        message="not supported by type {}: use type: RingHash or Maglev",
        found="self.type",
        at="hashOn",
        reason=FORBIDDEN,
    ),
    *(
        Rule(
            holds=f"!has(self.weights) || !({is_type([kind])})",
            message=f"not supported by type {kind}: {reason}",
            at="weights",
            reason=FORBIDDEN,
        )
        for kind, (reason, _) in _NO_WEIGHTS.items()
    ),
    Rule(
        holds="!has(self.weights) || !has(self.performanceBased) || "
        f"self.performanceBased.source == '{PerformanceSource.CONTROL_PLANE}'",
        message=f"not supported by performanceBased.source {{}}: {_REPORTED}",
        found="self.performanceBased.source",
        at="weights",
        reason=FORBIDDEN,
    ),
    Rule(
        holds=f"!has(self.slowStart) || {is_type(_SLOW_START)}",
        message="not supported by type {}: Envoy has no slow start there",
        found="self.type",
        at="slowStart",
        reason=FORBIDDEN,
    ),
    Rule(
        holds="!has(self.slowStart) || !has(self.weighted)"
        " || self.weighted.selection != 'Random'",
        message="not supported by weighted.selection Random: "
        "Envoy has no slow start there",
        at="slowStart",
        reason=FORBIDDEN,
    ),
)


class SlowStart(Model):
    """How a new endpoint's share grows.

    By max(minWeightPercent, (age / window) ^ (1 / aggression)) of its weight.
    """

    window: Annotated[Duration, Field(ge=timedelta(seconds=1))]
    """How long an endpoint is new."""
    aggression: float = Field(default=1.0, gt=0, le=100)
    """Above 1: more of it at once."""
    min_weight_percent: float = Field(default=10, ge=1, le=100)
    """The least share of its weight."""


class LoadBalancer(Model):
    """The algorithm, its parameters, and what several algorithms share.

    `weights` is there for Weighted, with its defaults, and elsewhere where written.
    """

    served_rules: ClassVar[tuple[Rule, ...]] = _SERVED_RULES

    type: LoadBalancerType = LoadBalancerType.ROUND_ROBIN
    """The algorithm."""
    weighted: Weighted | None = None
    """Only with type Weighted."""
    least_request: LeastRequest | None = None
    """Only with type LeastRequest."""
    ring_hash: RingHash | None = None
    """Only with type RingHash."""
    maglev: Maglev | None = None
    """Only with type Maglev."""
    ip_hash: IPHash | None = None
    """Only with type IPHash."""
    performance_based: PerformanceBased | None = None
    """Only with type PerformanceBased."""
    hash_on: tuple[HashKey, ...] = Field(default=(), max_length=8)
    """Only with RingHash and Maglev: what a request is hashed by."""
    weights: Weights | None = None
    """Weighted; where written also LeastRequest, RingHash, Maglev, IPHash, and
    PerformanceBased by ControlPlane, whose weights are times these."""
    slow_start: SlowStart | None = None
    """RoundRobin, Weighted in turn, LeastRequest, PerformanceBased."""

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse what the type has no use for, whatever its values are."""
        kind = _type_of(given)
        if kind is None:
            return  # without a type there is nothing to compare with
        found = kind if "type" in given else f"{kind}, the default"
        yield from block_faults(_BLOCKS, kind, given, found)
        yield from _hash_faults(kind, given)
        if "weights" in given:
            yield from _weight_faults(kind, given)
        if (
            "slowStart" in given
            and (one := _without_slow_start(kind, given)) is not None
        ):
            message = f"not supported by {one}: Envoy has no slow start there"
            hint = f"types with a slow start: {', '.join(_SLOW_START)}"
            yield Fault(path=("slowStart",), message=message, hint=hint, at_key=True)

    @classmethod
    def filled(cls, given: dict[str, object]) -> dict[str, object]:
        """Give the type its block, and Weighted its weights."""
        kind = _type_of(given)
        if kind is None:
            return given
        filled = dict(given)
        if kind in _BLOCKS:
            filled.setdefault(_BLOCKS[kind], {})
        if kind is LoadBalancerType.WEIGHTED:
            filled.setdefault("weights", {})
        block = filled.get("performanceBased")
        if isinstance(block, dict) and block.get("source") is None and _is_orca(given):
            filled["performanceBased"] = {**block, "source": "OrcaHeaders"}
        return filled


def default_load_balancer(name: str) -> LoadBalancer:
    """Give an algorithm with nothing but defaults, as a Service's annotation asks for.

    *name* may have any spelling, and Envoy's own names say the rest, too. Hashes take
    the client's address.
    """
    given: dict[str, object] = {"type": name}
    if LoadBalancerType.parse_or_none(name) in _HASHES:
        given["hashOn"] = (HashKey(source_ip=SourceIP()),)
    return LoadBalancer.model_validate(given)


def _type_of(given: Mapping[str, object]) -> LoadBalancerType | None:
    return LoadBalancerType.parse_or_none(
        given.get("type", LoadBalancerType.ROUND_ROBIN)
    )


def _is_orca(given: Mapping[str, object]) -> bool:
    """Envoy's own name for the algorithm says the source, too."""
    kind = given.get("type")
    return isinstance(kind, str) and fold(kind) == CLIENT_SIDE


def _weight_faults(
    kind: LoadBalancerType, given: Mapping[str, object]
) -> Iterator[Fault]:
    """Refuse weights beside what has no use for any."""
    source = _performance_source(given)
    if kind in _NO_WEIGHTS:
        reason, hint = _NO_WEIGHTS[kind]
        message = f"not supported by type {kind}: {reason}"
    elif kind is LoadBalancerType.PERFORMANCE_BASED and source in _ORCA:
        hint = "use type: Weighted for weights of your own"
        message = f"not supported by performanceBased.source {source}: {_REPORTED}"
    else:
        return
    yield Fault(path=("weights",), message=message, hint=hint, at_key=True)


def _performance_source(given: Mapping[str, object]) -> PerformanceSource | None:
    """Return where PerformanceBased would know performance from."""
    block = given.get("performanceBased", {})
    if isinstance(block, PerformanceBased):
        return block.source
    if not isinstance(block, dict):
        return None
    if block.get("source") is None and _is_orca(given):
        return PerformanceSource.ORCA_HEADERS
    return source_of({key: one for key, one in block.items() if one is not None})


def _hash_faults(
    kind: LoadBalancerType, given: Mapping[str, object]
) -> Iterator[Fault]:
    if kind in _HASHES:
        if not given.get("hashOn", ()):
            hint = "hashOn: [{sourceIP: {}}] hashes the client's address"
            message = f"required with type {kind}: 1 to 8 keys"
            yield Fault(path=("hashOn",), message=message, hint=hint)
    elif "hashOn" in given:
        hint = "use type: RingHash or Maglev"
        reason = "nothing is hashed there"
        if kind is LoadBalancerType.IP_HASH:
            hint = "use type: Maglev, whose keys may be anything"
            reason = "it hashes the client's address"
        message = f"not supported by type {kind}: {reason}"
        yield Fault(path=("hashOn",), message=message, hint=hint, at_key=True)


def _without_slow_start(
    kind: LoadBalancerType, given: Mapping[str, object]
) -> str | None:
    """Name what has no slow start in Envoy; None where there is one."""
    if kind not in _SLOW_START:
        return f"type {kind}"
    block = given.get("weighted")
    selection = block.get("selection") if isinstance(block, dict) else None
    if isinstance(block, Weighted):
        selection = block.selection
    if isinstance(selection, str) and fold(selection) == fold(Selection.RANDOM):
        return "weighted.selection Random"
    return None
