"""Which load balancers do not fit their ports and backends."""

from collections.abc import Sequence

import pytest

from xds_server.api.policy import (
    AddressFrom,
    HashHeader,
    HashKey,
    IPHash,
    LeastRequest,
    LoadBalancer,
    LoadBalancerType,
    Maglev,
    PerformanceBalance,
    PerformanceBased,
    PerformanceSource,
    RingHash,
    SourceIP,
)
from xds_server.mesh.backend import Backend
from xds_server.mesh.fit import fit
from xds_server.mesh.misfit import Fit
from xds_server.mesh.model import Discovery, Health, Port, Protocol
from xds_server.mesh.share import LARGEST_SUM
from xds_server.mesh.site import Site
from xds_server.mesh.weight import Weighing

TCP = Port(number=5432, name="postgres", protocol=Protocol.TCP)
HTTP = Port(number=80, name="http", protocol=Protocol.HTTP1)
GRPC = Port(number=81, name="grpc", protocol=Protocol.HTTP2)
BY_HEADER = (HashKey(header=HashHeader(name="x-user")),)
BY_ADDRESS = (HashKey(source_ip=SourceIP()),)

ROUND_ROBIN = LoadBalancer()
RING = LoadBalancer(
    type=LoadBalancerType.RING_HASH, ring_hash=RingHash(), hash_on=BY_HEADER
)
MAGLEV = LoadBalancer(type=LoadBalancerType.MAGLEV, maglev=Maglev(), hash_on=BY_HEADER)
FORWARDED = LoadBalancer(
    type=LoadBalancerType.IP_HASH,
    ip_hash=IPHash(address_from=AddressFrom.X_FORWARDED_FOR),
)
ORCA = LoadBalancer(
    type=LoadBalancerType.PERFORMANCE_BASED,
    performance_based=PerformanceBased(source=PerformanceSource.ORCA_HEADERS),
)

COMPUTED = LoadBalancer(type=LoadBalancerType.PERFORMANCE_BASED)


def computed(block: PerformanceBased) -> LoadBalancer:
    return LoadBalancer(
        type=LoadBalancerType.PERFORMANCE_BASED, performance_based=block
    )


def fit_backends(
    load_balancer: LoadBalancer,
    port: Port = HTTP,
    *,
    count: int = 2,
    weights: Sequence[int] | None = None,
    names_port: bool = False,
    discovery: Discovery = Discovery.EDS,
) -> Fit:
    backends = [
        Backend(f"10.0.{i >> 8}.{i & 255}", 80, Health.HEALTHY, Site(), None)
        for i in range(count)
    ]
    weighing = Weighing(weights=None if weights is None else tuple(weights))
    return fit(
        load_balancer,
        port,
        backends,
        weighing,
        service="web",
        names_port=names_port,
        discovery=discovery,
    )


@pytest.mark.parametrize(
    "load_balancer", [ROUND_ROBIN, RING, MAGLEV, FORWARDED, ORCA, COMPUTED]
)
def test_nothing_speaks_against_them_on_http(load_balancer: LoadBalancer) -> None:
    assert fit_backends(load_balancer, names_port=True) == Fit()


@pytest.mark.parametrize(
    ("load_balancer", "path"),
    [
        (RING, ("hashOn",)),
        (MAGLEV, ("hashOn",)),
        (FORWARDED, ("ipHash", "addressFrom")),
        (ORCA, ("performanceBased", "source")),
        (COMPUTED, ("performanceBased", "source")),
    ],
)
def test_what_needs_http_is_an_error_on_a_tcp_port_named_by_section(
    load_balancer: LoadBalancer, path: tuple[str, ...]
) -> None:
    named = fit_backends(load_balancer, TCP, names_port=True)
    among_others = fit_backends(load_balancer, TCP)

    assert [error.path for error in named.errors] == [path]
    assert [warning.path for warning in named.warnings] == []
    assert [error.path for error in among_others.errors] == []
    assert [warning.path for warning in among_others.warnings] == [path]


@pytest.mark.parametrize(
    ("port", "report_port", "is_told"),
    [(HTTP, None, True), (TCP, None, True), (HTTP, 9090, False), (GRPC, None, False)],
)
def test_reports_out_of_band_need_a_port_that_speaks_http2(
    port: Port, report_port: int | None, *, is_told: bool
) -> None:
    out_of_band = LoadBalancer(
        type=LoadBalancerType.PERFORMANCE_BASED,
        performance_based=PerformanceBased(
            source=PerformanceSource.ORCA_OUT_OF_BAND, report_port=report_port
        ),
    )
    found = fit_backends(out_of_band, port, names_port=True)

    assert found.errors == ()
    assert [each.path for each in found.warnings] == [
        ("performanceBased", "source")
    ] * is_told


def test_weights_without_a_look_at_requests_in_flight_are_a_warning() -> None:
    turns = computed(PerformanceBased(balance=PerformanceBalance.ROUND_ROBIN))

    (warning,) = fit_backends(turns).warnings
    assert warning.path == ("performanceBased", "balance")
    assert warning.message.startswith("unstable near a collapse: ")
    assert fit_backends(COMPUTED).warnings == ()


def test_endpoints_that_are_names_are_not_told_apart() -> None:
    (warning,) = fit_backends(COMPUTED, discovery=Discovery.DNS).warnings

    assert warning.path == ("performanceBased", "source")
    assert fit_backends(ORCA, discovery=Discovery.DNS).warnings == ()


@pytest.mark.parametrize(
    ("metric", "is_told"),
    [
        ("named_metrics.latency", True),
        ("named_metrics.p99_Latency_ms", True),
        ("utilization.response_time", True),
        ("named_metrics.request_us", True),
        ("named_metrics.durationMean", True),
        ("cpu_utilization", False),
        ("named_metrics.bus", False),
        ("named_metrics.queue_items", False),
    ],
)
def test_failing_fast_must_not_look_fast(metric: str, *, is_told: bool) -> None:
    """Reports know no errors by themselves, as what xds-server computes does."""
    for source in PerformanceSource:
        block = PerformanceBased(source=source, metrics=("mem_utilization", metric))
        told = source is not PerformanceSource.CONTROL_PLANE and is_told
        found = fit_backends(computed(block), GRPC).warnings

        assert [each.path for each in found] == [
            ("performanceBased", "metrics", 1)
        ] * told


def test_one_source_address_among_the_keys_is_enough_for_tcp() -> None:
    both = RING.model_copy(update={"hash_on": BY_HEADER + BY_ADDRESS})

    assert fit_backends(both, TCP, names_port=True).errors == ()


def test_the_clients_address_behind_a_sidecar_is_a_warning() -> None:
    by_address = RING.model_copy(update={"hash_on": BY_HEADER + BY_ADDRESS})
    ip_hash = LoadBalancer(type=LoadBalancerType.IP_HASH, ip_hash=IPHash())

    assert [each.path for each in fit_backends(by_address).warnings] == [
        ("hashOn", 1, "sourceIP")
    ]
    assert [each.path for each in fit_backends(ip_hash).warnings] == [("type",)]
    assert "behind a sidecar" in fit_backends(ip_hash).warnings[0].message


def test_least_request_with_unequal_weights_is_a_warning() -> None:
    least = LoadBalancer(
        type=LoadBalancerType.LEAST_REQUEST, least_request=LeastRequest()
    )

    assert fit_backends(least, weights=[2, 2]) == Fit()
    assert fit_backends(least, weights=[2, 0]) == Fit()
    assert [w.path for w in fit_backends(least, weights=[1, 2]).warnings] == [
        ("weights",)
    ]


def test_rings_and_tables_need_a_hundred_entries_an_endpoint() -> None:
    table = MAGLEV.model_copy(update={"maglev": Maglev(table_size=251)})

    assert fit_backends(RING, count=10).warnings == ()
    assert [w.path for w in fit_backends(RING, count=11).warnings] == [
        ("ringHash", "minimumRingSize")
    ]
    assert fit_backends(table, count=2).warnings == ()
    assert [w.path for w in fit_backends(table, count=3).warnings] == [
        ("maglev", "tableSize")
    ]


def test_a_weight_too_small_for_the_ring_is_a_warning() -> None:
    """Envoy scales the ring so that the smallest weight has an entry, up to maximum."""
    fits = fit_backends(RING, weights=[1, 65_535])
    too_small = fit_backends(RING, weights=[1, 65_536])

    assert fits.warnings == ()
    assert [warning.path for warning in too_small.warnings] == [("weights",)]


def test_the_sum_of_weights_is_bounded() -> None:
    """Envoy refuses assignments of hash policies above 2^32-1."""
    largest = fit_backends(ROUND_ROBIN, weights=[LARGEST_SUM - 1, 1])
    larger = fit_backends(ROUND_ROBIN, weights=[LARGEST_SUM, 1])

    assert largest == Fit()
    assert [error.path for error in larger.errors] == [("weights",)]
    assert str(LARGEST_SUM + 1) in larger.errors[0].message


def test_an_empty_group_is_a_warning() -> None:
    weighing = Weighing(weights=(), empty_groups=(1,))

    found = fit(ROUND_ROBIN, HTTP, [], weighing, service="web", names_port=False)

    assert [each.path for each in found.warnings] == [("weights", "groups", 1)]
