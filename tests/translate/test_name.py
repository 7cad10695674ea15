"""Names are bounded and distinct, whatever Kubernetes calls its objects."""

from hypothesis import given, strategies as st

from tests.translate.mesh_input import make_upstream
from xds_server.mesh.model import Upstream
from xds_server.translate.name import (
    LENGTH_LIMIT,
    cluster_name,
    domains,
    is_label,
    route_configuration_name,
    tcp_listener_name,
)

LABELS = st.one_of(
    st.sampled_from(["svc", "cluster", "local", "a", "80", "x" * 63]),
    st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
)
UPSTREAMS = st.builds(
    make_upstream,
    namespace=LABELS,
    service=LABELS,
    number=st.integers(min_value=1, max_value=65535),
)


def identity(upstream: Upstream) -> tuple[str, str, int]:
    return upstream.namespace, upstream.service, upstream.port.number


@given(UPSTREAMS)
def test_names_are_bounded(upstream: Upstream) -> None:
    names = [
        cluster_name(upstream),
        tcp_listener_name(upstream),
        route_configuration_name(upstream.namespace),
        *domains(upstream, local=True, default=True),
    ]

    assert max(map(len, names)) <= LENGTH_LIMIT
    assert all("." not in name for name in names[:3])


@given(st.lists(UPSTREAMS, unique_by=identity))
def test_names_are_distinct(upstreams: list[Upstream]) -> None:
    clusters = {cluster_name(upstream) for upstream in upstreams}
    listeners = {tcp_listener_name(upstream) for upstream in upstreams}

    assert len(clusters) == len(listeners) == len(upstreams)


def test_labels_are_those_of_kubernetes() -> None:
    good = ["a", "0", "a-b", "x" * 63]
    bad = ["", "-a", "a-", "A", "a.b", "a/b", "a_b", "é", "x" * 64, "a\n"]

    assert all(is_label(text) for text in good)
    assert not any(is_label(text) for text in bad)


def test_a_service_has_all_names_of_its_dns() -> None:
    upstream = make_upstream(namespace="shop", service="web", number=8080)

    assert list(domains(upstream, local=False, default=False)) == [
        "web.shop:8080",
        "web.shop.svc:8080",
        "web.shop.svc.cluster.local:8080",
    ]
    assert list(domains(upstream, local=True, default=True)) == [
        "web",
        "web:8080",
        "web.shop",
        "web.shop:8080",
        "web.shop.svc",
        "web.shop.svc:8080",
        "web.shop.svc.cluster.local",
        "web.shop.svc.cluster.local:8080",
    ]
