"""Build `envoy.config.cluster.v3.Cluster`: how Envoy balances over one upstream.

An `Upstream` in, an encoded cluster out. Its endpoints are elsewhere
(`build_load_assignment`), except where DNS finds them: such a cluster holds the names,
and is another one in places from which others of them are near.

A cluster is made of fragments. Its policy is authored here once for every distinct
(LoadBalancer, other sections, protocol, discovery) and cached; its identity, with the
health check and the names in TLS, is all that differs between clusters of one policy.
"""

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Final

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
)
from envoy_data_plane.envoy.extensions.clusters.common.dns.v3 import DnsLookupFamily
from envoy_data_plane.envoy.extensions.clusters.dns.v3 import (
    DnsCluster,
    DnsClusterRefreshRate,
)
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from xds_server.api.policy import LoadBalancer
from xds_server.mesh.misfit import Misfit
from xds_server.mesh.model import (
    Discovery,
    Protocol,
    Sections,
    Upstream,
    is_weighed,
)
from xds_server.translate.check import (
    TranslateError,
    check_endpoints,
    check_identity,
    check_localities,
)
from xds_server.translate.circuit_breaker import build_circuit_breakers
from xds_server.translate.connection import add_connection
from xds_server.translate.endpoint import assignment_builder
from xds_server.translate.fragment import encode, merge
from xds_server.translate.health_check import add_health_check
from xds_server.translate.limit import check_percent
from xds_server.translate.load_report import add_load_report
from xds_server.translate.locality import build_load_balancing_policy
from xds_server.translate.name import cluster_name
from xds_server.translate.nearness import forms_of
from xds_server.translate.outlier_detection import build_outlier_detection
from xds_server.translate.override_host import with_override
from xds_server.translate.patch import PatchError, apply_patch
from xds_server.translate.route_filter import encode_route_filters
from xds_server.translate.session import build_override_host_status
from xds_server.translate.transport_socket import add_transport_socket
from xds_server.xds import CLUSTER, NOWHERE, Place, Resource

DNS_REFRESH_RATE: Final = timedelta(seconds=5)
"""How often each Envoy asks DNS for each name."""

PANIC_THRESHOLD: Final = 50.0
"""The percentage of healthy endpoints below which Envoy ignores health by itself."""

HEALTH_MERGE_WINDOW: Final = timedelta(milliseconds=100)
"""How long an Envoy gathers what it finds out of the health of endpoints.

Its default is a second: of a zone that dies as a whole, it would leave one endpoint at
once and all others a second later (measured on 1.40).
"""

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
    identity = cluster_pb2.Cluster(name=name)
    # Weights are the endpoints': without them more clusters share an encoded policy.
    load_balancer = upstream.load_balancer.model_copy(update={"weights": None})
    try:
        # Routes are of all Services: this is where one is judged by itself.
        encode_route_filters(upstream.sections.of_routes, name)
        policy = _encode_policy(
            load_balancer,
            upstream.sections,
            upstream.port.protocol,
            upstream.discovery,
        )
        add_health_check(identity, upstream)
        add_transport_socket(identity, upstream)
    except ValueError as error:
        raise TranslateError(name, str(error)) from error
    if upstream.discovery is Discovery.EDS:
        body = apply_patch(merge(encode(identity), policy), upstream)
        return Resource(type_url=CLUSTER, name=name, body=body)
    check_endpoints(upstream)
    assignment_at = assignment_builder(upstream)
    check_localities(upstream, assignment_at(NOWHERE))

    def build(place: Place) -> bytes:
        found = cluster_pb2.Cluster(load_assignment=assignment_at(place))
        body = merge(encode(identity), encode(found), policy)
        return apply_patch(body, upstream)

    return Resource(
        type_url=CLUSTER,
        name=name,
        body=build(NOWHERE),
        forms=forms_of(upstream, build),
    )


def try_patch(upstream: Upstream) -> Iterable[Misfit]:
    """Return what is wrong with the patch of *upstream*, by places in its section."""
    try:
        build_cluster(upstream)
    except PatchError as error:
        return error.misfits
    except TranslateError:  # which it would be without the patch, too
        return ()
    return ()


def dns_cluster_type() -> ClusterCustomClusterType:
    """Return strict DNS: every address of every name is an endpoint.

    A name is resolved again every 5 s, Envoy's default, however long its answers may be
    kept. Who is behind a name is what counts, and a time to live does not tell how soon
    that changes: Docker's DNS says 600 s of a Compose service that is being scaled.
    IPv4 comes first: many names have addresses of both families, many Pods only IPv4.
    """
    settings = DnsCluster(
        dns_refresh_rate=DNS_REFRESH_RATE,
        dns_failure_refresh_rate=DnsClusterRefreshRate(
            base_interval=timedelta(seconds=1), max_interval=timedelta(seconds=10)
        ),
        dns_lookup_family=DnsLookupFamily.V4_PREFERRED,
    )
    return ClusterCustomClusterType(
        name="envoy.clusters.dns", typed_config=Any.pack(settings)
    )


def build_panic_threshold(section: float | None) -> Percent:
    """Return below which percentage of healthy endpoints Envoy ignores health.

    Raises:
        ValueError: it is no percentage. Of one that is no number, Envoy dies.
    """
    percent = PANIC_THRESHOLD if section is None else section
    check_percent(percent, "healthy_panic_threshold")
    return Percent(value=percent)


@lru_cache(maxsize=4096)
def _encode_policy(
    load_balancer: LoadBalancer,
    sections: Sections,
    protocol: Protocol,
    discovery: Discovery,
) -> bytes:
    """Return all of a cluster that its policy says.

    Where endpoints are checked, one that is new does not count before its first check:
    many new ones at once would look like an outage.
    """
    is_checked = sections.health_check is not None
    is_judged = is_checked or sections.outlier_detection is not None
    cluster = Cluster(
        load_balancing_policy=with_override(
            sections.override_host,
            build_load_balancing_policy(load_balancer, sections.locality),
        ),
        common_lb_config=ClusterCommonLbConfig(
            healthy_panic_threshold=build_panic_threshold(sections.panic_threshold),
            ignore_new_hosts_until_first_hc=is_checked,
            update_merge_window=HEALTH_MERGE_WINDOW if is_judged else None,
            override_host_status=build_override_host_status(sections.session),
        ),
        circuit_breakers=build_circuit_breakers(sections.circuit_breaker),
        outlier_detection=build_outlier_detection(sections.outlier_detection),
    )
    is_reported = is_weighed(load_balancer, protocol, discovery)
    add_connection(cluster, protocol, sections, load_balancer if is_reported else None)
    if is_reported:
        add_load_report(cluster, load_balancer)
    match discovery:
        case Discovery.EDS:
            cluster.type = ClusterDiscoveryType.EDS
            cluster.eds_cluster_config = ClusterEdsClusterConfig(eds_config=ADS)
        case Discovery.DNS:
            cluster.cluster_type = dns_cluster_type()
    return bytes(cluster)
