"""How one Service's traffic is spread: the `loadBalancer` section of a policy.

One block per algorithm; after validation the block named like `type` is there, with its
defaults, and no other.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import Field
from pydantic_core import PydanticCustomError

from xds_server.api.algorithm import (
    CLIENT_SIDE,
    IPHash,
    LeastRequest,
    LoadBalancerType,
    Maglev,
    PerformanceBased,
    PerformanceSource,
    RingHash,
    Selection,
    Weighted,
)
from xds_server.api.field import Duration, fold
from xds_server.api.hash_key import HashKey, SourceIP
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.schema import FORBIDDEN, REQUIRED, Rule, quoted
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
    LoadBalancerType.PERFORMANCE_BASED: (
        "the endpoints' reports are the weights",
        "use type: Weighted for weights of your own",
    ),
}


def _is(kinds: Iterable[LoadBalancerType]) -> str:
    """Write in CEL that the type is one of these."""
    return f"self.type in [{', '.join(map(quoted, kinds))}]"


_SERVED_RULES: Final = (
    *(
        Rule(
            holds=f"!has(self.{block}) || {_is([owner])}",
            message=f"only allowed when type is {owner} (got {{}})",
            found="self.type",
            at=block,
            reason=FORBIDDEN,
        )
        for owner, block in _BLOCKS.items()
    ),
    Rule(
        holds=f"!({_is([LoadBalancerType.PERFORMANCE_BASED])})"
        " || has(self.performanceBased)",
        message="required with type PerformanceBased: source: OrcaHeaders",
        at="performanceBased",
        reason=REQUIRED,
    ),
    Rule(
        holds=f"!({_is(_HASHES)}) || has(self.hashOn) && size(self.hashOn) > 0",
        message="required with type {}: 1 to 8 keys",
        found="self.type",
        at="hashOn",
        reason=REQUIRED,
    ),
    Rule(
        holds=f"!has(self.hashOn) || {_is(_HASHES)}",
        message="not supported by type {}: use type: RingHash or Maglev",
        found="self.type",
        at="hashOn",
        reason=FORBIDDEN,
    ),
    *(
        Rule(
            holds=f"!has(self.weights) || !({_is([kind])})",
            message=f"not supported by type {kind}: {reason}",
            at="weights",
            reason=FORBIDDEN,
        )
        for kind, (reason, _) in _NO_WEIGHTS.items()
    ),
    Rule(
        holds=f"!has(self.slowStart) || {_is(_SLOW_START)}",
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
    """Weighted; where written also LeastRequest, RingHash, Maglev, IPHash."""
    slow_start: SlowStart | None = None
    """RoundRobin, Weighted in turn, LeastRequest, PerformanceBased."""

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse what the type has no use for, whatever its values are."""
        kind = _type_of(given)
        if kind is None:
            return  # without a type there is nothing to compare with
        yield from _block_faults(kind, given)
        yield from _hash_faults(kind, given)
        if "weights" in given and kind in _NO_WEIGHTS:
            reason, hint = _NO_WEIGHTS[kind]
            message = f"not supported by type {kind}: {reason}"
            yield Fault(path=("weights",), message=message, hint=hint, at_key=True)
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


def default_load_balancer(kind: LoadBalancerType) -> LoadBalancer:
    """Give an algorithm with nothing but defaults, as a Service's annotation asks for.

    Hashes take the client's address, PerformanceBased takes ORCA headers.
    """
    if kind in _HASHES:
        return LoadBalancer(type=kind, hash_on=(HashKey(source_ip=SourceIP()),))
    if kind is LoadBalancerType.PERFORMANCE_BASED:
        source = PerformanceSource.ORCA_HEADERS
        return LoadBalancer(
            type=kind, performance_based=PerformanceBased(source=source)
        )
    return LoadBalancer(type=kind)


def _type_of(given: Mapping[str, object]) -> LoadBalancerType | None:
    try:
        return LoadBalancerType.parse(given.get("type", LoadBalancerType.ROUND_ROBIN))
    except PydanticCustomError:
        return None


def _is_orca(given: Mapping[str, object]) -> bool:
    """Envoy's own name for the algorithm says the source, too."""
    kind = given.get("type")
    return isinstance(kind, str) and fold(kind) == CLIENT_SIDE


def _block_faults(
    kind: LoadBalancerType, given: Mapping[str, object]
) -> Iterator[Fault]:
    found = kind if "type" in given else f"{kind}, the default"
    for owner, block in _BLOCKS.items():
        if block in given and owner is not kind:
            message = f"only allowed when type is {owner} (got {found})"
            yield Fault(path=(block,), message=message, at_key=True)


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
