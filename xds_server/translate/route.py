"""Build `envoy.config.route.v3.RouteConfiguration`: which authority reaches what.

Services and an audience in, the encoded routes of its outbound HTTP listener out. It is
one virtual host for each HTTP port of each Service, encoded one by one, so that the
configurations of many namespaces are made of the same fragments, and a last one that
tells whoever asked for an unknown host so.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy_data_plane.envoy.config.core.v3 import DataSource, SubstitutionFormatString
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)

from xds_server.mesh.model import Audience, Discovery, Protocol, Service, Upstream
from xds_server.translate.check import check_identity
from xds_server.translate.fragment import encode, merge
from xds_server.translate.name import (
    CATCH_ALL,
    cluster_name,
    domains,
    route_configuration_name,
)
from xds_server.xds import ROUTE, Resource

_DEFAULT_PORT: Final = 80
_NOT_FOUND: Final = 404
_NOT_FOUND_BODY: Final = (
    'xds-server: no Service is called "%REQ(:AUTHORITY)%".\n'
    "hint: ask for NAME.NAMESPACE or NAME.NAMESPACE:PORT, in the Host header or"
    " through this listener as an HTTP proxy; the port must be one of the Service's"
    " HTTP ports.\n"
)


def build_route_configuration(
    services: Iterable[Service], audience: Audience
) -> Resource:
    """Return the routes that nodes of *audience* see.

    Envoy refuses a whole configuration for one domain that it has twice. Ours cannot
    be: a Service's domains have 2, 3 or 5 labels, and only in the audience's own
    namespace one; within a number of labels a host names one Service, and a host with a
    port one port of it. So of two Services of one name, or two ports of one number, the
    first wins.

    Raises:
        TranslateError: a name is no DNS label.
    """
    name = route_configuration_name(audience.namespace)
    distinct = {(s.namespace, s.name): s for s in reversed(tuple(services))}
    hosts = [
        host
        for key in sorted(distinct)
        for host in _virtual_hosts(
            distinct[key], local=distinct[key].namespace == audience.namespace
        )
    ]
    identity = encode(route_pb2.RouteConfiguration(name=name))
    body = merge(identity, *hosts, _catch_all())
    return Resource(type_url=ROUTE, name=name, body=body)


def build_virtual_host(upstream: Upstream, *, local: bool, default: bool) -> bytes:
    """Return a fragment of a RouteConfiguration: the virtual host of one HTTP port.

    *local* adds the Service's bare name, *default* every domain without a port.

    Raises:
        TranslateError: a name is no DNS label.
    """
    check_identity(upstream)
    return _encode_virtual_host(
        cluster_name(upstream),
        tuple(domains(upstream, local=local, default=default)),
        rewrite_host=upstream.discovery is Discovery.DNS,
    )


def default_upstream(upstreams: Iterable[Upstream]) -> Upstream | None:
    """Return the HTTP port that an authority without a port means, if there is one.

    That is 80 in HTTP (RFC 9110, 4.2.1). A Service without an HTTP port 80 is meant by
    its lowest: a name that works beats a 404.
    """
    http = [u for u in upstreams if u.port.protocol is not Protocol.TCP]
    return min(
        http,
        key=lambda u: (u.port.number != _DEFAULT_PORT, u.port.number),
        default=None,
    )


def _virtual_hosts(service: Service, *, local: bool) -> Iterator[bytes]:
    default = default_upstream(service.upstreams)
    distinct = {u.port.number: u for u in reversed(service.upstreams)}
    for number in sorted(distinct):
        upstream = distinct[number]
        if upstream.port.protocol is not Protocol.TCP:
            is_default = default is not None and number == default.port.number
            yield build_virtual_host(upstream, local=local, default=is_default)


@lru_cache(maxsize=65_536)
def _encode_virtual_host(
    name: str, domains: tuple[str, ...], *, rewrite_host: bool
) -> bytes:
    """Return a RouteConfiguration that has one virtual host, and nothing else.

    Envoy stays out of the request's way:

    - `timeout: 0s`, since Envoy's 15 s would end uploads, long polls and streams that
      work without it. A stream on which nothing moves for 5 min is still ended
      (`stream_idle_timeout` of the connection manager).
    - No retries: whether a request may be sent twice, only its author knows.
    - The Host header stays, except where DNS finds the endpoints: a server outside the
      mesh knows itself by its own name. The client's is in X-Forwarded-Host then.
    """
    host = route_components_pb2.VirtualHost(name=name, domains=domains)
    route = host.routes.add()
    route.match.prefix = "/"
    route.route.cluster = name
    route.route.timeout.SetInParent()
    if rewrite_host:
        route.route.auto_host_rewrite.value = True
        route.route.append_x_forwarded_host = True
    return encode(route_pb2.RouteConfiguration(virtual_hosts=[host]))


@lru_cache(maxsize=1)
def _catch_all() -> bytes:
    """Return the fragment of the virtual host that matches when no other does."""
    body = SubstitutionFormatString(
        text_format_source=DataSource(inline_string=_NOT_FOUND_BODY)
    )
    route = Route(
        match=RouteMatch(prefix="/"),
        direct_response=DirectResponseAction(status=_NOT_FOUND, body_format=body),
    )
    host = VirtualHost(name=CATCH_ALL, domains=["*"], routes=[route])
    return bytes(RouteConfiguration(virtual_hosts=[host]))
