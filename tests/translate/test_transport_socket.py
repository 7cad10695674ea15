"""What comes before the bytes of a connection, and around them; goldens have more."""

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import (
    upstream_proxy_protocol_pb2,
)
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2

from tests.translate.mesh_input import Spec, make_service, make_upstream
from xds_server.mesh.model import Client, Discovery, Endpoint, Protocol
from xds_server.translate.service import build_service
from xds_server.translate.static_cluster import build_static_cluster
from xds_server.xds import CLUSTER, SECRET

WEB = Endpoint(address="10.0.0.1", port=80)
NAMED = Endpoint(address="web.example", port=80)
TLS: Spec = {"tls": {"mode": "Simple", "ca": {"file": "/etc/tls/ca.crt"}}}
HEADER = "envoy.transport_sockets.upstream_proxy_protocol"


def announced(version: str, **more: object) -> Spec:
    return {"connection": {"proxyProtocol": version}, **more}


def header_of(
    cluster: cluster_pb2.Cluster,
) -> upstream_proxy_protocol_pb2.ProxyProtocolUpstreamTransport:
    message = upstream_proxy_protocol_pb2.ProxyProtocolUpstreamTransport()
    assert cluster.transport_socket.name == HEADER
    assert cluster.transport_socket.typed_config.Unpack(message)
    return message


UPSTREAMS = [
    (protocol, discovery)
    for protocol in Protocol
    for discovery in (Discovery.EDS, Discovery.DNS)
]


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("spoken", UPSTREAMS)
@pytest.mark.parametrize(
    ("more", "inside"),
    [
        ({}, "envoy.transport_sockets.raw_buffer"),
        ({"tls": {"mode": "Disable"}}, "envoy.transport_sockets.raw_buffer"),
        (TLS, "envoy.transport_sockets.tls"),
    ],
)
def test_the_header_comes_before_what_is_encrypted(
    version: str, spoken: tuple[Protocol, Discovery], more: Spec, inside: str
) -> None:
    protocol, discovery = spoken
    upstream = make_upstream(
        WEB if discovery is Discovery.EDS else NAMED,
        protocol=protocol,
        discovery=discovery,
        spec=announced(version, **more),
    )
    resources = list(build_service(make_service(upstream)))
    (cluster,) = (each for each in resources if each.type_url == CLUSTER)
    header = header_of(cluster_pb2.Cluster.FromString(cluster.body))

    assert header.config.Version.Name(header.config.version) == version
    assert header.transport_socket.name == inside
    assert (SECRET in {each.type_url for each in resources}) is (more == TLS)


def test_a_cluster_that_an_envoy_judges_by_itself_has_no_secrets_inside() -> None:
    upstream = make_upstream(WEB, spec=announced("V2", **TLS))
    header = header_of(build_static_cluster(upstream))
    context = tls_pb2.UpstreamTlsContext()

    assert header.transport_socket.typed_config.Unpack(context)
    assert context.sni == "web.shop.svc"
    assert "sds" not in str(context)


def test_grpc_clients_are_told_of_no_header() -> None:
    upstream = make_upstream(WEB, spec=announced("V1"))
    resources = build_service(make_service(upstream), Client.GRPC)
    (cluster,) = (each for each in resources if each.type_url == CLUSTER)

    assert b"proxy_protocol" not in cluster.body
