"""What gRPC clients get: they speak xDS themselves but know fewer algorithms.

A load balancer in; the nearest one that gRPC knows, and a sentence for everything that
differs, out. Translation sends the one, `/status` tells the other: they cannot drift.

Sources: the gRFCs A42 (ring hash), A48 (least request), A52 (custom policies), A56
(priorities), A58 (weights from reports). What they leave open was measured on grpcio
1.85.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from xds_server.api.policy import (
    FIRST_FORWARDED,
    AddressFrom,
    HashAlgorithm,
    HashFunction,
    HashKey,
    LeastRequest,
    LoadBalancer,
    LoadBalancerType,
    Locality,
    PerformanceBased,
    PerformanceSource,
    RingHash,
    Selection,
    SelectionMethod,
    SourceIP,
    Weighted,
)
from xds_server.mesh.model import Section, Service, Upstream
from xds_server.mesh.remark import remark
from xds_server.mesh.service import ServiceName
from xds_server.mesh.status import PolicyStatus

MOST_CHOICES: Final = 10
"""How many endpoints least_request of gRPC compares at most (A48)."""

RING_CAP: Final = 4096
"""How many entries a ring of gRPC has at most, unless the client raises the cap."""

CHANNEL: Final = HashKey(source_ip=SourceIP())
"""The nearest that gRPC has to a client's address: its channel, by a random number."""

UNCHECKED: Final = "they make no health checks (healthCheck)"
"""Their own ones are asked for by the application (gRFC A17), not by xDS."""

UNHEEDED: Final[Mapping[Section, str]] = {
    Section.HEALTH_CHECK: UNCHECKED,
    Section.OUTLIER_DETECTION: "they take no endpoints out (outlierDetection)",
    Section.PANIC_THRESHOLD: "health always counts for them (panicThreshold)",
    Section.CIRCUIT_BREAKER: "their limit stays at 1024 requests (circuitBreaker)",
    Section.RETRY: "they send again only what no server has seen (retry)",
    Section.CONNECTION: "their connections are their own (connection)",
    Section.SESSION: "they keep no sessions (session)",
    Section.OVERRIDE_HOST: "their callers choose no endpoint (overrideHost)",
    Section.RATE_LIMIT: "they send as much as they like (rateLimit)",
    Section.ADAPTIVE_CONCURRENCY: "their limit does not adapt (adaptiveConcurrency)",
    Section.ADMISSION_CONTROL: "they refuse no requests (admissionControl)",
    Section.ENVOY_PATCH: "they are sent nothing of an Envoy's (envoyPatch)",
    Section.TLS: "they encrypt as their channel's credentials say (tls)",
    Section.STALE_ENDPOINTS: "their endpoints do not go stale (staleEndpoints)",
}
"""The sections that they know nothing of, and what it means to have none of it."""

_TURNS: Final = LoadBalancer()
_WEIGHTED: Final = LoadBalancer(
    type=LoadBalancerType.WEIGHTED, weighted=Weighted()
).model_copy(update={"weights": None})
_LARGE_RING: Final = RingHash(minimum_ring_size=RING_CAP)
_READ_METRICS: Final = frozenset({"cpu_utilization", "application_utilization"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxyless:
    """What a gRPC client gets in place of a load balancer.

    `load_balancer` is of one of the types RoundRobin, Weighted, LeastRequest (by
    choices), RingHash and PerformanceBased, without weights and slow start. Its hash
    keys are headers and, written as `sourceIP`, the channel. `differences` are
    sentences; without any the client does what the policy says.
    """

    load_balancer: LoadBalancer
    differences: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def adapt(load_balancer: LoadBalancer) -> Proxyless:
    """Return what gRPC clients get in place of *load_balancer*."""
    nearest = _NEAREST[load_balancer.type](load_balancer)
    if load_balancer.slow_start is None:
        return nearest
    differences = (*nearest.differences, "they have no slow start")
    return replace(nearest, differences=differences)


def tell(status: PolicyStatus, services: Mapping[ServiceName, Service]) -> PolicyStatus:
    """Return *status*, with what gRPC clients get instead among its warnings."""
    return remark(status, services, "gRPC clients", _differences)


def _differences(section: Section, upstream: Upstream) -> Iterable[str]:
    """Return what of a *section* of *upstream* they do otherwise."""
    if section is Section.LOAD_BALANCER:
        return adapt(upstream.load_balancer).differences
    if section is Section.LOCALITY:
        return _about_places(upstream.sections.locality)
    return () if section is Section.OVERLOAD else (UNHEEDED[section],)


def _about_places(locality: Locality | None) -> Iterator[str]:
    """Yield what of *locality* gRPC clients do otherwise (gRFC A56)."""
    if locality is not None and (locality.zone_aware or locality.load_aware):
        yield "all endpoints are alike to them, wherever these are (locality)"
    if locality is not None and locality.failover is not None:
        yield (
            "they use farther endpoints when no nearer one is left, and not before "
            "(locality.failover.overprovisioningPercent)"
        )


def _round_robin(_: LoadBalancer) -> Proxyless:
    return Proxyless(load_balancer=_TURNS)


def _random(_: LoadBalancer) -> Proxyless:
    """Return turns: an endpoint's share is the same, 1/n, and more even."""
    difference = "they take turns (RoundRobin) instead of drawing at random"
    return Proxyless(load_balancer=_TURNS, differences=(difference,))


def _weighted(load_balancer: LoadBalancer) -> Proxyless:
    """Return what has the shares: of all in gRPC, its choice of a locality does.

    That is a draw, and among endpoints of equal weight there are turns; whichever of
    the two the policy asks for, the other is told.
    """
    block = load_balancer.weighted or Weighted()
    difference = "they draw by weight, and endpoints of equal weight take turns"
    if block.selection is Selection.ROUND_ROBIN:
        difference += ": the shares are the same in the long run"
    return Proxyless(load_balancer=_WEIGHTED, differences=(difference,))


def _least_request(load_balancer: LoadBalancer) -> Proxyless:
    """Return least_request, or else the shares where there are weights.

    gRPC's least_request does not know weights. Whoever wrote some has endpoints that
    are not equal.
    """
    if load_balancer.weights is not None:
        difference = "they draw by weight (Weighted), however busy an endpoint is"
        return Proxyless(load_balancer=_WEIGHTED, differences=(difference,))
    block = load_balancer.least_request or LeastRequest()
    differences = [
        "those without least_request (C++, Python, Ruby, PHP) take turns (RoundRobin)"
    ]
    choices = min(block.choice_count, MOST_CHOICES)
    if block.selection_method is SelectionMethod.FULL_SCAN:
        choices = MOST_CHOICES
        differences.append(f"the others compare {choices} endpoints, not all")
    elif block.choice_count > choices:
        differences.append(f"the others compare {choices} endpoints at most")
    return Proxyless(
        load_balancer=LoadBalancer(
            type=LoadBalancerType.LEAST_REQUEST,
            least_request=LeastRequest(choice_count=choices),
        ),
        differences=tuple(differences),
    )


def _ring_hash(load_balancer: LoadBalancer) -> Proxyless:
    ring = load_balancer.ring_hash or RingHash()
    differences = list(_unbounded(ring.bounded_load_percent))
    if ring.hash_function is not HashFunction.XX_HASH:
        differences.append("they hash with XXHash")
    if ring.minimum_ring_size > RING_CAP:
        differences.append(
            f"their rings have {RING_CAP} entries at most, unless they raise that cap"
        )
    nearest = RingHash(
        minimum_ring_size=ring.minimum_ring_size,
        maximum_ring_size=ring.maximum_ring_size,
    )
    return _hash(load_balancer, nearest, load_balancer.hash_on, differences)


def _maglev(load_balancer: LoadBalancer) -> Proxyless:
    block = load_balancer.maglev
    bound = block.bounded_load_percent if block else None
    differences = [*_unbounded(bound), "they hash on a ring (RingHash)"]
    return _hash(load_balancer, _LARGE_RING, load_balancer.hash_on, differences)


def _ip_hash(load_balancer: LoadBalancer) -> Proxyless:
    block = load_balancer.ip_hash
    is_ring = block and block.algorithm is HashAlgorithm.RING_HASH
    is_forwarded = block and block.address_from is AddressFrom.X_FORWARDED_FOR
    key = HashKey(header=FIRST_FORWARDED) if is_forwarded else CHANNEL
    differences = [] if is_ring else ["they hash on a ring (RingHash)"]
    ring = RingHash() if is_ring else _LARGE_RING
    return _hash(load_balancer, ring, [key], differences)


def _performance_based(load_balancer: LoadBalancer) -> Proxyless:
    block = load_balancer.performance_based or PerformanceBased()
    if block.source is PerformanceSource.CONTROL_PLANE:
        difference = (
            "they draw by the weights that others' traffic has led to, however busy an "
            "endpoint is, and theirs is not measured"
        )
        return Proxyless(load_balancer=_WEIGHTED, differences=(difference,))
    differences = []
    if not _READ_METRICS.issuperset(block.metrics):
        text = "they weigh by application_utilization, or else by cpu_utilization"
        differences.append(text)
    if block.report_port is not None:
        differences.append("they ask for reports where endpoints serve (reportPort)")
    nearest = load_balancer.model_copy(update={"weights": None, "slow_start": None})
    return Proxyless(load_balancer=nearest, differences=tuple(differences))


def _unbounded(bounded_load_percent: int | None) -> Iterator[str]:
    if bounded_load_percent is not None:
        yield "they do not bound the load (boundedLoadPercent)"


def _hash(
    load_balancer: LoadBalancer,
    ring: RingHash,
    keys: Iterable[HashKey],
    differences: Iterable[str],
) -> Proxyless:
    """Return a ring with what gRPC sees of *keys*; without any, no ring at all.

    A ring sends each request without a key to a random endpoint, by weight; so do these
    in the long run, without the unevenness of a ring.
    """
    pairs = [_key(key) for key in keys]
    seen = tuple(nearest for nearest, _ in pairs if nearest is not None)
    about_keys = tuple(text for _, text in pairs if text is not None)
    if not seen:
        has_weights = load_balancer.weights is not None
        instead = "they do not hash, but " + (
            "draw by weight (Weighted)" if has_weights else "take turns (RoundRobin)"
        )
        return Proxyless(
            load_balancer=_WEIGHTED if has_weights else _TURNS,
            differences=(*about_keys, instead),
        )
    return Proxyless(
        load_balancer=LoadBalancer(
            type=LoadBalancerType.RING_HASH, ring_hash=ring, hash_on=seen
        ),
        differences=(*differences, *about_keys),
    )


def _key(key: HashKey) -> tuple[HashKey | None, str | None]:
    """Return the nearest key that gRPC knows, and in what it differs.

    The key of a cookie stands for a client's session, and a channel is the session of
    a gRPC client.
    """
    channel = CHANNEL.model_copy(update={"terminal": key.terminal})
    if key.source_ip is not None:
        return channel, "they hash their channel in place of the client's address"
    if key.cookie is not None:
        return channel, f"they hash their channel in place of cookie {key.cookie.name}"
    if key.query_parameter is not None:
        return None, "they have no query to hash"
    name = key.header.name if key.header else ""
    if name.startswith(":") or name.endswith("-bin"):
        return None, f"they do not hash the header {name}"
    return key, None


_NEAREST: Final[Mapping[LoadBalancerType, Callable[[LoadBalancer], Proxyless]]] = {
    LoadBalancerType.ROUND_ROBIN: _round_robin,
    LoadBalancerType.RANDOM: _random,
    LoadBalancerType.WEIGHTED: _weighted,
    LoadBalancerType.LEAST_REQUEST: _least_request,
    LoadBalancerType.RING_HASH: _ring_hash,
    LoadBalancerType.MAGLEV: _maglev,
    LoadBalancerType.IP_HASH: _ip_hash,
    LoadBalancerType.PERFORMANCE_BASED: _performance_based,
}
