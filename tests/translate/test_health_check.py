"""Health checks as parts of clusters: what is shared, what must not be sent."""

from dataclasses import replace
from datetime import timedelta

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy_data_plane.envoy.config.core.v3 import (
    HealthCheck as EnvoyHealthCheck,
    HealthCheckTcpHealthCheck,
)
from envoy_data_plane.envoy.type.v3 import CodecClientType, Int64Range

from tests.translate.mesh_input import Spec, health_check, make_upstream
from xds_server.mesh.model import Discovery, Endpoint, Protocol, Sections, Upstream
from xds_server.translate.check import (
    LimitError,
    TranslateError,
    check_health_check,
)
from xds_server.translate.cluster import build_cluster
from xds_server.translate.health_check import build_health_check
from xds_server.xds import Resource

HTTP: Spec = {"type": "HTTP", "http": {"path": "/"}}
GRPC: Spec = {"type": "GRPC"}


def checked(spec: Spec, upstream: Upstream | None = None) -> Upstream:
    sections = Sections(health_check=health_check(spec))
    return replace(upstream or make_upstream(), sections=sections)


def decoded(resource: Resource) -> cluster_pb2.Cluster:
    return cluster_pb2.Cluster.FromString(resource.body)


def test_two_services_of_one_check_are_asked_by_their_own_names() -> None:
    """The check is made once for both: neither may have the other's name."""
    hosts = [
        decoded(build_cluster(checked(HTTP, make_upstream(service=name))))
        .health_checks[0]
        .http_health_check.host
        for name in ("web", "cart", "web")
    ]

    assert hosts == ["web.shop", "cart.shop", "web.shop"]


def test_a_grpc_check_has_a_name_that_servers_understand() -> None:
    upstream = make_upstream(protocol=Protocol.HTTP2)
    cluster = decoded(build_cluster(checked(GRPC, upstream)))

    assert cluster.health_checks[0].grpc_health_check.authority == "web.shop"


def test_what_dns_finds_is_asked_by_its_own_name() -> None:
    upstream = make_upstream(
        Endpoint(address="a.example", port=80),
        Endpoint(address="b.example", port=80),
        discovery=Discovery.DNS,
    )
    cluster = decoded(build_cluster(checked({**HTTP, "port": 81}, upstream)))
    (group,) = cluster.load_assignment.endpoints
    configs = [each.endpoint.health_check_config for each in group.lb_endpoints]

    assert cluster.health_checks[0].http_health_check.host == ""
    assert [(each.hostname, each.port_value) for each in configs] == [
        ("a.example", 81),
        ("b.example", 81),
    ]


def test_without_a_check_nothing_of_it_is_in_the_cluster() -> None:
    cluster = decoded(build_cluster(make_upstream()))

    assert len(cluster.health_checks) == 0
    assert not cluster.ignore_health_on_host_removal
    assert not cluster.common_lb_config.ignore_new_hosts_until_first_hc


def test_a_grpc_check_without_http2_is_not_sent() -> None:
    """Envoy would refuse the cluster, and with it what else is in the response."""
    with pytest.raises(TranslateError, match="a gRPC check without HTTP/2"):
        build_cluster(checked(GRPC))


def http_with(**fields: object) -> EnvoyHealthCheck:
    message = build_health_check(health_check(HTTP), Protocol.HTTP1)
    for name, value in fields.items():
        setattr(message.http_health_check, name, value)
    return message


def tcp_with(**fields: object) -> EnvoyHealthCheck:
    message = build_health_check(health_check({"type": "TCP"}), Protocol.HTTP1)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (tcp_with(interval=timedelta(0)), "timeout not above 0"),
        (tcp_with(timeout=timedelta(0)), "timeout not above 0"),
        (tcp_with(timeout=timedelta(seconds=11)), "> interval"),
        (tcp_with(timeout=None), "timeout not above 0"),
        (tcp_with(no_traffic_interval=timedelta(0)), "no_traffic_interval"),
        (tcp_with(unhealthy_threshold=0), "threshold"),
        (tcp_with(healthy_threshold=None), "threshold"),
        (tcp_with(interval_jitter_percent=101), "interval_jitter_percent"),
        (tcp_with(tcp_health_check=None), "without one checker"),
        (http_with(path="healthz"), "path"),
        (http_with(codec_client_type=CodecClientType.HTTP3), "codec_client_type"),
        (http_with(expected_statuses=[Int64Range(start=99, end=200)]), "statuses"),
        (http_with(expected_statuses=[Int64Range(start=200, end=200)]), "statuses"),
        (http_with(expected_statuses=[Int64Range(start=200, end=601)]), "statuses"),
    ],
)
def test_what_envoy_would_take_and_not_mean_is_not_sent(
    message: EnvoyHealthCheck, rule: str
) -> None:
    """A check over HTTP/3 ends its process."""
    with pytest.raises(LimitError, match=rule):
        check_health_check(message, Protocol.HTTP1)


def test_a_checker_without_any_field_is_one() -> None:
    assert tcp_with().tcp_health_check == HealthCheckTcpHealthCheck()
    check_health_check(tcp_with(), Protocol.TCP)
