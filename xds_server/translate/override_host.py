"""Build `override_host.v3.OverrideHost`: the caller's choice goes before the algorithm.

A section and what balances otherwise in; a policy around it out. Envoy looks the
address up among all endpoints of the cluster: it asks for no health there.
"""

from envoy_data_plane.envoy.config.cluster.v3 import (
    LoadBalancingPolicy,
    LoadBalancingPolicyPolicy,
)
from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
from envoy_data_plane.envoy.extensions.load_balancing_policies.override_host.v3 import (
    OverrideHost as EnvoyOverrideHost,
    OverrideHostOverrideHostSource,
)
from envoy_data_plane.google.protobuf import Any

from xds_server.api.policy import OverrideHost
from xds_server.translate.check import require


def with_override(
    section: OverrideHost | None, otherwise: LoadBalancingPolicy
) -> LoadBalancingPolicy:
    """Return what balances: *otherwise*, unless a request says as *section* has it.

    Raises:
        ValueError: it must not be sent to an Envoy, which refuses an empty name.
    """
    if section is None:
        return otherwise
    require(bool(section.header.name), "a header without a name")
    source = OverrideHostOverrideHostSource(header=section.header.name)
    policy = EnvoyOverrideHost(
        override_host_sources=[source], fallback_policy=otherwise
    )
    extension = TypedExtensionConfig(
        name="envoy.load_balancing_policies.override_host",
        typed_config=Any.pack(policy),
    )
    entry = LoadBalancingPolicyPolicy(typed_extension_config=extension)
    return LoadBalancingPolicy(policies=[entry])
