"""The caller's choice around an algorithm: what is sent, and what must not be."""

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.extensions.load_balancing_policies.override_host.v3 import (
    OverrideHost as EnvoyOverrideHost,
)

from tests.translate.mesh_input import load_balancer, make_upstream, sections
from tests.translate.policy_input import ACCEPTED
from xds_server.api.policy import OverrideHost
from xds_server.translate.check import LimitError
from xds_server.translate.cluster import build_cluster
from xds_server.translate.locality import build_load_balancing_policy
from xds_server.translate.override_host import with_override

HEADER = {"overrideHost": {"header": {"name": "X-Endpoint"}}}


@pytest.mark.parametrize("name", ACCEPTED)
def test_without_the_header_every_algorithm_is_what_it_was(name: str) -> None:
    policy = load_balancer(ACCEPTED[name])
    plain, around = (
        Cluster.parse(build_cluster(make_upstream(policy=policy, spec=spec)).body)
        for spec in ({}, HEADER)
    )
    assert plain.load_balancing_policy is not None
    assert around.load_balancing_policy is not None
    (entry,) = around.load_balancing_policy.policies
    assert entry.typed_extension_config is not None
    packed = entry.typed_extension_config.typed_config
    assert packed is not None
    override = EnvoyOverrideHost.parse(packed.value)

    assert [each.header for each in override.override_host_sources] == ["x-endpoint"]
    assert override.fallback_policy == plain.load_balancing_policy


def test_a_header_without_a_name_is_not_sent() -> None:
    section = sections(HEADER).override_host
    assert section is not None
    header = section.header.model_copy(update={"name": ""})
    nameless = OverrideHost.model_construct(header=header)

    with pytest.raises(LimitError, match="a header without a name"):
        with_override(nameless, build_load_balancing_policy(load_balancer({}), None))
