"""A cluster that an Envoy can judge by itself, as it is sent but for what comes later.

An upstream in; its cluster with the endpoints inline out. Secrets are left out: the
files that they name are beside other Envoys.
"""

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import (
    upstream_proxy_protocol_pb2,
)
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2

from xds_server.mesh.model import Discovery, Upstream
from xds_server.translate.cluster import build_cluster
from xds_server.translate.endpoint import build_load_assignment


def build_static_cluster(upstream: Upstream) -> cluster_pb2.Cluster:
    """Return the cluster of *upstream* with its endpoints inline.

    Raises:
        TranslateError: it must not be sent to an Envoy.
    """
    cluster = cluster_pb2.Cluster.FromString(build_cluster(upstream).body)
    _forget_secrets(cluster.transport_socket)
    if upstream.discovery is Discovery.EDS:
        cluster.type = cluster_pb2.Cluster.STATIC
        cluster.ClearField("eds_cluster_config")
        cluster.load_assignment.CopyFrom(
            endpoint_pb2.ClusterLoadAssignment.FromString(
                build_load_assignment(upstream).body
            )
        )
    return cluster


def _forget_secrets(socket: base_pb2.TransportSocket) -> None:
    """Take the secrets out of *socket*, or out of the one that is inside."""
    outer = upstream_proxy_protocol_pb2.ProxyProtocolUpstreamTransport()
    if socket.typed_config.Unpack(outer):
        _forget_secrets(outer.transport_socket)
        socket.typed_config.Pack(outer)
    context = tls_pb2.UpstreamTlsContext()
    if socket.typed_config.Unpack(context):
        common = context.common_tls_context
        common.ClearField("tls_certificate_sds_secret_configs")
        common.ClearField("combined_validation_context")
        socket.typed_config.Pack(context)
