"""Build `envoy.config.core.v3.HealthCheck`: how Envoy sees whether an endpoint answers.

A health check and what its port speaks in; a part of a cluster out, authored once for
every distinct pair and copied. All that differs between two clusters is by what name
their endpoints are asked. Where they are asked, if not where they serve, is each
endpoint's (`endpoint`): Envoy does not check the port's range anywhere else.
"""

from functools import lru_cache
from typing import Final, assert_never

from envoy.config.cluster.v3 import cluster_pb2
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import (
    HealthCheck as EnvoyHealthCheck,
    HealthCheckGrpcHealthCheck,
    HealthCheckHttpHealthCheck,
    HealthCheckPayload,
    HealthCheckTcpHealthCheck,
    RequestMethod,
)
from envoy_data_plane.envoy.type.v3 import CodecClientType, Int64Range

from xds_server.api.policy import (
    Codec,
    GrpcCheck,
    HealthCheck,
    HealthCheckType,
    HttpCheck,
    TcpCheck,
    status_range,
)
from xds_server.mesh.model import Discovery, Protocol, Upstream
from xds_server.translate.check import check_health_check

_CODECS: Final = {
    Codec.HTTP1: CodecClientType.HTTP1,
    Codec.HTTP2: CodecClientType.HTTP2,
}
_ALL_STATUSES: Final = Int64Range(start=100, end=600)


def host_of(upstream: Upstream) -> str | None:
    """Return by what name the endpoints of *upstream* are asked; None by their own.

    Envoy's own default is the cluster's name. It has a `/` in it here, which many
    servers take for a bad request.
    """
    check = upstream.sections.health_check
    written = None
    if check is not None and check.http is not None:
        written = check.http.host
    elif check is not None and check.grpc is not None:
        written = check.grpc.authority
    if written is None and upstream.discovery is Discovery.DNS:
        return None
    return written or f"{upstream.service}.{upstream.namespace}"


def add_health_check(cluster: cluster_pb2.Cluster, upstream: Upstream) -> None:
    """Add the health check of *upstream*, if it has one, to its *cluster*.

    Raises:
        ValueError: it must not be sent to an Envoy.
    """
    check = upstream.sections.health_check
    if check is None:
        return
    cluster.MergeFrom(_template(check, upstream.port.protocol))
    (added,) = cluster.health_checks
    host = host_of(upstream)
    if host is None:
        return
    if check.type is HealthCheckType.HTTP:
        added.http_health_check.host = host
    elif check.type is HealthCheckType.GRPC:
        added.grpc_health_check.authority = host


@lru_cache(maxsize=4096)
def _template(check: HealthCheck, protocol: Protocol) -> cluster_pb2.Cluster:
    """Return all of a cluster that a health check needs, but for the host.

    An endpoint that is gone is gone, though it may still answer: Envoy would keep it
    until a check fails.
    """
    built = build_health_check(check, protocol)
    check_health_check(built, protocol)
    cluster = Cluster(
        health_checks=[built],
        ignore_health_on_host_removal=True,
    )
    return cluster_pb2.Cluster.FromString(bytes(cluster))


def build_health_check(check: HealthCheck, protocol: Protocol) -> EnvoyHealthCheck:
    """Return *check* for endpoints that speak *protocol*, without a host."""
    message = EnvoyHealthCheck(
        interval=check.interval,
        timeout=check.timeout,
        unhealthy_threshold=check.unhealthy_threshold,
        healthy_threshold=check.healthy_threshold,
        interval_jitter_percent=check.jitter_percent,
        no_traffic_interval=check.no_traffic_interval,
    )
    match check.type:
        case HealthCheckType.HTTP:
            assert check.http is not None  # noqa: S101 - the block of its type
            message.http_health_check = _http(check.http, protocol)
        case HealthCheckType.GRPC:
            block = check.grpc or GrpcCheck()
            message.grpc_health_check = HealthCheckGrpcHealthCheck(
                service_name=block.service
            )
        case HealthCheckType.TCP:
            message.tcp_health_check = _tcp(check.tcp or TcpCheck())
        case _:
            assert_never(check.type)
    return message


def _http(block: HttpCheck, protocol: Protocol) -> HealthCheckHttpHealthCheck:
    """Return a check by a request.

    A status that is not expected is one failure of `unhealthy_threshold`, as a lost
    connection is: without `retriable_statuses` Envoy would not count further.
    """
    spoken = Codec.HTTP2 if protocol is Protocol.HTTP2 else Codec.HTTP1
    ranges = filter(None, map(status_range, block.expected_statuses))
    return HealthCheckHttpHealthCheck(
        path=block.path,
        method=RequestMethod[block.method],
        expected_statuses=[
            Int64Range(start=first, end=last + 1) for first, last in ranges
        ],
        retriable_statuses=[_ALL_STATUSES],
        codec_client_type=_CODECS[block.codec or spoken],
    )


def _tcp(block: TcpCheck) -> HealthCheckTcpHealthCheck:
    return HealthCheckTcpHealthCheck(
        send=None if block.send is None else HealthCheckPayload(text=block.send),
        receive=[HealthCheckPayload(text=text) for text in block.receive],
    )
