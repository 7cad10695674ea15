"""Rules 34 to 38: in which order types are sent, so that traffic keeps flowing.

Order is between types on one stream. Where each type has a stream of its own nothing
can be ordered (xds_protocol, "Eventual consistency considerations"), and nothing waits.
"""

import pytest
import pytest_asyncio
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from tests.mesh.documents import slice_of
from tests.serve.conversation import resource
from tests.serve.wire import World
from tests.wire.client import AnyClient, DeltaClient, connect_to
from tests.wire.conftest import Connect
from tests.wire.mesh import Mesh, receive_assignment
from tests.wire.variant import ADS, ALL, SINGLE, Variant, of_types, over
from xds_server.xds import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    PUSH_ORDER,
    ROUTE,
    SECRET,
    VIRTUAL_HOST,
)


def full(client: AnyClient, *resources: str, part: tuple[str, ...]) -> tuple[str, ...]:
    """Return *part*, or all *resources* where a response carries the full state."""
    return part if client.variant.is_delta else resources


@pytest_asyncio.fixture
async def holder(client: AnyClient) -> AnyClient:
    """A client that holds everything, and has said so."""
    for type_url in PUSH_ORDER:
        await client.subscribe(type_url, "*")
        await client.expect(type_url, "a|1", "b|1")
    await client.expect_silence(*PUSH_ORDER)
    return client


@over(ADS)
async def test_rule_34_what_is_new_comes_before_what_refers_to_it(
    holder: AnyClient, world: World
) -> None:
    """One publication of all types: clusters, assignments, listeners, routes."""
    world.publish(*(resource(type_url, "c") for type_url in reversed(PUSH_ORDER)))
    clusters = await holder.receive(CLUSTER)
    endpoints = await holder.receive(ENDPOINT)
    await holder.ack(endpoints)
    await holder.expect_silence(ENDPOINT)
    await holder.ack(clusters)
    listeners = await holder.receive(LISTENER)
    routes = await holder.receive(ROUTE)

    assert "c|1" in clusters.resources
    assert endpoints.resources == ("c|1",)
    assert "c|1" in listeners.resources
    assert routes.resources == ("c|1",)


@over((Variant.ADS_DELTA,))
async def test_rule_34_virtual_hosts_follow_their_routes(
    holder: AnyClient, world: World
) -> None:
    """They are part of a route configuration that must be there."""
    await holder.subscribe(VIRTUAL_HOST, "*")
    await holder.expect(VIRTUAL_HOST)
    world.publish(resource(VIRTUAL_HOST, "v"), resource(ROUTE, "c"))
    await holder.expect(ROUTE, "c|1")
    await holder.expect(VIRTUAL_HOST, "v|1")


@over(ADS)
async def test_rule_34_removals_follow_what_no_longer_refers_to_them(
    holder: AnyClient, world: World
) -> None:
    """In one publication a route changes, and its old cluster goes."""
    world.publish(resource(ROUTE, "a", 2), gone={CLUSTER: ("b",), ENDPOINT: ("b",)})
    routes = await holder.receive(ROUTE)
    await holder.expect(CLUSTER, *full(holder, "a|1", part=()), removed=told(holder))
    if holder.variant.is_delta:
        await holder.expect(ENDPOINT, removed=["b"])
    await holder.ack(routes)
    await holder.expect_silence(*PUSH_ORDER)

    assert routes.resources == ("a|2",)


def told(client: AnyClient) -> tuple[str, ...]:
    """Return how it is said that b is gone: SotW leaves it out."""
    return ("b",) if client.variant.is_delta else ()


@over(ADS)
async def test_rule_34_removals_wait_while_something_old_is_in_use(
    holder: AnyClient, world: World
) -> None:
    """A new route waits for its new cluster, so the old cluster is still needed."""
    world.publish(
        resource(ROUTE, "a", 2), resource(CLUSTER, "c"), gone={CLUSTER: ("b",)}
    )
    clusters = await holder.receive(CLUSTER)
    await holder.expect_silence(*PUSH_ORDER)
    await holder.ack(clusters)
    routes = await holder.receive(ROUTE)
    await holder.ack(routes)
    gone = await holder.receive(CLUSTER)

    assert clusters.resources == full(holder, "a|1", "b|1", "c|1", part=("c|1",))
    assert clusters.removed == ()
    assert routes.resources == ("a|2",)
    assert gone.resources == full(holder, "a|1", "c|1", part=())
    assert gone.removed == told(holder)


@over(SINGLE)
async def test_rule_34_streams_of_one_type_do_not_wait_for_each_other(
    holder: AnyClient, world: World
) -> None:
    """There is no order between them; the new clusters' answer is not awaited."""
    world.publish(
        resource(ROUTE, "a", 2), resource(CLUSTER, "c"), gone={CLUSTER: ("b",)}
    )
    routes = await holder.receive(ROUTE)
    clusters = await holder.receive(CLUSTER)

    assert routes.resources == ("a|2",)
    assert clusters.resources == full(holder, "a|1", "c|1", part=("c|1",))
    assert clusters.removed == told(holder)


@over(ADS)
@of_types(LISTENER, ROUTE)
@pytest.mark.parametrize("is_accepted", [True, False])
async def test_rule_35_changed_routes_wait_until_clusters_are_ready(
    holder: AnyClient, world: World, type_url: str, *, is_accepted: bool
) -> None:
    """Envoy accepts clusters when they are warm; a rejection frees the way too."""
    world.publish(resource(CLUSTER, "c"), resource(type_url, "a", 2))
    clusters = await holder.receive(CLUSTER)
    await holder.expect_silence(*PUSH_ORDER)
    if is_accepted:
        await holder.ack(clusters)
    else:
        await holder.nack(clusters, "error in c")
    answer = await holder.receive(type_url)

    assert "a|2" in answer.resources


@over(ADS)
async def test_rule_35_a_route_that_is_asked_for_does_not_wait(
    client: AnyClient,
) -> None:
    """A new listener needs its routes to become ready, whatever clusters do."""
    await client.subscribe(CLUSTER)
    clusters = await client.receive(CLUSTER)
    await client.subscribe(ROUTE, "a")
    await client.expect(ROUTE, "a|1")
    await client.ack(clusters)


@over(ADS)
async def test_rule_36_a_changed_cluster_brings_its_unchanged_assignment(
    holder: AnyClient, world: World
) -> None:
    """Its own and no other; it does not wait for the cluster's answer.

    Envoy accepts the cluster only once that is there.
    """
    world.publish(resource(CLUSTER, "a", 2))
    clusters = await holder.receive(CLUSTER)
    await holder.expect(ENDPOINT, "a|1")
    await holder.ack(clusters)
    await holder.expect_silence(*PUSH_ORDER)

    assert "a|2" in clusters.resources


@over((Variant.ADS_DELTA,))
async def test_rule_36_an_assignment_that_is_held_is_sent_for_a_changed_cluster(
    connect: Connect, world: World
) -> None:
    """Whoever comes back holds it, but its cluster has changed meanwhile (rule 31)."""
    client, again = connect(), connect()
    assert isinstance(again, DeltaClient)
    held = {}
    for type_url in (CLUSTER, ENDPOINT):
        await client.subscribe(type_url, "*")
        held[type_url] = (await client.expect(type_url, "a|1", "b|1")).versions
    world.publish(resource(CLUSTER, "b", 2))
    await again.request(CLUSTER, versions=held[CLUSTER])
    await again.expect(CLUSTER, "b|2")
    await again.request(ENDPOINT, "a", "b", versions=held[ENDPOINT])
    await again.expect(ENDPOINT, "b|1")
    await again.expect_silence(CLUSTER, ENDPOINT)


@over(SINGLE)
async def test_rule_36_on_streams_of_one_type_a_new_stream_asks_by_itself(
    holder: AnyClient, connect: Connect, world: World
) -> None:
    """Envoy opens a stream of assignments for each cluster, and again when it changes.

    So the stream that is there is not sent again what it holds.
    """
    world.publish(resource(CLUSTER, "a", 2))
    clusters = await holder.receive(CLUSTER)
    await holder.ack(clusters)
    await holder.expect_silence(ENDPOINT)
    again = connect()
    await again.subscribe(ENDPOINT, "a")
    await again.expect(ENDPOINT, "a|1")


@over(ALL)
async def test_rule_37_a_service_is_drained_by_an_empty_assignment(
    mesh: Mesh, variant: Variant
) -> None:
    """It is not removed: Envoy would go on with the hosts that it has."""
    client = connect_to(mesh.setting, variant)
    await client.subscribe(ENDPOINT, "*")
    before = await receive_assignment(client)
    mesh.apply(slice_of([]))
    drained = await receive_assignment(client)
    mesh.apply(slice_of(["10.0.0.3"]))
    after = await receive_assignment(client)

    assert [len(each.lb_endpoints) for each in before.endpoints] == [2]
    assert drained == ClusterLoadAssignment(cluster_name=before.cluster_name)
    assert [len(each.lb_endpoints) for each in after.endpoints] == [1]


@over((Variant.ADS_DELTA,))
@of_types(EXTENSION, SECRET)
async def test_rule_38_an_extension_goes_when_no_listener_refers_to_it(
    holder: AnyClient, world: World, type_url: str
) -> None:
    """The new listener waits for its clusters, so the old one is in use till then."""
    world.publish(resource(type_url, "x"))
    await holder.subscribe(type_url, "x")
    await holder.expect(type_url, "x|1")
    world.publish(
        resource(CLUSTER, "c"), resource(LISTENER, "a", 2), gone={type_url: ("x",)}
    )
    clusters = await holder.receive(CLUSTER)
    await holder.expect_silence(type_url)
    await holder.ack(clusters)
    await holder.expect(LISTENER, "a|2")
    await holder.expect(type_url, removed=["x"])


@over((Variant.ADS_SOTW,))
@of_types(EXTENSION, SECRET)
async def test_rule_38_in_sotw_an_extension_is_never_removed(
    holder: AnyClient, world: World, type_url: str
) -> None:
    """There is no way to say it; the listener that needs it no more is enough."""
    world.publish(resource(type_url, "x"))
    await holder.subscribe(type_url, "x")
    await holder.expect(type_url, "x|1")
    world.publish(resource(LISTENER, "a", 2), gone={type_url: ("x",)})
    await holder.expect(LISTENER, "a|2", "b|1")
    await holder.expect_silence(type_url)
