"""Build `envoy.config.route.v3.RouteConfiguration`: which authority reaches what.

Services and an audience in, the encoded routes of its outbound HTTP listener out. It is
one virtual host for each HTTP port of each Service, encoded one by one, so that the
configurations of many namespaces are made of the same fragments, and a last one that
tells whoever asked for an unknown host so. Where a policy for some clients says what
routes go by, its virtual hosts are others for these.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Final, NamedTuple

from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy_data_plane.envoy.config.core.v3 import DataSource, SubstitutionFormatString
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)

from xds_server.mesh.model import (
    Audience,
    Discovery,
    Protocol,
    Sections,
    Service,
    Upstream,
)
from xds_server.mesh.selector import least_groups
from xds_server.translate.check import check_identity
from xds_server.translate.compound import Part, join
from xds_server.translate.fragment import encode
from xds_server.translate.load_report import REPORT_HEADERS
from xds_server.translate.name import (
    CATCH_ALL,
    cluster_name,
    domains,
    route_configuration_name,
)
from xds_server.translate.route_filter import encode_route_filters
from xds_server.xds import ROUTE, Labels, Resource

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
    identity = Part(body=encode(route_pb2.RouteConfiguration(name=name)))
    return join(ROUTE, name, [identity, *hosts, Part(body=_catch_all())])


def routed(upstream: Upstream) -> Hashable:
    """Return all of *upstream* that routes and listeners depend on, but its name."""
    groups = frozenset(_groups(upstream).items())
    return upstream.port, upstream.discovery, _basis(upstream), groups


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


class _Basis(NamedTuple):
    """What routes go by: sections, and whether answers are rid of reports of load."""

    sections: Sections
    hides_load: bool


def _basis(upstream: Upstream) -> _Basis:
    return _Basis(upstream.sections.of_routes, upstream.is_weighed)


def _groups(upstream: Upstream) -> Mapping[Labels, _Basis]:
    """Return what routes go by for clients who do not get what everybody gets."""
    if not upstream.variants:
        return {}
    by_labels = {each.labels: _basis(each.upstream) for each in upstream.variants}
    return least_groups(_basis(upstream), by_labels)


def _virtual_hosts(service: Service, *, local: bool) -> Iterator[Part]:
    default = default_upstream(service.upstreams)
    distinct = {u.port.number: u for u in reversed(service.upstreams)}
    for number in sorted(distinct):
        upstream = distinct[number]
        if upstream.port.protocol is not Protocol.TCP:
            is_default = default is not None and number == default.port.number
            yield _virtual_host(upstream, local=local, default=is_default)


def _virtual_host(upstream: Upstream, *, local: bool, default: bool) -> Part:
    """Return the virtual host of one HTTP port, a part of a RouteConfiguration.

    *local* adds the Service's bare name, *default* every domain without a port.

    Raises:
        TranslateError: a name is no DNS label.
    """
    check_identity(upstream)
    encoded = partial(
        _encode_virtual_host,
        cluster_name(upstream),
        tuple(domains(upstream, local=local, default=default)),
        rewrite_host=upstream.discovery is Discovery.DNS,
    )
    groups = _groups(upstream)
    return Part(
        body=encoded(basis=_basis(upstream)),
        groups={each: encoded(basis=groups[each]) for each in groups},
    )


@lru_cache(maxsize=65_536)
def _encode_virtual_host(
    name: str, domains: tuple[str, ...], *, rewrite_host: bool, basis: _Basis
) -> bytes:
    """Return a RouteConfiguration that has one virtual host, and nothing else.

    Envoy stays out of the request's way:

    - `timeout: 0s`, since Envoy's 15 s would end uploads, long polls and streams that
      work without it. A stream on which nothing moves for 5 min is still ended
      (`stream_idle_timeout` of the connection manager).
    - No retries: a policy that wants them has them in the cluster, and whatever is said
      here would take their place.
    - The Host header stays, except where DNS finds the endpoints: a server outside the
      mesh knows itself by its own name. The client's is in X-Forwarded-Host then.
    - Headers of answers stay, except reports of load where Envoys write these.
    """
    host = route_components_pb2.VirtualHost(name=name, domains=domains)
    route = host.routes.add()
    route.match.prefix = "/"
    route.route.cluster = name
    route.route.timeout.SetInParent()
    if rewrite_host:
        route.route.auto_host_rewrite.value = True
        route.route.append_x_forwarded_host = True
    if basis.hides_load:
        host.response_headers_to_remove.extend(REPORT_HEADERS)
    host.MergeFromString(encode_route_filters(basis.sections, name))
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
