"""What is measured and reported of clusters whose weights are computed."""

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions

from tests.translate.mesh_input import (
    Spec,
    load_balancer,
    make_service,
    make_upstream,
)
from xds_server.load import UPSTREAM_TIME
from xds_server.mesh.model import (
    Audience,
    Discovery,
    Endpoint,
    Protocol,
    Upstream,
    Variant,
)
from xds_server.translate.cluster import build_cluster
from xds_server.translate.connection import HTTP_PROTOCOL_OPTIONS
from xds_server.translate.route import build_route_configuration, routed
from xds_server.xds import Resource

MEASURED: Spec = {"type": "PerformanceBased"}
REPORTED: Spec = {
    "type": "PerformanceBased",
    "performanceBased": {"metrics": ["named_metrics.queue", "cpu_utilization"]},
}
ORCA: Spec = {
    "type": "PerformanceBased",
    "performanceBased": {"source": "OrcaHeaders"},
}
HEADERS = ["endpoint-load-metrics", "endpoint-load-metrics-bin"]


def cluster_of(upstream: Upstream) -> Cluster:
    return Cluster.parse(build_cluster(upstream).body)


def filters_of(cluster: Cluster) -> list[str]:
    options = cluster.typed_extension_protocol_options.get(HTTP_PROTOCOL_OPTIONS)
    if options is None:
        return []
    found = HttpProtocolOptions.parse(options.value).http_filters
    return [each.name.removeprefix("envoy.filters.http.") for each in found]


def removed(routes: Resource) -> bool:
    """Whether clients do not see reports of load in answers."""
    host, _ = RouteConfiguration.parse(routes.body).virtual_hosts
    assert host.response_headers_to_remove in ([], HEADERS)
    return bool(host.response_headers_to_remove)


@pytest.mark.parametrize(
    ("spec", "filters", "metrics"),
    [
        (MEASURED, ["header_mutation", "upstream_codec"], [UPSTREAM_TIME]),
        (REPORTED, [], ["named_metrics.queue", "cpu_utilization"]),
        (ORCA, [], []),
        ({"type": "LeastRequest"}, [], []),
    ],
)
@pytest.mark.parametrize("protocol", [Protocol.HTTP1, Protocol.HTTP2])
def test_a_filter_measures_unless_endpoints_report(
    spec: Spec, filters: list[str], metrics: list[str], protocol: Protocol
) -> None:
    upstream = make_upstream(policy=load_balancer(spec), protocol=protocol)
    cluster = cluster_of(upstream)
    routes = build_route_configuration([make_service(upstream)], Audience())

    assert filters_of(cluster) == filters
    assert cluster.lrs_report_endpoint_metrics == metrics
    assert (cluster.lrs_server is not None) == bool(metrics)
    assert removed(routes) == bool(metrics)


def test_what_is_refused_is_not_measured() -> None:
    """Answers pass filters from the last to the first."""
    upstream = make_upstream(
        policy=load_balancer(MEASURED), spec={"admissionControl": {}}
    )

    assert filters_of(cluster_of(upstream)) == [
        "admission_control",
        "header_mutation",
        "upstream_codec",
    ]


@pytest.mark.parametrize(
    "upstream",
    [
        make_upstream(policy=load_balancer(MEASURED), protocol=Protocol.TCP),
        make_upstream(
            Endpoint(address="a.example", port=80),
            policy=load_balancer(MEASURED),
            discovery=Discovery.DNS,
        ),
    ],
    ids=["TCP", "names"],
)
def test_where_nothing_is_computed_nothing_is_reported(upstream: Upstream) -> None:
    cluster = cluster_of(upstream)

    assert filters_of(cluster) == []
    assert cluster.lrs_server is None
    assert cluster.lrs_report_endpoint_metrics == []


def test_routes_are_others_only_where_reports_begin_or_end() -> None:
    plain, measured = make_upstream(), make_upstream(policy=load_balancer(MEASURED))
    labels = frozenset({("tier", "batch")})

    def with_variant(upstream: Upstream, other: Upstream) -> Upstream:
        variant = Variant(labels=labels, upstream=other)
        return Upstream(
            namespace=upstream.namespace,
            service=upstream.service,
            port=upstream.port,
            discovery=upstream.discovery,
            load_balancer=upstream.load_balancer,
            endpoints=upstream.endpoints,
            variants=(variant,),
        )

    assert routed(plain) != routed(measured)
    assert routed(make_upstream(policy=load_balancer(REPORTED))) == routed(measured)
    assert routed(with_variant(plain, measured)) != routed(plain)
    assert routed(with_variant(measured, measured)) == routed(measured)
