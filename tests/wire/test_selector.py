"""Clients with different labels follow policies that are for some of them."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import Node
from google.protobuf.struct_pb2 import Struct

from tests.integration.envoy.world import until
from tests.mesh.documents import policy
from tests.serve.wire import World
from tests.wire.client import AnyClient, connect_to
from tests.wire.mesh import Mesh, receive_assignment, receive_cluster
from tests.wire.variant import ALL, Variant, over
from xds_server.api.document import Document, Revision
from xds_server.api.policy import (
    ClientSelector,
    HealthCheck,
    HealthCheckType,
    LoadBalancer,
    LoadBalancerType,
    TcpCheck,
    WeightRule,
    Weights,
)
from xds_server.api.problem import ObjectKey
from xds_server.mesh.event import Applied
from xds_server.mesh.index import Index
from xds_server.policy_status.survey import Survey
from xds_server.publish import Publisher
from xds_server.xds import CLUSTER, ENDPOINT

WEB = "shop/web/80"
RANDOM = LoadBalancer(type=LoadBalancerType.RANDOM)
HEAVY = LoadBalancer(
    type=LoadBalancerType.WEIGHTED,
    weights=Weights(rules=(WeightRule(addresses=("10.0.0.1",), weight=3),)),
)
CONNECT = HealthCheck(type=HealthCheckType.TCP, tcp=TcpCheck())
BATCH = {"tier": "batch"}
_KIND = "envoy.load_balancing_policies."


def node(name: str, **labels: str) -> Node:
    metadata = Struct()
    metadata["labels"] = labels
    return Node(id=name, metadata=metadata)


def algorithm(cluster: Cluster) -> str:
    (found,) = cluster.load_balancing_policy.policies
    return found.typed_extension_config.name.removeprefix(_KIND)


async def seen(client: AnyClient) -> tuple[str, int]:
    """Return a client's algorithm, and how many health checks it makes."""
    cluster = await receive_cluster(client)
    return algorithm(cluster), len(cluster.health_checks)


async def weights(client: AnyClient) -> list[int]:
    assignment = await receive_assignment(client, WEB)
    return [
        each.load_balancing_weight.value
        for group in assignment.endpoints
        for each in group.lb_endpoints
    ]


@over(ALL)
async def test_each_is_sent_the_policy_that_is_for_it_and_follows_every_change(
    mesh: Mesh, variant: Variant
) -> None:
    mesh.apply(policy("a", RANDOM), policy("b", HEAVY, clients=BATCH))
    clients = [
        connect_to(mesh.setting, variant, each)
        for each in (node("web", tier="web"), node("batch", tier="batch", app="x"))
    ]
    for each in clients:
        await each.subscribe(CLUSTER)
    first = [await seen(each) for each in clients]
    mesh.apply(policy("c", health_check=CONNECT, clients=BATCH))
    second = [await seen(each) for each in clients]
    mesh.apply(policy("a", LoadBalancer(type=LoadBalancerType.LEAST_REQUEST)))
    third = [await seen(each) for each in clients]
    mesh.apply(policy("b", HEAVY, clients={"tier": "web"}))
    fourth = [await seen(each) for each in clients]

    assert first == [("random", 0), ("round_robin", 0)]
    assert second == [("random", 0), ("round_robin", 1)]
    assert third == [("least_request", 0), ("round_robin", 1)]
    assert fourth == [("round_robin", 0), ("least_request", 1)]


@over(ALL)
async def test_namespaces_tell_clients_apart_like_labels(
    mesh: Mesh, variant: Variant
) -> None:
    """By what the node's metadata say, or its id."""
    jobs = ClientSelector(namespaces=("jobs",), match_labels=(("tier", "batch"),))
    mesh.apply(policy("a", RANDOM), policy("b", HEAVY, clients=jobs))
    inside = node("batch", tier="batch")
    inside.metadata["namespace"] = "jobs"
    clients = [
        connect_to(mesh.setting, variant, each)
        for each in (inside, node("a.jobs", tier="batch"), node("b.jobs"))
    ]
    for each in clients:
        await each.subscribe(CLUSTER)
    first = [await seen(each) for each in clients]
    mesh.apply(policy("b", HEAVY, clients=ClientSelector(namespaces=("jobs", "ops"))))

    assert first == [("round_robin", 0), ("round_robin", 0), ("random", 0)]
    assert await seen(clients[2]) == ("round_robin", 0)


@over(ALL)
async def test_weights_are_for_those_too(mesh: Mesh, variant: Variant) -> None:
    mesh.apply(policy("b", HEAVY, clients=BATCH))
    clients = [
        connect_to(mesh.setting, variant, each)
        for each in (node("web"), node("batch", tier="batch"))
    ]
    for each in clients:
        await each.subscribe(ENDPOINT, WEB)

    assert [await weights(each) for each in clients] == [[0, 0], [3, 1]]


def documents() -> list[Document]:
    return [
        policy("a", RANDOM, targets=["*"]),
        policy("b", HEAVY, clients=BATCH),
        policy("c", health_check=CONNECT, clients={"team": "x"}),
    ]


@over(ALL)
async def test_replicas_agree_whatever_came_first(mesh: Mesh, variant: Variant) -> None:
    """Versions are content: of all that any client may see, and of what one sees."""
    mesh.apply(*documents())
    other, index = World(), Index()
    publisher = Publisher(index, other.snapshot)
    backwards = [
        Applied(document=mesh.index.document_of(("shop", "web"))),
        *(Applied(document=each) for each in reversed(documents())),
    ]
    for event in backwards:
        publisher.publish(index.apply([event]))
    client = connect_to(mesh.setting, variant, node("batch", tier="batch"))
    await client.subscribe(CLUSTER)
    response = await client.stream(CLUSTER).receive()

    assert publisher.versions["cluster"] == mesh.publisher.versions["cluster"]
    version = getattr(response, "version_info", None) or getattr(
        response, "system_version_info", ""
    )
    assert version == publisher.versions["cluster"]


@over(ALL)
async def test_a_policy_counts_the_sidecars_that_it_is_for(
    mesh: Mesh, variant: Variant
) -> None:
    told = [
        replace(each, revision=Revision(uid=each.key.name))
        for each in (policy("a", RANDOM), policy("b", HEAVY, clients=BATCH))
    ]
    mesh.apply(*told)
    clients = [
        connect_to(mesh.setting, variant, each)
        for each in (
            node("w", tier="web"),
            node("b1", tier="batch", pod="b1"),
            node("b2", tier="batch", pod="b2"),
        )
    ]
    for each in clients:
        await each.subscribe(CLUSTER)

    def counts() -> list[str]:
        survey = Survey(
            mesh.index,
            tables=mesh.publisher.shared,
            failures=mesh.publisher.failures,
            clients=mesh.setting.server.statuses(),
        )
        described = [
            survey.describe(ObjectKey("TrafficPolicy", "shop", name)) for name in "ab"
        ]
        return [each.ancestors[0].conditions[-1].message for each in described if each]

    def counted(one: int, two: int) -> Callable[[], Awaitable[bool]]:
        async def holds() -> bool:
            expected = (f"{one} of 1 sidecars", f"{two} of 2 sidecars")
            pairs = zip(counts(), expected, strict=True)
            return all(text.startswith(f"acknowledged {each}") for text, each in pairs)

        return holds

    await until(counted(0, 0))
    for each in clients[:2]:
        await seen(each)
    await until(counted(1, 1))
    await seen(clients[2])
    await until(counted(1, 2))
