"""Check a cluster that somebody has changed by hand, by the rules for those of ours.

An encoded cluster in; nothing out, or a `ValueError`. What is checked where it is made
(`check`, `limit`) is looked for in what there is.
"""

from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, LoadBalancingPolicy
from envoy_data_plane.envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3 import (  # noqa: E501 - Envoy's name
    ClientSideWeightedRoundRobin,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.least_request.v3 import (
    LeastRequest,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.load_aware_locality.v3 import (  # noqa: E501 - Envoy's name
    LoadAwareLocality,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.maglev.v3 import Maglev
from envoy_data_plane.envoy.extensions.load_balancing_policies.override_host.v3 import (
    OverrideHost,
)
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
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions

from xds_server.mesh.model import Protocol
from xds_server.translate.check import (
    Policy,
    check_health_check,
    check_policy,
    require,
)
from xds_server.translate.connection import HTTP_PROTOCOL_OPTIONS
from xds_server.translate.limit import (
    check_circuit_breakers,
    check_connection,
    check_http_options,
    check_load_aware,
    check_outlier_detection,
    check_percent,
)

_POLICIES: Final = {
    f".{each.__name__}": each
    for each in (
        ClientSideWeightedRoundRobin,
        LeastRequest,
        LoadAwareLocality,
        Maglev,
        OverrideHost,
        Random,
        RingHash,
        RoundRobin,
        WrrLocality,
    )
}


def check_cluster(body: bytes) -> None:
    """Check all of a cluster for which there is a rule.

    Raises:
        ValueError: it must not be sent to an Envoy.
    """
    cluster = Cluster.parse(body)
    _check_policies(cluster.load_balancing_policy)
    common = cluster.common_lb_config
    if common is not None and common.healthy_panic_threshold is not None:
        check_percent(common.healthy_panic_threshold.value, "healthy_panic_threshold")
    if cluster.outlier_detection is not None:
        check_outlier_detection(cluster.outlier_detection)
    if cluster.circuit_breakers is not None:
        check_circuit_breakers(cluster.circuit_breakers)
    check_connection(cluster)
    options = cluster.typed_extension_protocol_options.get(HTTP_PROTOCOL_OPTIONS)
    if options is not None:
        check_http_options(HttpProtocolOptions.parse(options.value))
    for check in cluster.health_checks:
        check_health_check(check, Protocol.HTTP2)


def _check_policies(policies: LoadBalancingPolicy | None) -> None:
    """Check a policy, and those inside of it."""
    require(policies is not None and len(policies.policies) == 1, "not one policy")
    for each in policies.policies if policies else ():
        typed = each.typed_extension_config and each.typed_extension_config.typed_config
        for suffix, kind in _POLICIES.items():
            if typed and typed.type_url.endswith(suffix):
                _check_policy(kind.parse(typed.value))


def _check_policy(
    policy: Policy | LoadAwareLocality | OverrideHost | WrrLocality,
) -> None:
    match policy:
        case OverrideHost():
            _check_policies(policy.fallback_policy)
        case WrrLocality():
            _check_policies(policy.endpoint_picking_policy)
        case LoadAwareLocality():
            check_load_aware(policy)
            _check_policies(policy.endpoint_picking_policy)
        case _:
            check_policy(policy)
