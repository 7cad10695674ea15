"""What a server takes from the Node message of a stream."""

from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from google.protobuf.json_format import ParseDict

from xds_server.serve.node import Node, node_of


def test_a_node_is_a_plain_value() -> None:
    """Metadata as JSON values, the agent with the version that Envoy builds in."""
    message = ParseDict(
        {
            "id": "sidecar-1",
            "cluster": "web",
            "metadata": {
                "namespace": "shop",
                "listen_port": 15001,
                "labels": {"a": "b"},
            },
            "locality": {"region": "eu", "zone": "eu-1"},
            "user_agent_name": "envoy",
            "user_agent_build_version": {
                "version": {"major_number": 1, "minor_number": 40, "patch": 0}
            },
            "client_features": ["envoy.lb.does_not_support_overprovisioning"],
        },
        NodeMessage(),
    )

    assert node_of(message) == Node(
        id="sidecar-1",
        cluster="web",
        metadata={"namespace": "shop", "listen_port": 15001.0, "labels": {"a": "b"}},
        region="eu",
        zone="eu-1",
        user_agent="envoy 1.40.0",
        client_features=frozenset({"envoy.lb.does_not_support_overprovisioning"}),
    )


def test_what_is_not_said_is_empty() -> None:
    """gRPC clients give their version as text."""
    message = NodeMessage(
        id="c", user_agent_name="gRPC Python", user_agent_version="1.85"
    )

    assert node_of(message) == Node(id="c", user_agent="gRPC Python 1.85")
