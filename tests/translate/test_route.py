"""Routes: every authority leads to one port, and no domain is there twice."""

import pytest
from envoy.config.route.v3 import route_components_pb2, route_pb2
from hypothesis import given, strategies as st

from tests.translate.mesh_input import make_service, make_upstream
from tests.translate.test_name import LABELS
from xds_server.mesh.model import (
    Audience,
    Discovery,
    Endpoint,
    Protocol,
    Role,
    Service,
)
from xds_server.translate.check import TranslateError
from xds_server.translate.route import build_route_configuration, default_upstream
from xds_server.xds import ROUTE

SHOP = Audience(namespace="shop")
EDGE = Audience(namespace="edge")


@st.composite
def services(draw: st.DrawFn) -> Service:
    """Draw a Service; names and numbers of a list of them are often equal."""
    namespace, name = draw(LABELS), draw(LABELS)
    ports = draw(
        st.lists(
            st.tuples(st.sampled_from([80, 443, 8080]), st.sampled_from(Protocol)),
            min_size=1,
            max_size=4,
        )
    )
    return make_service(
        *(
            make_upstream(
                namespace=namespace, service=name, number=number, protocol=protocol
            )
            for number, protocol in ports
        )
    )


def decode(audience: Audience, *of: Service) -> route_pb2.RouteConfiguration:
    body = build_route_configuration(of, audience).body
    return route_pb2.RouteConfiguration.FromString(body)


def destinations(routes: route_pb2.RouteConfiguration) -> dict[str, str]:
    """Return the cluster that each domain leads to."""
    return {
        domain: host.routes[0].route.cluster
        for host in routes.virtual_hosts
        for domain in host.domains
    }


def route_of(routes: route_pb2.RouteConfiguration) -> route_components_pb2.RouteAction:
    return routes.virtual_hosts[0].routes[0].route


@given(st.lists(services(), max_size=6), LABELS)
def test_no_domain_is_there_twice(some: list[Service], namespace: str) -> None:
    routes = decode(Audience(namespace=namespace), *some)
    domains = [domain for host in routes.virtual_hosts for domain in host.domains]
    names = [host.name for host in routes.virtual_hosts]

    assert len(domains) == len(set(domains))
    assert len(names) == len(set(names))


@given(
    st.lists(services(), max_size=6, unique_by=lambda s: (s.namespace, s.name)), LABELS
)
def test_every_http_port_is_reached_by_its_full_name(
    some: list[Service], namespace: str
) -> None:
    found = destinations(decode(Audience(namespace=namespace), *some))
    for service in some:
        first = {u.port.number: u for u in reversed(service.upstreams)}
        for upstream in first.values():
            host = f"{service.name}.{service.namespace}.svc.cluster.local"
            cluster = found.get(f"{host}:{upstream.port.number}")
            expected = f"{service.namespace}/{service.name}/{upstream.port.number}"

            assert cluster == (
                None if upstream.port.protocol is Protocol.TCP else expected
            )


@given(st.lists(services(), max_size=6, unique_by=lambda s: (s.namespace, s.name)))
def test_the_order_of_services_means_nothing(some: list[Service]) -> None:
    forward = build_route_configuration(some, SHOP)

    assert forward == build_route_configuration(some[::-1], SHOP)


def test_the_bare_name_is_for_nodes_of_the_same_namespace() -> None:
    web = make_service(make_upstream(namespace="shop", service="web"))

    assert destinations(decode(SHOP, web))["web"] == "shop/web/80"
    assert destinations(decode(SHOP, web))["web:80"] == "shop/web/80"
    assert "web" not in destinations(decode(EDGE, web))
    assert destinations(decode(EDGE, web))["web.shop"] == "shop/web/80"


def test_the_namespace_alone_shapes_the_routes() -> None:
    web = make_service(make_upstream())
    other = Audience(
        namespace="shop", role=Role.GATEWAY, listen_address="::1", listen_port=1
    )
    resource = build_route_configuration([web], SHOP)

    assert resource == build_route_configuration([web], other)
    assert (resource.type_url, resource.name) == (ROUTE, "outbound/http/shop")


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([(80, Protocol.HTTP1)], 80),
        ([(8080, Protocol.HTTP1), (80, Protocol.HTTP2)], 80),
        ([(9090, Protocol.HTTP1), (8080, Protocol.HTTP2)], 8080),
        ([(80, Protocol.TCP), (8080, Protocol.HTTP1)], 8080),
        ([(80, Protocol.TCP)], None),
    ],
)
def test_an_authority_without_a_port_means_80_or_else_the_lowest(
    ports: list[tuple[int, Protocol]], expected: int | None
) -> None:
    upstreams = [make_upstream(number=n, protocol=p) for n, p in ports]
    default = default_upstream(upstreams)
    found = destinations(decode(SHOP, make_service(*upstreams)))

    assert (default.port.number if default else None) == expected
    assert found.get("web") == (f"shop/web/{expected}" if expected else None)


def test_nothing_ends_a_request_before_its_time() -> None:
    timeout = route_of(decode(SHOP, make_service(make_upstream())))

    assert timeout.HasField("timeout")
    assert timeout.timeout.ToNanoseconds() == 0


def test_the_host_header_stays_but_for_servers_outside_the_mesh() -> None:
    inside = make_service(make_upstream())
    name = Endpoint(address="a.example", port=80)
    outside = make_service(make_upstream(name, discovery=Discovery.DNS))

    assert not route_of(decode(SHOP, inside)).auto_host_rewrite.value
    assert route_of(decode(SHOP, outside)).auto_host_rewrite.value
    assert route_of(decode(SHOP, outside)).append_x_forwarded_host


def test_an_unknown_host_is_told_so() -> None:
    host = decode(SHOP).virtual_hosts[-1]
    response = host.routes[0].direct_response
    text = response.body_format.text_format_source.inline_string

    assert list(host.domains) == ["*"]
    assert response.status == 404
    assert "%REQ(:AUTHORITY)%" in text
    assert "hint:" in text


def test_of_two_services_of_one_name_the_first_wins() -> None:
    first = make_service(make_upstream(number=81))
    second = make_service(make_upstream(number=82))
    found = destinations(decode(SHOP, first, second))

    assert found["web"] == "shop/web/81"
    assert "web:82" not in found


def test_a_name_that_is_no_label_is_refused() -> None:
    with pytest.raises(TranslateError, match=r"'\*' is no DNS label"):
        decode(SHOP, make_service(make_upstream(service="*")))
