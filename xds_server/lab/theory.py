"""What each algorithm promises, in numbers.

An upstream of the mesh in; the shares of its endpoints out, in their order. Nothing
here has seen an Envoy.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from xds_server.api.policy import (
    AddressFrom,
    HashAlgorithm,
    HashHeader,
    HashKey,
    LeastRequest,
    LoadBalancer,
    LoadBalancerType,
    Maglev,
    Regex,
    RingHash,
    SelectionMethod,
    SlowStart,
    SourceIP,
)
from xds_server.lab.hash_table import HashTable, build_maglev, build_ring, ring_size
from xds_server.mesh.model import Health, Upstream

_LARGEST_REBUILT: Final = 300_000
"""Ring entries: a larger ring takes seconds to rebuild, and is close to its weights."""
FIRST_FORWARDED: Final = HashHeader(
    name="x-forwarded-for", regex=Regex(pattern=r"^([^,]*).*$", substitution=r"\1")
)
"""The first of the addresses that X-Forwarded-For lists."""


def written_weights(upstream: Upstream) -> tuple[int, ...]:
    """Return the weight of each endpoint as the documents say it.

    It is 0 for those that get no new requests. An endpoint without a weight counts as 1
    in Envoy.
    """
    return tuple(
        (endpoint.weight or 1) if endpoint.health is Health.HEALTHY else 0
        for endpoint in upstream.endpoints
    )


def weights_of(upstream: Upstream) -> tuple[int, ...]:
    """Return what each endpoint weighs: common divisors do not matter to Envoy."""
    weights = written_weights(upstream)
    divisor = math.gcd(*weights) or 1
    return tuple(weight // divisor for weight in weights)


def shares_of(parts: Sequence[float]) -> tuple[float, ...]:
    """Return *parts* scaled to a sum of 1."""
    total = sum(parts)
    return tuple(part / total for part in parts)


def busy_share(load_balancer: LeastRequest, endpoints: int) -> float:
    """Return the share of an endpoint that is busy while its equals are idle.

    It is chosen only when every choice falls on it: (1/n)^choiceCount. A full scan
    never chooses it.
    """
    if load_balancer.selection_method is SelectionMethod.FULL_SCAN:
        return 0.0
    return (1 / endpoints) ** load_balancer.choice_count


def is_scheduled(load_balancer: LoadBalancer, weights: Sequence[int]) -> bool:
    """Whether least_request takes turns by weight instead of comparing choices.

    It does where weights differ, and with slow start, which makes them differ; then the
    number of choices means nothing. Measured on Envoy 1.40.
    """
    return load_balancer.slow_start is not None or len({*weights} - {0}) > 1


def loaded_weights(
    weights: Sequence[int], active: Sequence[int], bias: float
) -> tuple[float, ...]:
    """Return Envoy's weights of least_request where the configured ones differ.

    Each is weight / (active + 1)^bias (least_request_lb.cc).
    """
    return tuple(
        weight / (requests + 1) ** bias
        for weight, requests in zip(weights, active, strict=True)
    )


def warm_part(slow_start: SlowStart, age: float) -> float:
    """Return the part of its weight that an endpoint has *age* seconds after it came.

    It is max(minWeightPercent, (age/window)^(1/aggression)), 1 when the window is over
    (envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig).
    """
    passed: float = min(age / slow_start.window.total_seconds(), 1.0)
    grown: float = passed ** (1 / slow_start.aggression)
    return max(slow_start.min_weight_percent / 100, grown)


def rounds_behind(slow_start: SlowStart) -> int:
    """Return how many requests Envoy may owe a warm endpoint from when it was cold.

    An endpoint's next turn is fixed when it has its turn: at its least weight, it is
    that many rounds away. Measured on Envoy 1.40 with 10 %: 107/97/98/98 of 400.
    """
    return math.ceil(100 / slow_start.min_weight_percent)


def consistent_hash(load_balancer: LoadBalancer) -> RingHash | Maglev:
    """Return the consistent hash behind RingHash, Maglev or IPHash."""
    if load_balancer.ring_hash is not None:
        return load_balancer.ring_hash
    if load_balancer.maglev is not None:
        return load_balancer.maglev
    address = load_balancer.ip_hash
    if address is not None and address.algorithm is HashAlgorithm.RING_HASH:
        return RingHash()
    return Maglev()


def build_table(
    consistent: RingHash | Maglev, weights: Mapping[str, int]
) -> HashTable | None:
    """Return the table for endpoints (`IP:port`), None where it is too large."""
    if isinstance(consistent, Maglev):
        return build_maglev(weights, consistent)
    if ring_size(weights, consistent) > _LARGEST_REBUILT:
        return None
    return build_ring(weights, consistent)


def hash_keys(load_balancer: LoadBalancer) -> tuple[HashKey, ...]:
    """Return what a request that has all keys is hashed by.

    After the first terminal key nothing counts.
    """
    if load_balancer.type is LoadBalancerType.IP_HASH:
        address = load_balancer.ip_hash
        if address and address.address_from is AddressFrom.X_FORWARDED_FOR:
            return (HashKey(header=FIRST_FORWARDED),)
        return (HashKey(source_ip=SourceIP()),)
    keys: list[HashKey] = []
    for key in load_balancer.hash_on:
        keys.append(key)
        if key.terminal:
            break
    return tuple(keys)
