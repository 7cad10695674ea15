"""Build `envoy.config.cluster.v3.Cluster`: how a gRPC client balances an upstream.

An `Upstream` in, an encoded cluster out, joined like an Envoy's of a policy that is
encoded once and a name. What gRPC reads of a cluster is little: its timeouts, panic
threshold and protocol options would mean nothing.
"""

from functools import lru_cache

from envoy.config.cluster.v3 import cluster_pb2
from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
)

from xds_server.api.policy import LoadBalancer, Locality
from xds_server.mesh.model import Discovery, Upstream
from xds_server.mesh.proxyless import adapt
from xds_server.translate.check import (
    TranslateError,
    check_endpoints,
    check_identity,
)
from xds_server.translate.cluster import ADS
from xds_server.translate.fragment import encode, merge
from xds_server.translate.name import cluster_name
from xds_server.translate.proxyless.load_balancing import build_load_balancing_policy
from xds_server.xds import CLUSTER, Resource


def build_cluster(upstream: Upstream) -> Resource:
    """Return the cluster of *upstream*.

    Raises:
        TranslateError: it must not be sent.
    """
    check_identity(upstream)
    name = cluster_name(upstream)
    nearest = adapt(upstream.load_balancer).load_balancer
    try:
        policy = _encode_policy(nearest, upstream.sections.locality, upstream.discovery)
    except ValueError as error:
        raise TranslateError(name, str(error)) from error
    identity = cluster_pb2.Cluster(name=name)
    if upstream.discovery is Discovery.DNS:
        check_endpoints(upstream)
        _name_host(identity, upstream)
    return Resource(type_url=CLUSTER, name=name, body=merge(encode(identity), policy))


def _name_host(identity: cluster_pb2.Cluster, upstream: Upstream) -> None:
    """Add the name that DNS resolves: gRPC wants exactly one (gRFC A37)."""
    for endpoint in upstream.endpoints[:1]:
        host = identity.load_assignment.endpoints.add().lb_endpoints.add()
        address = host.endpoint.address.socket_address
        address.address = endpoint.address
        address.port_value = endpoint.port


@lru_cache(maxsize=4096)
def _encode_policy(
    load_balancer: LoadBalancer, locality: Locality | None, discovery: Discovery
) -> bytes:
    cluster = Cluster(
        load_balancing_policy=build_load_balancing_policy(load_balancer, locality)
    )
    match discovery:
        case Discovery.EDS:
            cluster.type = ClusterDiscoveryType.EDS
            cluster.eds_cluster_config = ClusterEdsClusterConfig(eds_config=ADS)
        case Discovery.DNS:
            cluster.type = ClusterDiscoveryType.LOGICAL_DNS
    return bytes(cluster)
