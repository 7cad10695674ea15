"""Build `envoy.config.listener.v3.Listener`: what the target of a channel means.

Services and an audience in; encoded listeners out, one for each name of each port. A
gRPC client asks for the listener that is called like its target: `xds:///web.shop:80`
for `web.shop:80`. The names are those that an Envoy of the same namespace routes, so an
application keeps its targets when it stops using a sidecar.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Final

from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E501 - Envoy's name
    HttpConnectionManager,
    Rds,
)

from xds_server.mesh.model import Audience, Service, Upstream
from xds_server.translate.check import check_identity
from xds_server.translate.cluster import ADS
from xds_server.translate.fragment import encode, merge
from xds_server.translate.listener import ROUTER
from xds_server.translate.name import (
    CATCH_ALL,
    domains,
    owners,
    proxyless_route_name,
)
from xds_server.translate.proxyless.target import is_target
from xds_server.translate.route import default_upstream
from xds_server.xds import LISTENER, Resource

_MANAGER: Final = (
    "type.googleapis.com/"
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_PREFIX: Final = "grpc"


def build_listeners(
    services: Iterable[Service], audience: Audience
) -> Iterator[Resource]:
    """Yield the listeners of *services* that *audience* can name.

    Of two Services of one name, or two ports of one number, the first wins, as in an
    Envoy's routes.

    Raises:
        TranslateError: a name is no DNS label.
    """
    distinct = {(s.namespace, s.name): s for s in reversed(tuple(services))}
    for key in sorted(distinct):
        yield from _listeners(
            distinct[key], local=distinct[key].namespace == audience.namespace
        )


def build_unknown_listener(name: str) -> Resource | None:
    """Return a listener that leads nowhere, None if *name* is not meant as a target.

    A client that is told nothing waits 15 s before its calls fail: a name that is not
    in an answer may be in the next (xDS has no word for it in the state of the world).
    With this, they fail at once with `could not find VirtualHost for NAME`, until a
    Service of that name comes.
    """
    if not is_target(name):
        return None
    return _build_listener(name, _encode_nowhere())


def default_target(upstreams: Iterable[Upstream]) -> Upstream | None:
    """Return the port that a target without a port means, if there is one.

    It is what an Envoy takes; gRPC does not stop at ports that are not known to be
    HTTP, so where there are only such it is the lowest.
    """
    upstreams = tuple(upstreams)
    lowest = min(upstreams, key=lambda each: each.port.number, default=None)
    return default_upstream(upstreams) or lowest


def _listeners(service: Service, *, local: bool) -> Iterator[Resource]:
    default = default_target(service.upstreams)
    distinct = {each.port.number: each for each in reversed(service.upstreams)}
    for number in sorted(distinct):
        upstream = distinct[number]
        check_identity(upstream)
        found = owners(upstream)
        rest = _encode_route_to(proxyless_route_name(upstream))
        is_default = default is not None and number == default.port.number
        for name in domains(upstream, local=local, default=is_default):
            yield replace(_build_listener(name, rest), owners=found)


def _build_listener(name: str, rest: bytes) -> Resource:
    body = merge(encode(listener_pb2.Listener(name=name)), rest)
    return Resource(type_url=LISTENER, name=name, body=body)


@lru_cache(maxsize=65_536)
def _encode_route_to(name: str) -> bytes:
    """Return the fragment of a Listener whose routes are called *name*."""
    routes = http_connection_manager_pb2.Rds.FromString(_encode_source())
    routes.route_config_name = name
    manager = http_connection_manager_pb2.HttpConnectionManager(rds=routes)
    return _encode_api_listener(encode(manager))


@lru_cache(maxsize=1)
def _encode_nowhere() -> bytes:
    """Return the fragment of a Listener whose routes are none."""
    nowhere = HttpConnectionManager(route_config=RouteConfiguration(name=CATCH_ALL))
    return _encode_api_listener(bytes(nowhere))


@lru_cache(maxsize=1)
def _encode_source() -> bytes:
    return bytes(Rds(config_source=ADS))


@lru_cache(maxsize=1)
def _encode_manager() -> bytes:
    """Return what all HttpConnectionManagers have in common.

    The last filter must be the router: for gRPC it means that calls go out at all.
    """
    return bytes(HttpConnectionManager(stat_prefix=_PREFIX, http_filters=[ROUTER]))


def _encode_api_listener(routes: bytes) -> bytes:
    """Return a Listener of nothing but a HttpConnectionManager with *routes*."""
    listener = listener_pb2.Listener()
    listener.api_listener.api_listener.type_url = _MANAGER
    listener.api_listener.api_listener.value = merge(routes, _encode_manager())
    return encode(listener)
