"""What clusters share, and what never leaves; goldens have the rest."""

from datetime import timedelta

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf.message import Message
from hypothesis import event, given

from tests.translate.mesh_input import Spec, accepted, load_balancer, make_upstream
from tests.translate.policy_input import ACCEPTED, DOUBTFUL
from xds_server.api.policy import (
    HashHeader,
    HashKey,
    LoadBalancer,
    LoadBalancerType,
    Maglev,
    SlowStart,
    SourceIP,
    Weights,
)
from xds_server.mesh.model import Discovery, Endpoint, Protocol, Upstream
from xds_server.translate import cluster as room
from xds_server.translate.check import LimitError, TranslateError
from xds_server.translate.cluster import (
    build_cluster,
    build_panic_threshold,
)
from xds_server.translate.connection import HTTP_PROTOCOL_OPTIONS
from xds_server.xds import CLUSTER


def decode(upstream: Upstream) -> cluster_pb2.Cluster:
    return cluster_pb2.Cluster.FromString(build_cluster(upstream).body)


def http_options(upstream: Upstream) -> http_protocol_options_pb2.HttpProtocolOptions:
    options = http_protocol_options_pb2.HttpProtocolOptions()
    packed = decode(upstream).typed_extension_protocol_options[HTTP_PROTOCOL_OPTIONS]
    assert packed.Unpack(options)
    return options


def deprecated_fields(message: Message) -> list[str]:
    """Return the names of the deprecated fields that are set, at any depth."""
    found = []
    for field, value in message.ListFields():
        if field.GetOptions().deprecated:
            found.append(field.full_name)
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for part in value if field.is_repeated else [value]:
            found += deprecated_fields(part)
    return found


def test_a_cluster_is_named_after_its_port() -> None:
    resource = build_cluster(make_upstream(namespace="shop", service="web", number=80))

    assert (resource.type_url, resource.name) == (CLUSTER, "shop/web/80")
    assert cluster_pb2.Cluster.FromString(resource.body).name == "shop/web/80"


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=list(ACCEPTED))
def test_every_cluster_has_one_typed_policy_and_nothing_deprecated(
    spec: Spec,
) -> None:
    cluster = decode(make_upstream(policy=load_balancer(spec)))

    assert len(cluster.load_balancing_policy.policies) == 1
    assert cluster.lb_policy == cluster_pb2.Cluster.ROUND_ROBIN  # the default: unset
    assert cluster.WhichOneof("lb_config") is None
    assert deprecated_fields(cluster) == []


@given(DOUBTFUL)
def test_whatever_the_api_accepts_passes_the_last_check(spec: Spec) -> None:
    policy = accepted(spec)
    event("accepted" if policy else "refused")
    if policy is not None:
        cluster = decode(make_upstream(policy=policy))

        assert len(cluster.load_balancing_policy.policies) == 1


def test_endpoints_come_over_the_aggregated_stream_by_the_name_of_the_cluster() -> None:
    cluster = decode(make_upstream())

    assert cluster.type == cluster_pb2.Cluster.EDS
    assert cluster.eds_cluster_config.eds_config.HasField("ads")
    assert cluster.eds_cluster_config.service_name == ""  # so it is the cluster's name


def test_a_cluster_of_names_has_its_endpoints_inline() -> None:
    outside = make_upstream(
        Endpoint(address="a.example", port=443), discovery=Discovery.DNS
    )
    cluster = decode(outside)
    address = cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address

    assert cluster.cluster_type.name == "envoy.clusters.dns"
    assert not cluster.HasField("eds_cluster_config")
    assert address.socket_address.address == "a.example"


def test_http_1_connections_are_closed_before_servers_close_them() -> None:
    options = http_options(make_upstream(protocol=Protocol.HTTP1))
    idle = options.common_http_protocol_options.idle_timeout.ToTimedelta()

    assert options.explicit_http_config.HasField("http_protocol_options")
    assert timedelta(0) < idle < timedelta(seconds=5)


def test_http_2_ports_are_spoken_to_in_http_2() -> None:
    options = http_options(make_upstream(protocol=Protocol.HTTP2))

    assert options.explicit_http_config.HasField("http2_protocol_options")


def test_tcp_ports_have_no_http_options() -> None:
    cluster = decode(make_upstream(protocol=Protocol.TCP))

    assert len(cluster.typed_extension_protocol_options) == 0


def test_one_policy_is_encoded_once_whatever_the_weights() -> None:
    room._encode_policy.cache_clear()
    for number in range(1, 101):
        policy = LoadBalancer.model_construct(weights=Weights(default=number))
        build_cluster(make_upstream(number=number, policy=policy))

    assert room._encode_policy.cache_info().misses == 1


def test_clusters_of_one_policy_differ_in_their_name_alone() -> None:
    one, other = decode(make_upstream(number=80)), decode(make_upstream(number=81))
    other.name = one.name

    assert one == other


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (
            LoadBalancer.model_construct(
                slow_start=SlowStart.model_construct(window=timedelta(seconds=-1))
            ),
            "slow_start_window below 1 s",
        ),
        (
            LoadBalancer.model_construct(
                type=LoadBalancerType.MAGLEV,
                maglev=Maglev(),
                hash_on=(HashKey.model_construct(),),
            ),
            "hash policy without one specifier",
        ),
        (
            LoadBalancer.model_construct(
                type=LoadBalancerType.MAGLEV,
                maglev=Maglev(),
                hash_on=(
                    HashKey.model_construct(
                        source_ip=SourceIP(), header=HashHeader(name="x")
                    ),
                ),
            ),
            "more than one value",
        ),
        (
            LoadBalancer.model_construct(
                type=LoadBalancerType.MAGLEV,
                maglev=Maglev.model_construct(table_size=-1),
            ),
            "table_size",
        ),
        (
            LoadBalancer.model_construct(type=LoadBalancerType.MAGLEV),
            "block named like",
        ),
        (
            LoadBalancer.model_construct(type=LoadBalancerType.PERFORMANCE_BASED),
            "block named like",
        ),
    ],
)
def test_a_policy_that_must_not_be_sent_is_refused_by_name(
    policy: LoadBalancer, reason: str
) -> None:
    with pytest.raises(TranslateError, match=reason) as caught:
        build_cluster(make_upstream(policy=policy))

    assert caught.value.resource == "shop/web/80"
    assert str(caught.value).startswith("shop/web/80: ")


@pytest.mark.parametrize(
    "upstream",
    [
        make_upstream(service="a/b"),
        make_upstream(namespace="A"),
        make_upstream(number=0),
        make_upstream(Endpoint(address="a b", port=1), discovery=Discovery.DNS),
    ],
)
def test_an_upstream_that_has_no_good_name_is_refused(upstream: Upstream) -> None:
    with pytest.raises(TranslateError):
        build_cluster(upstream)


@pytest.mark.parametrize("percent", [float("nan"), -0.1, 100.1])
def test_a_panic_threshold_that_is_no_percentage_is_not_sent(percent: float) -> None:
    """One that is no number ends Envoy's process."""
    with pytest.raises(LimitError, match="healthy_panic_threshold"):
        build_panic_threshold(percent)
