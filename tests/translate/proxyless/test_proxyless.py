"""What gRPC clients are sent; goldens have what it looks like."""

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from hypothesis import given

from tests.translate.mesh_input import (
    Spec,
    accepted,
    load_balancer,
    make_service,
    make_upstream,
)
from tests.translate.policy_input import ACCEPTED, DOUBTFUL
from xds_server.api.policy import (
    LoadBalancer,
    LoadBalancerType,
    PerformanceBased,
    PerformanceSource,
)
from xds_server.mesh.model import (
    Audience,
    Client,
    Discovery,
    Endpoint,
    Health,
    Locality,
    Protocol,
    Upstream,
)
from xds_server.translate.check import TranslateError
from xds_server.translate.proxyless import (
    build_cluster,
    build_listeners,
    build_load_assignment,
    build_route_configuration,
    build_unknown_listener,
)
from xds_server.translate.proxyless.cluster import _encode_policy
from xds_server.xds import Resource

WEIGHTED = load_balancer({"type": "Weighted"})
SHOP = Audience(client=Client.GRPC, namespace="shop")


def policies(upstream: Upstream) -> list[str]:
    """Return the short names of a cluster's policies."""
    cluster = cluster_pb2.Cluster.FromString(build_cluster(upstream).body)
    return [
        each.typed_extension_config.name.rpartition(".")[2]
        for each in cluster.load_balancing_policy.policies
    ]


def localities(
    upstream: Upstream,
) -> list[tuple[str, int, list[int]]]:
    """Return the sub-zone, the weight, and the endpoints' weights of each group."""
    body = build_load_assignment(upstream).body
    return [
        (
            group.locality.sub_zone,
            group.load_balancing_weight.value,
            [each.load_balancing_weight.value for each in group.lb_endpoints],
        )
        for group in endpoint_pb2.ClusterLoadAssignment.FromString(body).endpoints
    ]


def manager(
    listener: Resource,
) -> http_connection_manager_pb2.HttpConnectionManager:
    found = http_connection_manager_pb2.HttpConnectionManager()
    message = listener_pb2.Listener.FromString(listener.body)
    assert message.name == listener.name
    assert message.api_listener.api_listener.Unpack(found)
    return found


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=list(ACCEPTED))
def test_the_last_policy_is_one_that_every_client_knows(spec: Spec) -> None:
    names = policies(make_upstream(policy=load_balancer(spec)))

    assert names[-1] in {"round_robin", "wrr_locality"}
    assert len(names) <= 2


@given(DOUBTFUL)
def test_whatever_the_api_accepts_can_be_sent(spec: Spec) -> None:
    policy = accepted(spec)
    if policy is not None:
        upstream = make_upstream(policy=policy)

        assert build_cluster(upstream).name == build_load_assignment(upstream).name
        assert build_route_configuration(upstream).name == "grpc/shop/web/80"


def test_weights_are_of_localities_or_of_a_ring() -> None:
    endpoints = [
        Endpoint(address=f"10.0.0.{number}", port=80, weight=10 * number)
        for number in (1, 2)
    ]
    ring = load_balancer({"type": "RingHash", "hashOn": [{"sourceIP": {}}]})

    assert localities(make_upstream(*endpoints, policy=WEIGHTED)) == [
        ("weight 10", 1, [0]),
        ("weight 20", 2, [0]),
    ]
    assert localities(make_upstream(*endpoints, policy=ring)) == [("", 1, [1, 2])]


def test_endpoints_of_one_weight_are_a_locality_of_all_their_weight() -> None:
    """So an endpoint's share is its weight's, and one more of its kind is one more."""
    endpoints = [
        Endpoint(address="10.0.0.1", port=80, weight=30, locality=Locality(zone="b")),
        Endpoint(address="10.0.0.2", port=80, weight=30, locality=Locality(zone="a")),
        Endpoint(address="10.0.0.3", port=80, weight=10, locality=Locality(zone="b")),
        Endpoint(address="10.0.0.4", port=80, weight=30, locality=Locality(zone="b")),
    ]

    assert localities(make_upstream(*endpoints, policy=WEIGHTED)) == [
        ("weight 30", 3, [0]),
        ("weight 10", 1, [0]),
        ("weight 30", 6, [0, 0]),
    ]


def test_draining_endpoints_are_left_out_and_do_not_count() -> None:
    endpoints = [
        Endpoint(address="10.0.0.1", port=80, weight=4),
        Endpoint(address="10.0.0.2", port=80, weight=1, health=Health.DRAINING),
    ]

    assert localities(make_upstream(*endpoints, policy=WEIGHTED)) == [
        ("weight 4", 1, [0])
    ]
    assert localities(make_upstream(endpoints[1])) == []


def test_a_locality_has_a_weight_and_a_name_even_where_it_is_unknown() -> None:
    """gRPC passes over the one without a weight, and refuses the other."""
    upstream = make_upstream(
        Endpoint(address="10.0.0.1", port=80),
        Endpoint(address="10.0.0.2", port=80, locality=Locality(zone="a")),
    )
    body = build_load_assignment(upstream).body
    groups = endpoint_pb2.ClusterLoadAssignment.FromString(body).endpoints

    assert [group.HasField("locality") for group in groups] == [True, True]
    assert [group.load_balancing_weight.value for group in groups] == [1, 1]


def test_a_name_outside_is_one_name() -> None:
    outside = make_upstream(
        Endpoint(address="a.example", port=443),
        Endpoint(address="b.example", port=443),
        discovery=Discovery.DNS,
    )
    cluster = cluster_pb2.Cluster.FromString(build_cluster(outside).body)

    assert cluster.type == cluster_pb2.Cluster.LOGICAL_DNS
    assert len(cluster.load_assignment.endpoints[0].lb_endpoints) == 1


def test_routes_of_any_authority_lead_to_the_cluster_by_its_keys() -> None:
    upstream = make_upstream(
        policy=load_balancer(
            {"type": "RingHash", "hashOn": [{"header": {"name": "x-user"}}]}
        )
    )
    body = build_route_configuration(upstream).body
    (host,) = route_pb2.RouteConfiguration.FromString(body).virtual_hosts
    action = host.routes[0].route

    assert list(host.domains) == ["*"]
    assert action.cluster == build_cluster(upstream).name
    assert [key.header.header_name for key in action.hash_policy] == ["x-user"]


def test_a_listener_gets_its_routes_over_the_aggregated_stream() -> None:
    upstream = make_upstream()
    for listener in build_listeners([make_service(upstream)], SHOP):
        found = manager(listener)

        assert found.rds.route_config_name == build_route_configuration(upstream).name
        assert found.rds.config_source.HasField("ads")
        assert [each.name for each in found.http_filters] == [
            "envoy.filters.http.router"
        ]


def test_a_name_without_a_port_is_the_port_of_an_envoy_or_the_lowest() -> None:
    web = make_service(
        make_upstream(number=8080, protocol=Protocol.HTTP2),
        make_upstream(number=80, protocol=Protocol.HTTP1),
    )
    cache = make_service(
        make_upstream(service="cache", number=6380, protocol=Protocol.TCP),
        make_upstream(service="cache", number=6379, protocol=Protocol.TCP),
    )
    routes = {
        listener.name: manager(listener).rds.route_config_name
        for listener in build_listeners([web, cache], SHOP)
    }

    assert routes["web.shop"] == "grpc/shop/web/80"
    assert routes["cache"] == "grpc/shop/cache/6379"


def test_only_the_own_namespace_has_short_names() -> None:
    services = [make_service(make_upstream(namespace=name)) for name in ("shop", "b")]
    names = [listener.name for listener in build_listeners(services, SHOP)]

    assert sorted(name for name in names if "." not in name) == ["web", "web:80"]
    assert len(names) == len(set(names))


def test_of_two_services_of_one_name_the_first_wins() -> None:
    services = [
        make_service(make_upstream(number=80)),
        make_service(make_upstream(number=81)),
    ]
    names = {listener.name for listener in build_listeners(services, SHOP)}

    assert "web.shop:80" in names
    assert "web.shop:81" not in names


def test_an_unknown_target_leads_nowhere() -> None:
    listener = build_unknown_listener("nope.shop:80")

    assert listener is not None
    assert manager(listener).HasField("route_config")
    assert len(manager(listener).route_config.virtual_hosts) == 0
    assert build_unknown_listener("errors") is None


def test_one_policy_is_encoded_once_whatever_the_weights() -> None:
    _encode_policy.cache_clear()
    for number in range(1, 101):
        weights = {"default": number}
        policy = load_balancer({"type": "Weighted", "weights": weights})
        build_cluster(make_upstream(number=number, policy=policy))

    assert _encode_policy.cache_info().misses == 1


@pytest.mark.parametrize(
    "upstream",
    [
        make_upstream(service="a/b"),
        make_upstream(namespace="A"),
        make_upstream(number=0),
    ],
)
def test_an_upstream_that_has_no_good_name_is_refused(upstream: Upstream) -> None:
    with pytest.raises(TranslateError):
        build_cluster(upstream)
    with pytest.raises(TranslateError):
        build_load_assignment(upstream)
    with pytest.raises(TranslateError):
        build_route_configuration(upstream)
    with pytest.raises(TranslateError):
        tuple(build_listeners([make_service(upstream)], SHOP))


def test_a_policy_that_must_not_be_sent_is_refused_by_name() -> None:
    policy = LoadBalancer.model_construct(
        type=LoadBalancerType.PERFORMANCE_BASED,
        performance_based=PerformanceBased.model_construct(
            source=PerformanceSource.ORCA_HEADERS, error_penalty=-1.0
        ),
    )
    with pytest.raises(TranslateError) as caught:
        build_cluster(make_upstream(policy=policy))

    assert caught.value.resource == "shop/web/80"
