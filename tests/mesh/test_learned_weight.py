"""What becomes of the weights that the control loop has found."""

from collections.abc import Mapping

import pytest

from tests.mesh.documents import HTTP, TCP, policy, service, slice_of
from xds_server.api.document import Document
from xds_server.api.kubernetes import ServiceSpec
from xds_server.api.policy import (
    LoadBalancer,
    LoadBalancerType,
    OutlierDetection,
    PerformanceBased,
    PerformanceSource,
    WeightRule,
    Weights,
)
from xds_server.mesh.event import Applied, Weighed
from xds_server.mesh.index import Index
from xds_server.mesh.learned_weight import bases_of, weighed_upstream
from xds_server.mesh.model import Health, Section, Upstream
from xds_server.mesh.share import LARGEST_SUM

MEASURED = LoadBalancer(type=LoadBalancerType.PERFORMANCE_BASED)
ORCA = LoadBalancer(
    type=LoadBalancerType.PERFORMANCE_BASED,
    performance_based=PerformanceBased(source=PerformanceSource.ORCA_HEADERS),
)


def based(bases: Mapping[str, int]) -> LoadBalancer:
    """Return a load balancer that gives endpoints a weight by their address."""
    rules = tuple(
        WeightRule(addresses=(address,), weight=weight)
        for address, weight in bases.items()
    )
    return MEASURED.model_copy(update={"weights": Weights(rules=rules)})


def upstream_of(
    *documents: Document, learned: Mapping[str, int], port: int = 80
) -> Upstream:
    weights = {f"10.0.0.{last}:8080": weight for last, weight in learned.items()}
    index = Index()
    index.apply(
        [
            *(Applied(document=each) for each in (service(), *documents)),
            Weighed(service=("shop", "web"), port=port, weights=weights),
        ]
    )
    return index.services["shop", "web"].upstreams[0]


def weights_of(upstream: Upstream) -> list[int | None]:
    return [each.weight for each in upstream.endpoints]


THREE = slice_of(["10.0.0.1", "10.0.0.2", "10.0.0.3"])


def test_before_anything_is_learned_the_bases_are_the_weights() -> None:
    plain = upstream_of(THREE, policy("p", MEASURED), learned={})
    weighed = upstream_of(THREE, policy("p", based({"10.0.0.1": 6})), learned={})

    assert weights_of(plain) == [1, 1, 1]
    assert weights_of(weighed) == [6, 1, 1]
    assert [each.base_weight for each in weighed.endpoints] == [6, 1, 1]


def test_what_is_learned_is_the_weight_and_the_base_stays() -> None:
    balancer = based({"10.0.0.1": 6})
    found = upstream_of(
        THREE, policy("p", balancer), learned={"1": 700, "2": 100, "3": 400}
    )

    assert weights_of(found) == [700, 100, 400]
    assert [each.base_weight for each in found.endpoints] == [6, 1, 1]


def test_a_new_endpoint_counts_like_the_median_of_the_others() -> None:
    """Measured against the bases: 300 = 100 * 3 is what 100 is at a base of 1."""
    five = slice_of([f"10.0.0.{last}" for last in range(1, 6)])
    balancer = based({"10.0.0.1": 3, "10.0.0.5": 2})
    found = upstream_of(
        five, policy("p", balancer), learned={"1": 300, "2": 50, "3": 900}
    )

    assert weights_of(found) == [300, 50, 900, 100, 200]


def test_what_is_known_of_endpoints_that_are_gone_counts_for_nothing() -> None:
    found = upstream_of(
        THREE, policy("p", MEASURED), learned={"1": 10, "2": 20, "9": 5000}
    )
    gone = upstream_of(THREE, policy("p", MEASURED), learned={"8": 10, "9": 20})

    assert weights_of(found) == [10, 20, 15]
    assert weights_of(gone) == [1, 1, 1]


def test_what_drains_goes_on_to_do_so() -> None:
    """It takes no part in the median, and leaves the common divisor alone."""
    balancer = based({"10.0.0.2": 0})
    found = upstream_of(
        THREE, policy("p", balancer), learned={"1": 40, "2": 9999, "3": 80}
    )

    assert weights_of(found) == [40, 40, 80]
    assert [each.health for each in found.endpoints] == [
        Health.HEALTHY,
        Health.DRAINING,
        Health.HEALTHY,
    ]
    assert dict(bases_of(found)) == {"10.0.0.1:8080": 1, "10.0.0.3:8080": 1}


def test_variants_have_their_own_bases_in_the_same_proportion() -> None:
    batch = policy(
        "batch", based({"10.0.0.1": 8, "10.0.0.2": 0}), clients={"tier": "batch"}
    )
    alike = policy("alike", MEASURED, clients={"tier": "web"})
    other = policy("other", LoadBalancer(), clients={"tier": "old"})
    balancer = based({"10.0.0.1": 2})
    found = upstream_of(
        THREE,
        policy("p", balancer),
        *(batch, alike, other),
        learned={"1": 200, "2": 50, "3": 30},
    )
    by_labels = {dict(each.labels)["tier"]: each.upstream for each in found.variants}

    assert weights_of(found) == [200, 50, 30]
    assert weights_of(by_labels["batch"]) == [800, 30, 30]
    assert weights_of(by_labels["web"]) == [100, 50, 30]
    assert weights_of(by_labels["old"]) == [None, None, None]
    assert weighed_upstream(found) is found


def test_a_variant_may_be_the_only_one_that_is_weighed() -> None:
    found = upstream_of(
        THREE, policy("p", MEASURED, clients={"tier": "a"}), learned={"1": 5}
    )
    (variant,) = found.variants

    assert weights_of(found) == [None, None, None]
    assert weights_of(variant.upstream) == [5, 5, 5]
    assert weighed_upstream(found) is variant.upstream
    assert dict(bases_of(found)) == {}


@pytest.mark.parametrize("balancer", [LoadBalancer(), ORCA])
def test_what_is_not_weighed_takes_no_weights(balancer: LoadBalancer) -> None:
    found = upstream_of(THREE, policy("p", balancer), learned={"1": 5})

    assert weights_of(found) == [None, None, None]
    assert weighed_upstream(found) is None


def test_neither_do_tcp_ports_and_names_though_the_policy_is_in_force() -> None:
    spec = ServiceSpec(type="ExternalName", external_name="a.example", ports=(HTTP,))
    for each in (service(ports=(HTTP, TCP)), service(spec=spec)):
        index = Index()
        index.apply([Applied(document=each), Applied(document=policy("p", MEASURED))])
        upstream = index.services["shop", "web"].upstreams[-1]

        assert upstream.load_balancer == MEASURED
        assert not upstream.is_weighed
        assert any("count as equal" in each.message for each in index.problems)


def test_weights_are_of_one_port() -> None:
    found = upstream_of(THREE, policy("p", MEASURED), learned={"1": 5}, port=81)

    assert weights_of(found) == [1, 1, 1]


def test_endpoints_have_the_names_of_load_reports() -> None:
    six = slice_of(["fd00::1"], address_type="IPv6")
    (found,) = upstream_of(six, policy("p", MEASURED), learned={}).endpoints

    assert found.authority == "[fd00::1]:8080"


def test_no_weights_are_too_many_for_an_envoy() -> None:
    """A new endpoint with the largest base, beside a known one with the smallest."""
    balancer = based({"10.0.0.2": 1_000_000, "10.0.0.3": 1_000_000})
    found = upstream_of(THREE, policy("p", balancer), learned={"1": 1_000_000})

    assert sum(filter(None, weights_of(found))) <= LARGEST_SUM


def test_outliers_are_detected_beside_the_loop_unless_a_policy_says_how() -> None:
    written = OutlierDetection(consecutive_5xx=9)
    plain = upstream_of(THREE, policy("p", LoadBalancer()), learned={})
    measured = upstream_of(THREE, policy("p", MEASURED), learned={})
    told = upstream_of(
        *(THREE, policy("p", MEASURED), policy("o", outlier_detection=written)),
        learned={},
    )
    found = measured.sections.outlier_detection

    assert plain.sections.outlier_detection is None
    assert found is not None
    assert (found.consecutive_5xx, found.max_ejection_percent) == (5, 50)
    assert (found.interval.seconds, found.base_ejection_time.seconds) == (1, 30)
    assert told.sections.outlier_detection == written
    assert [origin.section for origin in measured.origins] == [Section.LOAD_BALANCER]


def test_an_explanation_has_them_as_a_default() -> None:
    index = Index()
    documents = (service(), THREE, policy("p", MEASURED))
    index.apply([Applied(document=each) for each in documents])
    (explanation,) = index.explain(("shop", "web"), frozenset())
    facts = {each.field: (each.value, each.origin) for each in explanation.facts}

    assert facts["outlierDetection.maxEjectionPercent"] == ("50", "default")
    assert facts["outlierDetection.baseEjectionTime"] == ("30s", "default")
    assert facts["loadBalancer.performanceBased.updatePeriod"] == ("10s", "default")
    assert "outlierDetection" not in facts
