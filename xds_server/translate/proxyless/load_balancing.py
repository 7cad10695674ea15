"""An algorithm as gRPC's load-balancing policies, best first.

A `LoadBalancer` that gRPC knows (`mesh.proxyless.adapt`) in; a `LoadBalancingPolicy`,
and the hash keys for the route, out. A client takes the first policy that it knows, so
the last one is round robin, which all know: a client without the best is no client
without a cluster.
"""

from collections.abc import Iterator
from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import (
    LoadBalancingPolicy,
    LoadBalancingPolicyPolicy,
)
from envoy_data_plane.envoy.config.route.v3 import (
    RouteActionHashPolicy,
    RouteActionHashPolicyFilterState,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.round_robin.v3 import (
    RoundRobin,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.wrr_locality.v3 import (
    WrrLocality,
)

from xds_server.api.policy import HashKey, LoadBalancer, LoadBalancerType, Locality
from xds_server.translate.load_balancing import (
    build_hash_policy,
    build_policy,
    entry_of,
)

CHANNEL_ID: Final = "io.grpc.channel_id"
"""The key by which a route hashes a random number that each channel has (gRFC A42)."""


def is_drawn(load_balancer: LoadBalancer) -> bool:
    """Whether endpoints are drawn by weight.

    gRPC's round robin ignores the weights of endpoints, but its choice of a locality
    does not ignore theirs: endpoints of one weight are a locality then.
    """
    return load_balancer.type is LoadBalancerType.WEIGHTED


def build_load_balancing_policy(
    load_balancer: LoadBalancer, locality: Locality | None
) -> LoadBalancingPolicy:
    """Return the policies that carry out *load_balancer*, the best first.

    Those of localities that have weights draw one of these first (gRFC A58), but for a
    ring, in which these weights are.

    Raises:
        LimitError: a policy must not be sent.
    """
    inside = [*_better_than_turns(load_balancer), entry_of(RoundRobin())]
    is_weighted = locality is not None and locality.weighted is not None
    is_ring = load_balancer.type is LoadBalancerType.RING_HASH
    if is_drawn(load_balancer) or (is_weighted and not is_ring):
        picking = LoadBalancingPolicy(policies=inside)
        inside = [entry_of(WrrLocality(endpoint_picking_policy=picking))]
    return LoadBalancingPolicy(policies=inside)


def _better_than_turns(
    load_balancer: LoadBalancer,
) -> Iterator[LoadBalancingPolicyPolicy]:
    is_turns = load_balancer.type is LoadBalancerType.ROUND_ROBIN
    if not is_turns and not is_drawn(load_balancer):
        without_keys = load_balancer.model_copy(update={"hash_on": ()})
        yield entry_of(build_policy(without_keys))


def build_hash_policies(load_balancer: LoadBalancer) -> list[RouteActionHashPolicy]:
    """Return the hash keys of *load_balancer*; gRPC reads them in routes alone."""
    return [
        _build_channel_key(key) if key.source_ip is not None else build_hash_policy(key)
        for key in load_balancer.hash_on
    ]


def _build_channel_key(key: HashKey) -> RouteActionHashPolicy:
    return RouteActionHashPolicy(
        filter_state=RouteActionHashPolicyFilterState(key=CHANNEL_ID),
        terminal=key.terminal,
    )
