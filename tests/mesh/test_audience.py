"""What a node says of itself, and what is made of nonsense."""

import math

import pytest
from hypothesis import given, strategies as st

from xds_server.mesh.audience import audience_of, client_of, labels_of, place_of
from xds_server.mesh.model import Audience, Client, Locality, Role
from xds_server.xds import CLIENT_NAMESPACE, Labels, Place


def test_a_node_that_says_nothing_is_a_sidecar_of_the_default_namespace() -> None:
    assert audience_of({}) == (Audience(), ())


def test_metadata_is_read_with_floats_as_a_struct_has_them() -> None:
    metadata = {
        "namespace": "shop",
        "role": "gateway",
        "listen_address": "2001:DB8::1",
        "listen_port": 8080.0,
        "labels": {"app": "web"},
    }

    assert audience_of(metadata) == (
        Audience(
            namespace="shop",
            role=Role.GATEWAY,
            listen_address="2001:db8::1",
            listen_port=8080,
        ),
        (),
    )


def test_the_namespace_can_be_in_the_id_of_the_node() -> None:
    audience, complaints = audience_of({}, node_id="web-1.shop")

    assert audience.namespace == "shop"
    assert not complaints


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        ("gRPC C-core linux Python C-core 58.0.0 Python 1.85.1", Client.GRPC),
        ("gRPC Go 1.85.0", Client.GRPC),
        ("gRPC Java 1.80.0", Client.GRPC),
        ("grpc", Client.GRPC),
        ("envoy 1.40.0", Client.ENVOY),
        ("", Client.ENVOY),
        ("my-envoy-with-gRPC", Client.ENVOY),
    ],
)
def test_a_grpc_client_says_what_it_is(user_agent: str, expected: Client) -> None:
    """The first is what grpcio 1.85.1 sends."""
    assert client_of(user_agent) is expected


def test_of_a_grpc_client_only_the_namespace_counts() -> None:
    """It has no listeners: others of its namespace see the same."""
    metadata = {"namespace": "shop", "role": "gateway", "listen_port": "nonsense"}

    assert audience_of(metadata, user_agent="gRPC Go 1.85.0") == (
        Audience(client=Client.GRPC, namespace="shop"),
        (),
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("namespace", ""),
        ("namespace", "Shop"),
        ("namespace", "shop\n"),
        ("namespace", 1.0),
        ("role", "router"),
        ("role", ["sidecar"]),
        ("listen_address", "localhost"),
        ("listen_address", 1.0),
        ("listen_port", 0.0),
        ("listen_port", 70000.0),
        ("listen_port", 80.5),
        ("listen_port", math.nan),
        ("listen_port", math.inf),
        ("listen_port", True),
        ("listen_port", "80"),
    ],
)
def test_an_unusable_value_gives_the_default_and_a_sentence(
    key: str, value: object
) -> None:
    audience, complaints = audience_of({key: value})

    assert audience == Audience()
    assert len(complaints) == 1
    assert complaints[0].startswith(f"node metadata {key}: must be ")


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["namespace", "role", "listen_address", "listen_port"]), json
    )
)
def test_no_garbage_stops_a_node(metadata: dict[str, object]) -> None:
    audience, _ = audience_of(metadata)

    assert isinstance(audience.role, Role)
    assert 1 <= audience.listen_port <= 65535


SHOP: Labels = frozenset({(CLIENT_NAMESPACE, "shop")})
NODES = {"n1": Locality(region="north", zone="a")}


def find(name: str) -> Locality:
    return NODES.get(name, Locality())


@pytest.mark.parametrize(
    ("metadata", "said", "expected"),
    [
        ({}, Locality(), Place()),
        ({}, Locality(region="r", zone="z"), Place("r", "z")),
        ({"node_name": "n1"}, Locality(), Place("north", "a", "n1")),
        ({"node_name": "n1"}, Locality(zone="z"), Place("", "z", "n1")),
        ({"node_name": "n9"}, Locality(), Place("", "", "n9")),
        ({"node_name": 7.0}, Locality(zone="z"), Place("", "z")),
    ],
)
def test_a_node_is_where_it_says_or_where_its_machine_is(
    metadata: dict[str, object], said: Locality, expected: Place
) -> None:
    found = place_of(metadata, "shop", said, find)

    assert found == expected._replace(labels=SHOP)
    assert labels_of(metadata, "shop") == SHOP


@pytest.mark.parametrize(
    ("labels", "usable"),
    [
        ({"tier": "batch"}, {("tier", "batch")}),
        ({"tier": "batch", "size": 7.0}, {("tier", "batch")}),
        ({CLIENT_NAMESPACE: "ops"}, set()),
        ("tier=batch", set()),
        (None, set()),
    ],
)
def test_the_namespace_of_a_client_is_one_of_its_labels(
    labels: object, usable: set[tuple[str, str]]
) -> None:
    """And nobody can say that it is of another one by a label."""
    assert labels_of({"labels": labels}, "shop") == SHOP | usable
