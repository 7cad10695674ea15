"""Build the transport socket of a cluster: what comes before, and around, its bytes.

An upstream in; a part of its cluster out. A connection may begin with the header of the
PROXY protocol, and be encrypted; the header comes first and in the clear, as its
specification has it (haproxy.org, proxy-protocol.txt, section 2). How it is encrypted
is in `tls`.
"""

from typing import Final

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2, proxy_protocol_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import (
    upstream_proxy_protocol_pb2,
)
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2

from xds_server.api.policy import ProxyProtocol
from xds_server.mesh.model import Upstream
from xds_server.translate.tls import build_tls

_HEADER: Final = "envoy.transport_sockets.upstream_proxy_protocol"
_CLEAR: Final = "envoy.transport_sockets.raw_buffer"
_VERSIONS: Final = {
    ProxyProtocol.V1: proxy_protocol_pb2.ProxyProtocolConfig.V1,
    ProxyProtocol.V2: proxy_protocol_pb2.ProxyProtocolConfig.V2,
}


def add_transport_socket(cluster: cluster_pb2.Cluster, upstream: Upstream) -> None:
    """Add to the *cluster* of *upstream* its transport socket, if it needs one.

    Raises:
        ValueError: it must not be sent to an Envoy.
    """
    socket = build_tls(upstream)
    connection = upstream.sections.connection
    if connection is not None and connection.proxy_protocol is not None:
        socket = _announced(connection.proxy_protocol, socket or _in_the_clear())
    if socket is not None:
        cluster.transport_socket.CopyFrom(socket)


def _announced(
    version: ProxyProtocol, inner: base_pb2.TransportSocket
) -> base_pb2.TransportSocket:
    """Return *inner* after a header that says whose connection it is."""
    message = upstream_proxy_protocol_pb2.ProxyProtocolUpstreamTransport(
        config=proxy_protocol_pb2.ProxyProtocolConfig(version=_VERSIONS[version]),
        transport_socket=inner,
    )
    socket = base_pb2.TransportSocket(name=_HEADER)
    socket.typed_config.Pack(message)
    return socket


def _in_the_clear() -> base_pb2.TransportSocket:
    """Return what a cluster without a transport socket has."""
    socket = base_pb2.TransportSocket(name=_CLEAR)
    socket.typed_config.Pack(raw_buffer_pb2.RawBuffer())
    return socket
