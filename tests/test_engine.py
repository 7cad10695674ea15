"""The public API: groups, what may be published to them, and who sees what."""

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import grpc  # type: ignore[import-untyped]  # ships no types
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2, extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)
from envoy_data_plane.envoy.config.cluster import v3 as typed_cluster
from envoy_data_plane.envoy.config.endpoint import v3 as typed_endpoint
from envoy_data_plane.google.protobuf import Any as TypedAny
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from tests.serve.wire import Wire, channel_to, open_delta
from xds_server.engine import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    ROUTE,
    VIRTUAL_HOST,
    Changes,
    Group,
    Groups,
    Node,
    NotReadyError,
    Publishable,
    RequestError,
    Resource,
    Snapshot,
    XdsServer,
    resource_of,
)

DeltaWire = Wire[DeltaDiscoveryRequest, DeltaDiscoveryResponse]

RUNTIME = "type.googleapis.com/envoy.service.runtime.v3.Runtime"


def raw(type_url: str, name: str, body: bytes = b"") -> Resource:
    return Resource(type_url=type_url, name=name, body=body)


def cluster(name: str) -> cluster_pb2.Cluster:
    return cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS)


@pytest.fixture
def group() -> Group:
    return Group(Snapshot())


def content(group: Group, *type_urls: str) -> list[tuple[str, list[str]]]:
    return [(type_url, sorted(group.names(type_url))) for type_url in type_urls]


def test_raw_and_both_kinds_of_messages_are_the_same_resource() -> None:
    """Type URL, name and encoding are found, whoever made the message."""
    expected = raw(CLUSTER, "web", b"\x0a\x03web\x10\x03")

    assert resource_of(cluster("web")) == expected
    typed = typed_cluster.Cluster(
        name="web", type=typed_cluster.ClusterDiscoveryType.EDS
    )
    assert resource_of(typed) == expected


@pytest.mark.parametrize(
    ("message", "type_url"),
    [
        (endpoint_pb2.ClusterLoadAssignment(cluster_name="x"), ENDPOINT),
        (typed_endpoint.ClusterLoadAssignment(cluster_name="x"), ENDPOINT),
        (listener_pb2.Listener(name="x"), LISTENER),
        (route_pb2.RouteConfiguration(name="x"), ROUTE),
        (extension_pb2.TypedExtensionConfig(name="x"), EXTENSION),
    ],
)
def test_a_message_says_what_it_is_and_its_name(
    message: Message, type_url: str
) -> None:
    resource = resource_of(message)

    assert (resource.type_url, resource.name) == (type_url, "x")


def test_what_a_message_cannot_say_is_said_beside_it() -> None:
    """A virtual host is asked for by more than its name; others have attributes."""
    resource = resource_of(
        route_components_pb2.VirtualHost(name="host"),
        name="routes/host",
        version="7",
        aliases=["routes/host.example"],
        ttl=timedelta(seconds=5),
        owners=["shop.yaml"],
    )

    assert resource == Resource(
        type_url=VIRTUAL_HOST,
        name="routes/host",
        body=route_components_pb2.VirtualHost(name="host").SerializeToString(),
        version="7",
        aliases=("routes/host.example",),
        ttl=timedelta(seconds=5),
        owners=("shop.yaml",),
    )


def test_equal_messages_are_equal_bytes() -> None:
    """Maps are encoded in the order of their keys, so that versions are the same."""
    one, other = cluster("web"), cluster("web")
    for key in ("a", "b"):
        one.typed_extension_protocol_options[key].Clear()
    for key in ("b", "a"):
        other.typed_extension_protocol_options[key].Clear()

    assert resource_of(one) == resource_of(other)


@pytest.mark.parametrize(
    ("nothing", "error", "reason"),
    [
        ({"name": "web"}, TypeError, "not a resource and not a protobuf message: dict"),
        ([cluster("web")], TypeError, "not a protobuf message: list"),
        (b"bytes", TypeError, "not a protobuf message: bytes"),
        (Any(type_url=CLUSTER), TypeError, "an Any has no name"),
        (TypedAny(type_url=CLUSTER), TypeError, "an Any has no name"),
        (
            cluster_pb2.Cluster(),
            ValueError,
            "envoy.config.cluster.v3.Cluster: says no name",
        ),
        (typed_cluster.Cluster(), ValueError, "v3.Cluster: says no name"),
        (base_pb2.Node(id="a"), ValueError, "envoy.config.core.v3.Node: says no name"),
        (
            route_components_pb2.VirtualHost(name="host"),
            ValueError,
            "v3.VirtualHost: says no name",
        ),
        (cluster("good"), ValueError, "'good' is given twice"),
    ],
)
def test_what_cannot_be_published_is_said_and_changes_nothing(
    group: Group, nothing: Publishable, error: type[Exception], reason: str
) -> None:
    """Not even the good resources of the same call are published."""
    with pytest.raises(error, match=reason):
        group.publish(cluster("good"), raw(ENDPOINT, "good"), nothing)

    assert content(group, CLUSTER, ENDPOINT) == [(CLUSTER, []), (ENDPOINT, [])]


def test_changes_say_what_is_different(group: Group) -> None:
    """What is published again unchanged or is not there is no change."""
    new = group.publish(cluster("a"), cluster("b"), raw(ENDPOINT, "a"))
    mixed = group.publish(raw(CLUSTER, "a", b"new"), cluster("b"), raw(ENDPOINT, "a"))
    gone = group.remove(CLUSTER, "b", "c")
    same = group.publish(raw(ENDPOINT, "a")), group.remove(ROUTE, "a")

    assert new == {
        CLUSTER: Changes(applied=("a", "b")),
        ENDPOINT: Changes(applied=("a",)),
    }
    assert mixed == {CLUSTER: Changes(applied=("a",))}
    assert gone == {CLUSTER: Changes(removed=("b",))}
    assert same == ({}, {})


def test_a_change_is_whole_before_anyone_hears_of_it(group: Group) -> None:
    """Who is woken sees the new content of all types, and is woken once."""
    seen: list[list[tuple[str, list[str]]]] = []

    class Everything:
        names: frozenset[str] = frozenset()

        def covers_any(self, names: frozenset[str]) -> bool:
            return bool(names)

    def listener(publication: object) -> None:
        del publication
        seen.append(content(group, CLUSTER, ROUTE))

    tables = [group.view.table(type_url) for type_url in (CLUSTER, ROUTE)]
    for table in tables:
        table.followers.add(Everything(), listener)
    group.publish(raw(ROUTE, "a"), cluster("a"))
    group.replace(raw(ROUTE, "b"), cluster("b"))

    assert seen == [[(CLUSTER, [name]), (ROUTE, [name])] for name in "ab"]


def test_replacing_removes_the_rest_of_all_types(group: Group) -> None:
    group.publish(cluster("a"), cluster("b"), raw(ROUTE, "a"), raw(RUNTIME, "a"))
    changes = group.replace(cluster("b"), raw(RUNTIME, "c"))

    assert content(group, CLUSTER, ROUTE, RUNTIME) == [
        (CLUSTER, ["b"]),
        (ROUTE, []),
        (RUNTIME, ["c"]),
    ]
    assert changes == {
        CLUSTER: Changes(removed=("a",)),
        ROUTE: Changes(removed=("a",)),
        RUNTIME: Changes(applied=("c",), removed=("a",)),
    }


def test_replacing_named_types_leaves_the_others(group: Group) -> None:
    group.publish(cluster("a"), raw(ENDPOINT, "a"), raw(ROUTE, "a"))
    group.replace(cluster("b"), type_urls=[CLUSTER, ENDPOINT])

    assert content(group, CLUSTER, ENDPOINT, ROUTE) == [
        (CLUSTER, ["b"]),
        (ENDPOINT, []),
        (ROUTE, ["a"]),
    ]
    with pytest.raises(ValueError, match="not one of the types to replace"):
        group.replace(raw(ROUTE, "b"), type_urls=[CLUSTER])


def test_a_group_shares_types_with_its_base_but_for_its_own() -> None:
    """Whatever the base publishes, before and after, and types nobody foresaw."""
    snapshot = Snapshot()
    base = Group(snapshot)
    base.publish(cluster("a"), raw(LISTENER, "base"))
    group = Group(snapshot, base=base, own=[LISTENER])
    group.publish(raw(LISTENER, "own"))
    base.publish(cluster("b"), raw(RUNTIME, "later"))

    assert content(group, CLUSTER, LISTENER, RUNTIME) == [
        (CLUSTER, ["a", "b"]),
        (LISTENER, ["own"]),
        (RUNTIME, ["later"]),
    ]
    assert content(base, LISTENER) == [(LISTENER, ["base"])]
    assert group.version(CLUSTER) == base.version(CLUSTER)
    assert set(group.view.tables) == {CLUSTER, LISTENER, RUNTIME}


def test_what_is_shared_is_published_to_the_base_alone() -> None:
    """Else one group would change what another sees; replacing leaves it, too."""
    base = Group(Snapshot())
    base.publish(cluster("a"))
    group = Group(Snapshot(), base=base, own=[LISTENER])
    group.publish(raw(LISTENER, "a"))

    shared = pytest.raises(ValueError, match="shared with the base of this group")
    with shared:
        group.publish(raw(LISTENER, "b"), cluster("b"))
    with shared:
        group.remove(CLUSTER, "a")
    with shared:
        group.replace(cluster("b"))
    with shared:
        group.replace(type_urls=[CLUSTER])
    assert content(group, CLUSTER, LISTENER) == [(CLUSTER, ["a"]), (LISTENER, ["a"])]
    assert group.replace() == {LISTENER: Changes(removed=("a",))}
    assert content(group, CLUSTER) == [(CLUSTER, ["a"])]


def test_versions_are_hashes_of_content(group: Group) -> None:
    """Equal content has an equal version, in another group and in another order."""
    other = Group(Snapshot())
    group.publish(cluster("a"), cluster("b"))
    other.publish(cluster("b"))
    version = other.version(CLUSTER)
    other.publish(cluster("a"))

    assert group.version(CLUSTER) == other.version(CLUSTER) != version


def test_a_label_is_the_version_of_what_changes(group: Group) -> None:
    """A label of a resource's own wins; unchanged content keeps the label it had."""
    group.publish(cluster("a"), version="1")
    own = Resource(type_url=CLUSTER, name="c", body=b"", version="mine")
    group.publish(cluster("a"), cluster("b"), own, version="2")
    versions = {each.name: each.version for each in group.view.table(CLUSTER)}

    assert versions == {"a": "1", "b": "2", "c": "mine"}


def test_a_type_may_be_asked_for_before_it_is_published(group: Group) -> None:
    """Who follows it hears of it, also through a group that shares it."""
    shared = Group(Snapshot(), base=group)
    followed = shared.view.table(RUNTIME)
    group.publish(raw(RUNTIME, "a"))

    assert followed.get("a") is not None
    assert followed is group.view.table(RUNTIME)


def test_asking_for_types_that_nobody_publishes_leaves_nothing(group: Group) -> None:
    """A client that makes up type URLs does not fill the server's memory."""
    for number in range(100):
        group.view.table(f"type.googleapis.com/made.Up{number}")

    assert not group._view._asked
    assert not group.view.tables


def test_groups_say_where_a_node_belongs(group: Group) -> None:
    groups = Groups(lambda node: group if node.cluster == "web" else None)

    assert groups.acquire(Node(id="a", cluster="web")) is group.view
    with pytest.raises(NotReadyError, match="nothing is published for node b yet"):
        groups.acquire(Node(id="b"))
    groups.release(Node(id="a", cluster="web"))


@asynccontextmanager
async def asking(snapshot: Snapshot, groups: Groups) -> AsyncIterator[DeltaWire]:
    """Serve *groups*, and open a stream for all clusters."""
    server = XdsServer(snapshot=snapshot, directory=groups)
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(server.listening("127.0.0.1:0"))
        wire = open_delta(await stack.enter_async_context(channel_to(address)))
        node = base_pb2.Node(id="a")
        await wire.send(DeltaDiscoveryRequest(node=node, type_url=CLUSTER))
        yield wire


async def exchange(wire: DeltaWire, type_url: str) -> DeltaDiscoveryResponse:
    """Return the next response, acknowledged; it is of *type_url*."""
    response = await wire.receive()
    assert response.type_url == type_url
    await wire.send(
        DeltaDiscoveryRequest(type_url=type_url, response_nonce=response.nonce)
    )
    return response


def named(response: DeltaDiscoveryResponse) -> tuple[list[str], Sequence[str]]:
    return sorted(each.name for each in response.resources), response.removed_resources


async def test_changes_without_an_await_between_reach_a_client_together() -> None:
    """Whatever group they are made in: one response a type, clusters first."""
    snapshot = Snapshot()
    base = Group(snapshot)
    group = Group(snapshot, base=base, own=[ROUTE])
    base.publish(cluster("a"), cluster("b"))
    group.publish(raw(ROUTE, "x"))
    snapshot.declare_ready()
    async with asking(snapshot, Groups(lambda _: group)) as wire:
        await wire.send(
            DeltaDiscoveryRequest(type_url=ROUTE, resource_names_subscribe=["x"])
        )
        first = [await exchange(wire, type_url) for type_url in (CLUSTER, ROUTE)]
        group.publish(raw(ROUTE, "x", b"new"))
        base.remove(CLUSTER, "b")
        base.publish(cluster("c"))
        base.publish(cluster("d"), version="labelled")
        added, routed, removed = [
            await exchange(wire, type_url) for type_url in (CLUSTER, ROUTE, CLUSTER)
        ]

    assert list(map(named, first)) == [(["a", "b"], []), (["x"], [])]
    assert named(added) == (["c", "d"], [])
    assert named(routed) == (["x"], [])
    assert named(removed) == ([], ["b"])
    assert [each.version for each in added.resources if each.name == "d"] == [
        "labelled"
    ]


@pytest.mark.parametrize(
    ("reason", "code"),
    [(None, "UNAVAILABLE"), (RequestError("not yours"), "INVALID_ARGUMENT")],
)
async def test_a_node_without_a_group_is_turned_away(
    reason: RequestError | None, code: str
) -> None:
    """To come back later, or for a reason; the client is told which."""

    def group_of(node: Node) -> Group | None:
        del node
        if reason is not None:
            raise reason
        return None

    snapshot = Snapshot()
    snapshot.declare_ready()
    async with asking(snapshot, Groups(group_of)) as wire:
        ended = await wire.status()

    text = str(reason) if reason else "nothing is published for node a yet"
    assert ended == (grpc.StatusCode[code], text)


def test_who_needs_no_typed_messages_does_not_pay_for_them() -> None:
    """Importing envoy-data-plane takes seconds, and publishing does not do it."""
    script = """
import sys
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from xds_server.engine import Group, Resource, Snapshot
Group(Snapshot()).publish(Cluster(name="a"), Resource(type_url="x", name="a", body=b""))
try:
    Group(Snapshot()).publish("no message")
except TypeError:
    print({"betterproto2", "envoy_data_plane", "pydantic"} & sys.modules.keys())
"""
    command = [sys.executable, "-c", script]
    printed = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own script

    assert printed.stdout == "set()\n"
