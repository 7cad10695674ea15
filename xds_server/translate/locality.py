"""What the `locality` of a policy adds to the algorithm, in Envoy's typed policy.

A `LoadBalancer` and a `Locality` in, one `LoadBalancingPolicy` of one policy out. Which
endpoints are in which priority, and the weights of localities, are in the assignment.
"""

from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import LoadBalancingPolicy
from envoy_data_plane.envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3 import (  # noqa: E501 - Envoy's name
    ClientSideWeightedRoundRobin,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.common.v3 import (
    LocalityLbConfig,
    LocalityLbConfigLocalityWeightedLbConfig,
    LocalityLbConfigZoneAwareLbConfig,
    LocalityLbConfigZoneAwareLbConfigForceLocalZone,
    LocalityLbConfigZoneAwareLbConfigLocalityBasis,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.least_request.v3 import (
    LeastRequest,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.load_aware_locality.v3 import (  # noqa: E501 - Envoy's name
    LoadAwareLocality,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.maglev.v3 import Maglev
from envoy_data_plane.envoy.extensions.load_balancing_policies.random.v3 import Random
from envoy_data_plane.envoy.extensions.load_balancing_policies.ring_hash.v3 import (
    RingHash,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.round_robin.v3 import (
    RoundRobin,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.wrr_locality.v3 import (
    WrrLocality,
)
from envoy_data_plane.envoy.type.v3 import Percent

from xds_server.api.combination import clash_of
from xds_server.api.policy import (
    LoadAware,
    LoadBalancer,
    Locality,
    LocalityBasis,
    ZoneAware,
)
from xds_server.translate.check import LimitError, Policy
from xds_server.translate.limit import check_load_aware, check_percent
from xds_server.translate.load_balancing import build_policy, entry_of

_BASIS: Final = {
    LocalityBasis.ENDPOINT_COUNT: (
        LocalityLbConfigZoneAwareLbConfigLocalityBasis.HEALTHY_HOSTS_NUM
    ),
    LocalityBasis.ENDPOINT_WEIGHT: (
        LocalityLbConfigZoneAwareLbConfigLocalityBasis.HEALTHY_HOSTS_WEIGHT
    ),
}
_BY_WEIGHT: Final = LocalityLbConfigLocalityWeightedLbConfig()


def build_load_balancing_policy(
    load_balancer: LoadBalancer, locality: Locality | None
) -> LoadBalancingPolicy:
    """Return the one policy that carries out both.

    Raises:
        LimitError: the policy must not be sent to an Envoy.
    """
    policy = build_policy(load_balancer)
    if locality is not None and (clash := clash_of(load_balancer, locality)):
        raise LimitError(clash)
    if locality is not None and locality.weighted is not None:
        return _one(_weighted(policy))
    if locality is not None and locality.zone_aware is not None:
        return _one(_zone_aware(policy, locality.zone_aware))
    if locality is not None and locality.load_aware is not None:
        return _one(_load_aware(policy, locality.load_aware))
    return _one(policy)


def _weighted(policy: Policy) -> Policy | WrrLocality:
    """Let *policy* heed the weights of localities: all that are sent have one."""
    match policy:
        case RoundRobin() | Random() | LeastRequest():
            policy.locality_lb_config = LocalityLbConfig(
                locality_weighted_lb_config=_BY_WEIGHT
            )
        case RingHash() | Maglev():
            policy.locality_weighted_lb_config = _BY_WEIGHT
        case ClientSideWeightedRoundRobin():
            return WrrLocality(endpoint_picking_policy=_one(policy))
    return policy


def _zone_aware(policy: Policy, block: ZoneAware) -> Policy:
    """Let *policy* stay in the client's zone.

    Raises:
        LimitError: Envoy has no field for it there, or would not do what is written.
    """
    if not isinstance(policy, RoundRobin | Random | LeastRequest):
        message = f"{type(policy).__name__} knows no zones"
        raise LimitError(message)
    force = block.force_local_zone
    check_percent(block.routing_percent, "routing_enabled")
    config = LocalityLbConfigZoneAwareLbConfig(
        routing_enabled=Percent(value=block.routing_percent),
        min_cluster_size=block.minimum_cluster_size,
        fail_traffic_on_panic=block.fail_on_panic,
        force_local_zone=None
        if force is None
        else LocalityLbConfigZoneAwareLbConfigForceLocalZone(
            min_size=force.minimum_endpoints
        ),
        locality_basis=_BASIS[block.basis],
    )
    policy.locality_lb_config = LocalityLbConfig(zone_aware_lb_config=config)
    return policy


def _load_aware(policy: Policy, block: LoadAware) -> LoadAwareLocality:
    """Return what balances localities by their load, and inside of each by *policy*.

    Raises:
        LimitError: Envoy would refuse it.
    """
    found = LoadAwareLocality(
        endpoint_picking_policy=_one(policy),
        weight_update_period=block.update_period,
        metric_names_for_computing_utilization=list(block.metrics),
        utilization_variance_threshold=block.variance_threshold,
        smoothing_time_constant=block.smoothing,
        remote_probe_fraction=block.remote_probe_percent / 100,
        weight_expiration_period=block.expiration,
    )
    check_load_aware(found)
    return found


def _one(policy: Policy | WrrLocality | LoadAwareLocality) -> LoadBalancingPolicy:
    return LoadBalancingPolicy(policies=[entry_of(policy)])
