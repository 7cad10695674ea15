"""What the control loop has learned of endpoints, and the weights that they get.

Upstreams as policies have them and the weights of a `Weighed` event in; the same
upstreams with these weights out. The other way round, for the loop: which upstream of a
port is weighed, and what its policy gives each endpoint by itself.

A learned weight is a policy's own, the base, times what the loop has found. So clients
of another variant, whose policy has other bases, get theirs in the same proportion.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from xds_server.mesh.model import Endpoint, Health, Upstream
from xds_server.mesh.share import LARGEST_SUM


def weighed_upstream(upstream: Upstream) -> Upstream | None:
    """Return *upstream* or its first variant that is weighed; None if none is.

    Its bases are those that the weights of the port's `Weighed` event contain.
    """
    every = (upstream, *(variant.upstream for variant in upstream.variants))
    return _first_weighed(every)


def bases_of(upstream: Upstream) -> Mapping[str, int]:
    """Return the base of each endpoint that may get traffic, by `IP:port`.

    None has one where *upstream* is not weighed.
    """
    return {
        endpoint.authority: endpoint.base_weight
        for endpoint in upstream.endpoints
        if endpoint.base_weight is not None and endpoint.health is Health.HEALTHY
    }


def with_bases(upstream: Upstream) -> Upstream:
    """Return a weighed *upstream* before anything is learned: the bases are weights."""
    endpoints = (
        replace(each, weight=base, base_weight=base)
        for each in upstream.endpoints
        for base in (1 if each.weight is None else each.weight,)
    )
    return replace(upstream, endpoints=tuple(endpoints), awaits_weights=True)


def with_learned(
    upstreams: Sequence[Upstream], learned: Mapping[str, int]
) -> tuple[Upstream, ...]:
    """Return the *upstreams* of one port, for all its groups of clients, weighed.

    An endpoint of which nothing is learned counts like the median of the others. What
    is learned of endpoints that are gone is ignored.
    """
    measured = _first_weighed(upstreams)
    if measured is None:
        return tuple(upstreams)
    factors = {
        authority: learned[authority] / base
        for authority, base in bases_of(measured).items()
        if authority in learned
    }
    if not factors:
        return tuple(upstreams)
    return tuple(
        replace(each, endpoints=_weighed(each.endpoints, factors), awaits_weights=False)
        if each.is_weighed
        else each
        for each in upstreams
    )


def _first_weighed(upstreams: Iterable[Upstream]) -> Upstream | None:
    return next((each for each in upstreams if each.is_weighed), None)


def _weighed(
    endpoints: Sequence[Endpoint], factors: Mapping[str, float]
) -> tuple[Endpoint, ...]:
    """Give each of *endpoints* its factor times its base.

    Those that drain carry the smallest weight of the others, as they do without
    factors, and no sum is more than Envoy can hold.
    """
    usual, most = median(factors.values()), LARGEST_SUM // max(len(endpoints), 1)
    weights = [
        min(max(1, round(factors.get(each.authority, usual) * base)), most)
        for each in endpoints
        for base in (each.base_weight or 1,)
    ]
    pairs = list(zip(endpoints, weights, strict=True))
    ready = (weight for each, weight in pairs if each.health is Health.HEALTHY)
    smallest = min(ready, default=1)
    return tuple(
        replace(each, weight=weight if each.health is Health.HEALTHY else smallest)
        for each, weight in pairs
    )
