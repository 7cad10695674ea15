"""What a `locality` adds to an algorithm, and what must not be sent."""

from dataclasses import dataclass, replace
from datetime import timedelta
from math import inf, nan

import pytest
import yaml
from envoy_data_plane.envoy.extensions.load_balancing_policies.load_aware_locality.v3 import (  # noqa: E501 - Envoy's name
    LoadAwareLocality,
)

from tests.api.corpus import LOCALITIES, VARIANTS
from tests.translate.mesh_input import load_balancer, sections
from xds_server.api.combination import clash_of
from xds_server.translate.check import LimitError
from xds_server.translate.limit import check_load_aware
from xds_server.translate.locality import build_load_balancing_policy


@pytest.mark.parametrize("kind", LOCALITIES)
@pytest.mark.parametrize("name", VARIANTS)
def test_what_goes_together_is_sent_and_nothing_else(name: str, kind: str) -> None:
    """The last line of defence draws the line where the API does."""
    balancer = load_balancer(yaml.safe_load(f"{{{VARIANTS[name]}}}"))
    locality = sections({"locality": yaml.safe_load(LOCALITIES[kind])}).locality
    assert locality is not None

    if clash_of(balancer, locality) is None:
        (entry,) = build_load_balancing_policy(balancer, locality).policies

        assert entry.typed_extension_config is not None
    else:
        with pytest.raises(LimitError):
            build_load_balancing_policy(balancer, locality)


@dataclass(frozen=True, kw_only=True)
class Load:
    """The fields of a LoadAwareLocality that have limits."""

    threshold: float = 0.1
    probe: float = 0.03
    smoothing: timedelta = timedelta(seconds=1)
    update: timedelta = timedelta(milliseconds=100)
    expiration: timedelta = timedelta(seconds=1)

    def message(self) -> LoadAwareLocality:
        return LoadAwareLocality(
            weight_update_period=self.update,
            utilization_variance_threshold=self.threshold,
            smoothing_time_constant=self.smoothing,
            remote_probe_fraction=self.probe,
            weight_expiration_period=self.expiration,
        )


GOOD, ZERO = Load(), timedelta(0)


@pytest.mark.parametrize(
    "load",
    [
        *(replace(GOOD, threshold=each) for each in (-0.1, 1.1, nan, inf)),
        *(replace(GOOD, probe=each) for each in (-0.1, 1, nan)),
        replace(GOOD, smoothing=ZERO),
        replace(GOOD, update=timedelta(milliseconds=99)),
        replace(GOOD, expiration=ZERO),
    ],
)
def test_what_envoy_would_refuse_of_loads_is_not_sent(load: Load) -> None:
    with pytest.raises(LimitError):
        check_load_aware(load.message())


def test_loads_within_the_limits_are_sent() -> None:
    check_load_aware(GOOD.message())
    check_load_aware(replace(GOOD, threshold=0, probe=0).message())
