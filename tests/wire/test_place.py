"""Clients in different places follow a Service that prefers near endpoints."""

from dataclasses import replace

from envoy.config.core.v3.base_pb2 import Locality, Node
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.struct_pb2 import Struct

from tests.integration.envoy.world import until
from tests.mesh.documents import HTTP, endpoint, policy, service, slice_of
from tests.wire.client import AnyClient, connect_to
from tests.wire.mesh import Mesh, receive_assignment, receive_cluster
from tests.wire.variant import ALL, Variant, over
from xds_server.api.document import Document, Revision
from xds_server.api.kubernetes import ServiceSpec
from xds_server.api.problem import ObjectKey
from xds_server.policy_status.survey import Survey
from xds_server.xds import CLUSTER, ENDPOINT

WEB = "shop/web/80"


def near(distribution: str) -> Document:
    return service(spec=ServiceSpec(ports=(HTTP,), traffic_distribution=distribution))


def slices(third_zone: str = "b") -> Document:
    return slice_of(
        [
            endpoint("10.0.0.1", zone="a", node="n1"),
            endpoint("10.0.0.2", zone="a", node="n2"),
            endpoint("10.0.0.3", zone=third_zone, node="n3"),
        ]
    )


def node(name: str, zone: str = "", machine: str = "") -> Node:
    metadata = Struct()
    if machine:
        metadata["node_name"] = machine
    return Node(id=name, metadata=metadata, locality=Locality(zone=zone))


def tiers(assignment: ClusterLoadAssignment) -> list[set[str]]:
    """Return the ends of the addresses, or whole names, by priority."""
    found: list[set[str]] = [set() for _ in assignment.endpoints]
    for group in assignment.endpoints:
        found[group.priority] |= {
            each.endpoint.address.socket_address.address.rpartition(".")[2]
            for each in group.lb_endpoints
        }
    return [each for each in found if each]


async def follow(mesh: Mesh, variant: Variant, of: Node) -> AnyClient:
    """Connect a node that wants the Service's assignment."""
    client = connect_to(mesh.setting, variant, of)
    await client.subscribe(ENDPOINT, WEB)
    return client


async def seen(client: AnyClient) -> list[set[str]]:
    return tiers(await receive_assignment(client, WEB))


@over(ALL)
async def test_two_zones_see_their_own_endpoints_first_and_follow_every_change(
    mesh: Mesh, variant: Variant
) -> None:
    mesh.apply(near("PreferSameZone"), slices())
    here, there, nowhere = [
        await follow(mesh, variant, each)
        for each in (node("a", "a"), node("b", "b"), node("c"))
    ]
    before = [await seen(each) for each in (here, there, nowhere)]
    mesh.apply(slices(third_zone="a"))
    after = [await seen(each) for each in (here, there, nowhere)]

    assert before == [[{"1", "2"}, {"3"}], [{"3"}, {"1", "2"}], [{"1", "2", "3"}]]
    assert after == [[{"1", "2", "3"}]] * 3


@over(ALL)
async def test_names_are_near_too(mesh: Mesh, variant: Variant) -> None:
    """DNS finds their addresses, so they are in the cluster: it has the tiers."""
    names = slice_of(
        [endpoint(f"{zone}{n}", zone=zone) for zone in "ab" for n in "12"],
        address_type="FQDN",
    )
    mesh.apply(near("PreferSameZone"), names)
    clients = [
        connect_to(mesh.setting, variant, each)
        for each in (node("a", "a"), node("b", "b"), node("c"))
    ]
    for each in clients:
        await each.subscribe(CLUSTER)
    before = [tiers((await receive_cluster(each)).load_assignment) for each in clients]
    mesh.apply(near(""))
    after = [tiers((await receive_cluster(each)).load_assignment) for each in clients]

    assert before == [
        [{"a1", "a2"}, {"b1", "b2"}],
        [{"b1", "b2"}, {"a1", "a2"}],
        [{"a1", "a2", "b1", "b2"}],
    ]
    assert after == [[{"a1", "a2", "b1", "b2"}]] * 3


@over(ALL)
async def test_a_machine_sees_its_own_endpoints_then_those_of_its_zone(
    mesh: Mesh, variant: Variant
) -> None:
    mesh.apply(near("PreferSameNode"), slices())
    clients = [
        await follow(mesh, variant, each)
        for each in (node("a", "a", "n1"), node("b", "a", "n9"), node("c", "", "n3"))
    ]

    assert [await seen(each) for each in clients] == [
        [{"1"}, {"2"}, {"3"}],
        [{"1", "2"}, {"3"}],
        [{"3"}, {"1", "2"}],
    ]


@over(ALL)
async def test_a_policy_counts_sidecars_in_every_place(
    mesh: Mesh, variant: Variant
) -> None:
    """What they hold differs; that each has what is for its place is what counts."""
    told = replace(policy("p"), revision=Revision(uid="u"))
    mesh.apply(near("PreferSameZone"), slices(), told)
    clients = [
        await follow(mesh, variant, each) for each in (node("a", "a"), node("b", "b"))
    ]

    def count() -> str:
        survey = Survey(
            mesh.index,
            tables=mesh.publisher.shared,
            failures=mesh.publisher.failures,
            clients=mesh.setting.server.statuses(),
        )
        described = survey.describe(ObjectKey("TrafficPolicy", "shop", "p"))
        assert described is not None
        return described.ancestors[0].conditions[-1].message

    async def is_everywhere() -> bool:
        return count() == "acknowledged 2 of 2 sidecars"

    for each in clients:
        await seen(each)
    await until(is_everywhere)
    mesh.apply(slices(third_zone="a"))
    during = count()
    for each in clients:
        await seen(each)
    await until(is_everywhere)

    assert during.startswith("acknowledged 0 of 2 sidecars")
