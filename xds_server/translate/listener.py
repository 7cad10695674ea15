"""Build `envoy.config.listener.v3.Listener`: where an Envoy takes its client's traffic.

An audience and its TCP upstreams in, encoded listeners out: one for HTTP, whose routes
are elsewhere (RDS), and one for each TCP port that asks for a port of its own.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    SocketAddress,
    TrafficDirection,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E501 - Envoy's name
    HttpConnectionManager,
    HttpConnectionManagerServerHeaderTransformation,
    HttpConnectionManagerUpgradeConfig,
    HttpFilter,
    Rds,
)
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy
from envoy_data_plane.google.protobuf import Any

from xds_server.mesh.model import Audience, Protocol, Upstream
from xds_server.translate.check import TranslateError, check_identity, is_ip_address
from xds_server.translate.cluster import ADS
from xds_server.translate.name import (
    HTTP_LISTENER,
    cluster_name,
    owners,
    route_configuration_name,
    tcp_listener_name,
)
from xds_server.translate.route_filter import ROUTE_FILTERS
from xds_server.xds import LISTENER, Resource

ROUTER: Final = HttpFilter(
    name="envoy.filters.http.router", typed_config=Any.pack(Router())
)


def build_listeners(
    audience: Audience, tcp_upstreams: Iterable[Upstream]
) -> list[Resource]:
    """Return the listeners of *audience*, the one for HTTP first.

    Upstreams that are not TCP or have no `listen_port` get none. Of those that ask for
    the same port the first by (namespace, Service, port) has it; the HTTP listener
    comes before all. Envoy would refuse the second of two listeners on an address.

    Raises:
        TranslateError: a listener must not be sent to an Envoy.
    """
    if not is_ip_address(audience.listen_address):
        reason = f"{audience.listen_address!r} is no IP address"
        raise TranslateError(HTTP_LISTENER, reason)
    taken = {audience.listen_port}
    resources = [_build_http_listener(audience)]
    for upstream in sorted(tcp_upstreams, key=_identity):
        port = upstream.port.listen_port
        if upstream.port.protocol is not Protocol.TCP or port is None or port in taken:
            continue
        check_identity(upstream)
        taken.add(port)
        name = tcp_listener_name(upstream)
        body = _encode_tcp_listener(
            name, audience.listen_address, port, cluster_name(upstream)
        )
        resources.append(
            Resource(type_url=LISTENER, name=name, body=body, owners=owners(upstream))
        )
    return resources


def socket_address(address: str, port: int) -> Address:
    """Return the address of a TCP socket; *address* may be a name where DNS is used."""
    return Address(socket_address=SocketAddress(address=address, port_value=port))


def _identity(upstream: Upstream) -> tuple[str, str, int]:
    return upstream.namespace, upstream.service, upstream.port.number


def _build_http_listener(audience: Audience) -> Resource:
    manager = _build_http_connection_manager(
        route_configuration_name(audience.namespace)
    )
    listener = _build_listener(
        HTTP_LISTENER,
        socket_address(audience.listen_address, audience.listen_port),
        Filter(
            name="envoy.filters.network.http_connection_manager",
            typed_config=Any.pack(manager),
        ),
    )
    return Resource(
        type_url=LISTENER,
        name=HTTP_LISTENER,
        body=bytes(listener),
        owners=(
            f"node metadata listen_address {audience.listen_address}",
            f"node metadata listen_port {audience.listen_port}",
        ),
    )


def _build_http_connection_manager(routes: str) -> HttpConnectionManager:
    """Return the HTTP side of the outbound listener: it changes what it must, no more.

    - `use_remote_address`: the client's address is the peer's, which it cannot forge,
      and hashing by address is per client in both roles. It also puts the address into
      X-Forwarded-For.
    - The `Server` header is the server's own, not `envoy`.
    - WebSocket upgrades pass. CONNECT does not: a proxy for `http://` URLs needs none.
    - Paths are not normalised: the endpoint gets what the client sent.
    - The dot that ends a fully qualified name (`web.shop.`) goes: it means the same.
    """
    return HttpConnectionManager(
        stat_prefix="outbound_http",
        rds=Rds(config_source=ADS, route_config_name=routes),
        http_filters=[*ROUTE_FILTERS, ROUTER],
        use_remote_address=True,
        strip_trailing_host_dot=True,
        server_header_transformation=(
            HttpConnectionManagerServerHeaderTransformation.PASS_THROUGH
        ),
        upgrade_configs=[HttpConnectionManagerUpgradeConfig(upgrade_type="websocket")],
    )


@lru_cache(maxsize=4096)
def _encode_tcp_listener(name: str, address: str, port: int, cluster: str) -> bytes:
    proxy = TcpProxy(stat_prefix=cluster, cluster=cluster)
    listener = _build_listener(
        name,
        socket_address(address, port),
        Filter(name="envoy.filters.network.tcp_proxy", typed_config=Any.pack(proxy)),
    )
    return bytes(listener)


def _build_listener(name: str, address: Address, last_filter: Filter) -> Listener:
    return Listener(
        name=name,
        address=address,
        filter_chains=[FilterChain(filters=[last_filter])],
        traffic_direction=TrafficDirection.OUTBOUND,
    )
