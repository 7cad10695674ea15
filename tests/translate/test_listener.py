"""Listeners: one for HTTP, one for each TCP port that asks, never two on a port."""

import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from tests.translate.mesh_input import make_upstream
from xds_server.mesh.model import Audience, Protocol, Role, Upstream
from xds_server.translate.check import TranslateError
from xds_server.translate.listener import build_listeners
from xds_server.xds import LISTENER

SIDECAR = Audience(namespace="shop")
GATEWAY = Audience(
    namespace="shop", role=Role.GATEWAY, listen_address="::", listen_port=8080
)


def tcp(service: str, listen_port: int | None, number: int = 6379) -> Upstream:
    return make_upstream(
        service=service, number=number, protocol=Protocol.TCP, listen_port=listen_port
    )


def decode(audience: Audience, *of: Upstream) -> list[listener_pb2.Listener]:
    return [
        listener_pb2.Listener.FromString(resource.body)
        for resource in build_listeners(audience, of)
    ]


def manager_of(
    listener: listener_pb2.Listener,
) -> http_connection_manager_pb2.HttpConnectionManager:
    manager = http_connection_manager_pb2.HttpConnectionManager()
    assert listener.filter_chains[0].filters[0].typed_config.Unpack(manager)
    return manager


def sockets(listeners: list[listener_pb2.Listener]) -> dict[str, tuple[str, int]]:
    return {
        listener.name: (
            listener.address.socket_address.address,
            listener.address.socket_address.port_value,
        )
        for listener in listeners
    }


@pytest.mark.parametrize("audience", [SIDECAR, GATEWAY], ids=lambda a: a.role)
def test_http_is_taken_where_the_audience_says(audience: Audience) -> None:
    listeners = decode(audience)
    manager = manager_of(listeners[0])

    assert sockets(listeners) == {
        "outbound/http": (audience.listen_address, audience.listen_port)
    }
    assert manager.rds.route_config_name == "outbound/http/shop"
    assert manager.rds.config_source.HasField("ads")


@pytest.mark.parametrize("audience", [SIDECAR, GATEWAY], ids=lambda a: a.role)
def test_the_client_is_the_peer_in_both_roles(audience: Audience) -> None:
    """A client that forges X-Forwarded-For cannot choose where its hash leads."""
    manager = manager_of(decode(audience)[0])

    assert manager.use_remote_address.value


def test_requests_pass_unchanged() -> None:
    manager = manager_of(decode(SIDECAR)[0])
    pass_through = type(manager).PASS_THROUGH

    assert manager.server_header_transformation == pass_through
    assert not manager.HasField("normalize_path")
    assert not manager.merge_slashes
    assert [each.upgrade_type for each in manager.upgrade_configs] == ["websocket"]


def test_the_http_listener_is_traced_to_what_the_node_says_of_itself() -> None:
    (listener,) = build_listeners(GATEWAY, [])

    assert listener.owners == (
        "node metadata listen_address ::",
        "node metadata listen_port 8080",
    )


def test_a_tcp_port_has_a_listener_where_it_asks_for_one() -> None:
    listeners = decode(GATEWAY, tcp("cache", 7000), tcp("queue", None))
    proxy = tcp_proxy_pb2.TcpProxy()
    assert listeners[1].filter_chains[0].filters[0].typed_config.Unpack(proxy)

    assert sockets(listeners[1:]) == {"outbound/tcp/shop/cache/6379": ("::", 7000)}
    assert proxy.cluster == "shop/cache/6379"


def test_an_http_port_has_no_listener_of_its_own() -> None:
    web = make_upstream(protocol=Protocol.HTTP1, listen_port=7000)

    assert len(decode(SIDECAR, web)) == 1


def test_of_two_that_ask_for_one_port_the_first_by_name_has_it() -> None:
    upstreams = [tcp("b", 7000), tcp("a", 7000, 2), tcp("a", 7000, 1), tcp("c", 7001)]
    names = [resource.name for resource in build_listeners(SIDECAR, upstreams)]

    assert names == [
        "outbound/http",
        "outbound/tcp/shop/a/1",
        "outbound/tcp/shop/c/6379",
    ]


def test_the_port_of_the_http_listener_is_taken() -> None:
    assert len(decode(SIDECAR, tcp("cache", SIDECAR.listen_port))) == 1


def test_resources_are_named_as_their_messages() -> None:
    resources = build_listeners(SIDECAR, [tcp("cache", 7000)])
    names = [listener_pb2.Listener.FromString(each.body).name for each in resources]

    assert [resource.name for resource in resources] == names
    assert {resource.type_url for resource in resources} == {LISTENER}


@pytest.mark.parametrize("address", ["", "localhost", "127.1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(TranslateError, match="outbound/http"):
        decode(Audience(listen_address=address))
