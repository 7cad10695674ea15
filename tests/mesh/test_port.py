"""Which ports are balanced, and what they speak."""

import pytest

from tests.mesh.documents import service
from xds_server.api.kubernetes import ServicePort
from xds_server.mesh.model import Protocol
from xds_server.mesh.port import balanced_ports, protocol_of


@pytest.mark.parametrize(
    ("name", "app_protocol", "expected"),
    [
        ("http", None, Protocol.HTTP1),
        ("http-admin", None, Protocol.HTTP1),
        ("http2", None, Protocol.HTTP2),
        ("grpc-web", None, Protocol.HTTP2),
        ("", None, Protocol.TCP),
        ("https", None, Protocol.TCP),
        ("httpx", None, Protocol.TCP),
        ("postgres", None, Protocol.TCP),
        ("postgres", "http", Protocol.HTTP1),
        ("postgres", "kubernetes.io/ws", Protocol.HTTP1),
        ("postgres", "kubernetes.io/h2c", Protocol.HTTP2),
        ("postgres", "GRPC", Protocol.HTTP2),
        ("http", "tcp", Protocol.TCP),
        ("http", "https", Protocol.TCP),
    ],
)
def test_app_protocol_beats_the_name(
    name: str, app_protocol: str | None, expected: Protocol
) -> None:
    port = ServicePort(port=80, name=name, app_protocol=app_protocol)

    assert protocol_of(port) is expected


def test_only_tcp_ports_are_balanced_in_the_order_of_their_numbers() -> None:
    udp = ServicePort(port=53, name="dns", protocol="UDP")
    document = service(
        ports=[ServicePort(port=90, name="b"), udp, ServicePort(port=80, name="a")]
    )

    ports, problems = balanced_ports(document)

    assert [port.port for port in ports] == [80, 90]
    assert [(p.path, p.message) for p in problems] == [
        ("spec.ports[1].protocol", "UDP is not balanced: the port is left out")
    ]


def test_a_port_number_that_is_there_twice_is_used_once() -> None:
    document = service(
        ports=[ServicePort(port=80, name="a"), ServicePort(port=80, name="b")]
    )

    ports, problems = balanced_ports(document)

    assert [port.name for port in ports] == ["a"]
    assert [problem.path for problem in problems] == ["spec.ports[1].port"]
