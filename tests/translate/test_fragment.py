"""Joining the bytes of two messages merges them."""

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_pb2
from hypothesis import given, strategies as st

from xds_server.translate.fragment import encode, merge

NAMES = st.text(min_size=1, max_size=20)


@given(name=NAMES, hosts=st.lists(NAMES, max_size=4))
def test_repeated_fields_are_appended(name: str, hosts: list[str]) -> None:
    fragments = [
        encode(route_pb2.RouteConfiguration(virtual_hosts=[{"name": host}]))
        for host in hosts
    ]
    merged = route_pb2.RouteConfiguration.FromString(
        merge(encode(route_pb2.RouteConfiguration(name=name)), *fragments)
    )

    assert merged == route_pb2.RouteConfiguration(
        name=name, virtual_hosts=[{"name": host} for host in hosts]
    )


@given(name=NAMES, seconds=st.integers(min_value=1, max_value=2**31))
def test_fragments_that_share_no_field_merge_in_any_order(
    name: str, seconds: int
) -> None:
    identity = encode(cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS))
    policy = encode(cluster_pb2.Cluster(connect_timeout={"seconds": seconds}))
    one = cluster_pb2.Cluster.FromString(merge(identity, policy))
    other = cluster_pb2.Cluster.FromString(merge(policy, identity))

    assert one == other
    assert (one.name, one.connect_timeout.seconds) == (name, seconds)


def test_messages_inside_are_merged_field_by_field() -> None:
    one = cluster_pb2.Cluster(eds_cluster_config={"service_name": "a"})
    other = cluster_pb2.Cluster(eds_cluster_config={"eds_config": {"ads": {}}})
    merged = cluster_pb2.Cluster.FromString(merge(encode(one), encode(other)))

    assert merged.eds_cluster_config.service_name == "a"
    assert merged.eds_cluster_config.eds_config.HasField("ads")
