"""Sections that Envoy cannot have together, in one policy."""

import pytest

from tests.api.corpus import LOADED, LOCALITIES, VARIANTS, ZONED
from tests.api.policies import HEAD
from xds_server.api.decode import decode
from xds_server.api.problem import Severity

NOT = {
    "Weighted Random": "loadBalancer.weighted.selection Random",
    "RingHash": "loadBalancer.type RingHash",
    "Maglev": "loadBalancer.type Maglev",
    "IPHash": "loadBalancer.type IPHash",
    "PerformanceBased": "loadBalancer.performanceBased.source ControlPlane "
    "without metrics that endpoints report",
    "PerformanceBased CPU": "loadBalancer.performanceBased.source ControlPlane "
    "without metrics that endpoints report",
    "PerformanceBased OrcaHeaders": "loadBalancer.performanceBased.source OrcaHeaders",
    "PerformanceBased OrcaOutOfBand": "loadBalancer.performanceBased.source "
    "OrcaOutOfBand",
}


@pytest.mark.parametrize("kind", LOCALITIES)
@pytest.mark.parametrize("name", VARIANTS)
def test_zones_go_with_what_envoy_has_a_field_for_them_in(name: str, kind: str) -> None:
    balancer, locality = VARIANTS[name], LOCALITIES[kind]
    text = f"{HEAD}  loadBalancer: {{{balancer}}}\n  locality: {locality}\n"
    problems = decode(text.encode(), source="x.yaml").problems
    found = [str(p) for p in problems if p.severity is Severity.ERROR]

    fits = {"ZoneAware": ZONED, "LoadAware": LOADED}.get(kind, VARIANTS)
    if name in fits:
        assert found == []
    else:
        (only,) = found
        assert only.splitlines()[0] == (
            f"x.yaml:7:20: spec.locality.type: {kind} cannot be combined with "
            f"{NOT[name]}"
        )
