"""Build `envoy.config.cluster.v3.Cluster`: how Envoy balances over one upstream.

An `Upstream` in, an encoded cluster out. Its endpoints are elsewhere
(`build_load_assignment`), except where DNS finds them.

A cluster is two fragments. Its policy is authored here once for every distinct
(LoadBalancer, protocol, discovery) and cached; its identity is all that differs between
two clusters of one policy.
"""

from datetime import timedelta
from functools import lru_cache
from typing import Final, assert_never

from envoy.config.cluster.v3 import cluster_pb2
from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterCommonLbConfig,
    ClusterCustomClusterType,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.core.v3 import (
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions as CommonHttpProtocolOptions,
)
from envoy_data_plane.envoy.extensions.clusters.common.dns.v3 import DnsLookupFamily
from envoy_data_plane.envoy.extensions.clusters.dns.v3 import (
    DnsCluster,
    DnsClusterRefreshRate,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from xds_server.api.policy import LoadBalancer
from xds_server.mesh.model import Discovery, Protocol, Upstream
from xds_server.translate.check import (
    TranslateError,
    check_endpoints,
    check_identity,
)
from xds_server.translate.endpoint import load_assignment
from xds_server.translate.fragment import encode, merge
from xds_server.translate.load_balancing import build_load_balancing_policy
from xds_server.translate.name import cluster_name
from xds_server.xds import CLUSTER, Resource

CONNECT_TIMEOUT: Final = timedelta(seconds=5)

PANIC_THRESHOLD: Final = 50.0
"""The percentage of healthy endpoints below which Envoy ignores health."""

HTTP1_IDLE_TIMEOUT: Final = timedelta(seconds=4)
"""How long an idle HTTP/1 connection to an endpoint is kept for the next request.

Servers close idle connections too (Node.js, Apache and uvicorn after 5 s); a request
that is sent while they do is lost and answered with 503. Whoever closes first is safe.
HTTP/2 says goodbye properly (GOAWAY) and keeps Envoy's default of 1 h.
"""

HTTP_PROTOCOL_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
"""The key of HttpProtocolOptions in `typed_extension_protocol_options`."""

ADS: Final = ConfigSource(
    ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3
)
"""From the stream that everything else comes from."""


def build_cluster(upstream: Upstream) -> Resource:
    """Return the cluster of *upstream*.

    Raises:
        TranslateError: it must not be sent to an Envoy.
    """
    check_identity(upstream)
    name = cluster_name(upstream)
    # Weights are the endpoints': without them more clusters share an encoded policy.
    load_balancer = upstream.load_balancer.model_copy(update={"weights": None})
    try:
        policy = _encode_policy(
            load_balancer, upstream.port.protocol, upstream.discovery
        )
    except ValueError as error:
        raise TranslateError(name, str(error)) from error
    identity = cluster_pb2.Cluster(name=name)
    if upstream.discovery is Discovery.DNS:
        check_endpoints(upstream)
        identity.load_assignment.CopyFrom(load_assignment(upstream))
    return Resource(type_url=CLUSTER, name=name, body=merge(encode(identity), policy))


def http_protocol_options(protocol: Protocol) -> dict[str, Any]:
    """Return `typed_extension_protocol_options`: what is spoken with the endpoints.

    It is the port's own protocol, whatever the client speaks. None for TCP: Envoy would
    hold HTTP options for a cluster that no HTTP route leads to.
    """
    common = None
    match protocol:
        case Protocol.TCP:
            return {}
        case Protocol.HTTP1:
            explicit = HttpProtocolOptionsExplicitHttpConfig(
                http_protocol_options=Http1ProtocolOptions()
            )
            common = CommonHttpProtocolOptions(idle_timeout=HTTP1_IDLE_TIMEOUT)
        case Protocol.HTTP2:
            explicit = HttpProtocolOptionsExplicitHttpConfig(
                http2_protocol_options=Http2ProtocolOptions()
            )
        case _:
            assert_never(protocol)
    options = HttpProtocolOptions(
        common_http_protocol_options=common, explicit_http_config=explicit
    )
    return {HTTP_PROTOCOL_OPTIONS: Any.pack(options)}


def dns_cluster_type() -> ClusterCustomClusterType:
    """Return strict DNS: every address of every name is an endpoint.

    A name is resolved again when its time to live is over (5 s where that is zero).
    IPv4 comes first: many names have addresses of both families, many Pods only IPv4.
    """
    settings = DnsCluster(
        dns_refresh_rate=timedelta(seconds=5),
        dns_failure_refresh_rate=DnsClusterRefreshRate(
            base_interval=timedelta(seconds=1), max_interval=timedelta(seconds=10)
        ),
        respect_dns_ttl=True,
        dns_lookup_family=DnsLookupFamily.V4_PREFERRED,
    )
    return ClusterCustomClusterType(
        name="envoy.clusters.dns", typed_config=Any.pack(settings)
    )


@lru_cache(maxsize=4096)
def _encode_policy(
    load_balancer: LoadBalancer, protocol: Protocol, discovery: Discovery
) -> bytes:
    cluster = Cluster(
        connect_timeout=CONNECT_TIMEOUT,
        load_balancing_policy=build_load_balancing_policy(load_balancer),
        common_lb_config=ClusterCommonLbConfig(
            healthy_panic_threshold=Percent(value=PANIC_THRESHOLD)
        ),
        typed_extension_protocol_options=http_protocol_options(protocol),
    )
    match discovery:
        case Discovery.EDS:
            cluster.type = ClusterDiscoveryType.EDS
            cluster.eds_cluster_config = ClusterEdsClusterConfig(eds_config=ADS)
        case Discovery.DNS:
            cluster.cluster_type = dns_cluster_type()
    return bytes(cluster)
