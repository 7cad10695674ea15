"""An algorithm as gRPC's load-balancing policies, best first.

A `LoadBalancer` that gRPC knows (`mesh.proxyless.adapt`) in; a `LoadBalancingPolicy`,
and the hash keys for the route, out. A client takes the first policy that it knows, so
the last one is round robin, which all know: a client without the best is no client
without a cluster.
"""

from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import LoadBalancingPolicy
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

from xds_server.api.policy import HashKey, LoadBalancer, LoadBalancerType
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


def build_load_balancing_policy(load_balancer: LoadBalancer) -> LoadBalancingPolicy:
    """Return the policies that carry out *load_balancer*, the best first.

    Raises:
        LimitError: a policy must not be sent.
    """
    last = entry_of(RoundRobin())
    if is_drawn(load_balancer):
        inside = LoadBalancingPolicy(policies=[last])
        best = entry_of(WrrLocality(endpoint_picking_policy=inside))
        return LoadBalancingPolicy(policies=[best])
    if load_balancer.type is LoadBalancerType.ROUND_ROBIN:
        return LoadBalancingPolicy(policies=[last])
    without_keys = load_balancer.model_copy(update={"hash_on": ()})
    return LoadBalancingPolicy(policies=[entry_of(build_policy(without_keys)), last])


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
