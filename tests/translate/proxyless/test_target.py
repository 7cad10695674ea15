"""Every name of a resource leads back to its Service, and no other name does."""

import pytest
from hypothesis import given

from tests.translate.mesh_input import make_service
from tests.translate.test_name import UPSTREAMS
from xds_server.mesh.model import Audience, Client, Upstream
from xds_server.translate.proxyless.target import is_target, keys_of, service_of
from xds_server.translate.service import build_entrance, build_service
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE


@given(UPSTREAMS)
def test_each_name_is_about_its_service(upstream: Upstream) -> None:
    service = make_service(upstream)
    audience = Audience(client=Client.GRPC, namespace=upstream.namespace)
    resources = [
        *build_service(service, Client.GRPC),
        *build_entrance([service], audience),
    ]
    owner = (upstream.namespace, upstream.service)

    assert {each.type_url for each in resources} == {CLUSTER, ENDPOINT, LISTENER, ROUTE}
    assert {
        service_of(each.type_url, each.name, audience.namespace) for each in resources
    } == {owner}
    keys = set(keys_of(service, audience.namespace))
    assert keys >= {(each.type_url, each.name) for each in resources}
    assert {service_of(*key, audience.namespace) for key in keys} == {owner}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web", ("here", "web")),
        ("web:80", ("here", "web")),
        ("web.shop", ("shop", "web")),
        ("web.shop.svc.cluster.local:80", ("shop", "web")),
        ("web.svc", ("svc", "web")),
        ("web.shop.svc.cluster", None),
        ("web.shop.example", None),
        ("a.b.c.d.e.f", None),
        ("", None),
        (":80", None),
        ("web:", None),
        ("web:080", None),
        ("web:123456", None),
        ("Web.shop", None),
        ("web..shop", None),
        ("10.0.0.1:80", None),
        ("grpc/server?xds.resource.listening_address=0.0.0.0:80", None),
    ],
)
def test_targets(name: str, expected: tuple[str, str] | None) -> None:
    assert service_of(LISTENER, name, "here") == expected


@pytest.mark.parametrize("name", ["", "web", "a/b", "a/b/c/d"])
def test_names_of_nothing(name: str) -> None:
    assert service_of(CLUSTER, name, "here") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web.shop", True),
        ("web:80", True),
        ("web", False),
        ("field:api_listener", False),
        ("errors", False),
        ("x" * 254 + ":80", False),
    ],
)
def test_a_lone_word_is_not_told_to_be_unknown(name: str, *, expected: bool) -> None:
    """It may be any word of a client's rejection."""
    assert is_target(name) is expected
