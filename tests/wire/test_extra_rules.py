"""Rules 41 to 43 and 45 to 47: features of clients, and other services."""

from collections.abc import AsyncIterator
from typing import Final

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types
import pytest
import pytest_asyncio
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import (
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest, LoadStatsResponse

from tests.serve.conversation import resource
from tests.serve.setting import NODE, Setting, listening
from tests.serve.wire import ADS as ADS_SERVICE, LRS, World
from tests.wire.client import AnyClient, DeltaClient, connect_to
from tests.wire.mesh import Mesh, receive_assignment
from tests.wire.variant import ADS, ALL, DELTA, SINGLE, Variant, of_types, over
from xds_server.serve.lrs import SENDS_ALL_CLUSTERS
from xds_server.xds import (
    CLUSTER,
    ENDPOINT,
    FULL_STATE_TYPES,
    PUSH_ORDER,
    VIRTUAL_HOST,
)

NO_OVERPROVISIONING: Final = "envoy.lb.does_not_support_overprovisioning"


@over(ALL)
@pytest.mark.parametrize(
    "features", [[], [NO_OVERPROVISIONING]], ids=["none", "no-overprovisioning"]
)
async def test_rule_41_all_endpoints_have_one_priority(
    mesh: Mesh, variant: Variant, features: list[str]
) -> None:
    """There is nothing to fail over to, so no client is told an overprovisioning."""
    node = Node(id=NODE.id, client_features=features)
    client = connect_to(mesh.setting, variant, node)
    await client.subscribe(ENDPOINT, "*")
    assignment = await receive_assignment(client)

    assert {each.priority for each in assignment.endpoints} == {0}
    assert not assignment.HasField("policy")


@pytest.mark.parametrize("can_send_all", [True, False])
async def test_rule_42_send_all_clusters_only_for_who_knows_it(
    setting: Setting, *, can_send_all: bool
) -> None:
    """LRS: to others the field means nothing, and they would report nothing."""
    call = setting.channel.stream_stream(LRS)()
    features = [SENDS_ALL_CLUSTERS] if can_send_all else []
    node = Node(id=NODE.id, client_features=features)
    await call.write(LoadStatsRequest(node=node).SerializeToString())
    response = LoadStatsResponse.FromString(await call.read())
    call.cancel()

    assert response.send_all_clusters is can_send_all


@over((Variant.ADS_DELTA,))
async def test_rule_43_virtual_hosts_come_in_delta(
    client: DeltaClient, world: World
) -> None:
    """One by one, as routes need them; a missing one is told."""
    world.publish(resource(VIRTUAL_HOST, "routes/web"))
    await client.subscribe(VIRTUAL_HOST, "routes/web", "routes/none")
    await client.expect(VIRTUAL_HOST, "routes/web|1", removed=["routes/none"])


@over((Variant.ADS_SOTW,))
async def test_rule_43_virtual_hosts_do_not_come_in_sotw(client: AnyClient) -> None:
    """A client that asks is told so, instead of waiting for ever."""
    await client.subscribe(VIRTUAL_HOST, "routes/web")

    assert await client.stream(VIRTUAL_HOST).status() == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "virtual hosts are served in delta alone (xds_protocol, VHDS)",
    )


@over(DELTA)
@of_types(*PUSH_ORDER)
async def test_rule_45_what_is_missing_is_said_in_removed_resources(
    client: DeltaClient, type_url: str
) -> None:
    """resource_errors, which Envoy does not read, stays empty."""
    await client.subscribe(type_url, "missing")
    response = await client.stream(type_url).receive()

    assert list(response.removed_resources) == ["missing"]
    assert list(response.resource_errors) == []


@over(SINGLE)
@of_types(*PUSH_ORDER)
async def test_rule_46_a_unary_call_is_answered_as_a_first_request(
    client: AnyClient, type_url: str
) -> None:
    """Polling over gRPC, for one type and without differences; each has all it asks.

    The REST-JSON form of it over HTTP/1.1 is not offered.
    """
    service = client.variant.method(type_url).rpartition("/")[0]
    noun = service.rpartition(".")[2].removesuffix("DiscoveryService")
    call = client.setting.channel.unary_unary(f"{service}/Fetch{noun}s")
    bodies, versions = [], set()
    for names in ((), ("a", "missing"), ("*",)):
        request = DiscoveryRequest(node=NODE, resource_names=names)
        response = DiscoveryResponse.FromString(await call(request.SerializeToString()))
        bodies.append(sorted(each.value for each in response.resources))
        versions.add(response.version_info)

    assert versions == {client.setting.world.tables[type_url].version}
    assert bodies == [
        [b"a|1", b"b|1"] if type_url in FULL_STATE_TYPES else [],
        [b"a|1"],
        [b"a|1", b"b|1"],
    ]


@over(ADS)
async def test_rule_46_nothing_polls_all_types_at_once(
    setting: Setting, variant: Variant
) -> None:
    """There is no such method, in either variant."""
    names = {Variant.ADS_SOTW: "Fetch", Variant.ADS_DELTA: "FetchDelta"}
    call = setting.channel.unary_unary(
        f"{ADS_SERVICE}{names[variant]}AggregatedResources"
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(DiscoveryRequest(node=NODE, type_url=CLUSTER).SerializeToString())

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest_asyncio.fixture
async def starting() -> AsyncIterator[Setting]:
    """A server whose sources have not listed yet."""
    setting = Setting()
    async with listening(setting):
        yield setting


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_47_streams_are_refused_until_everything_is_listed(
    starting: Setting, variant: Variant, type_url: str
) -> None:
    """UNAVAILABLE makes clients come back; an empty answer would take all away."""
    early, later = (connect_to(starting, variant) for _ in range(2))
    refused = await early.stream(type_url).status()
    starting.world.publish(resource(type_url, "a"))
    starting.world.snapshot.declare_ready()
    await later.subscribe(type_url, "a")
    await later.expect(type_url, "a|1")

    assert refused == (
        grpc.StatusCode.UNAVAILABLE,
        "not ready: waiting for the sources to list",
    )


@over(SINGLE)
@of_types(*PUSH_ORDER)
async def test_rule_47_other_calls_are_refused_too(
    starting: Setting, variant: Variant, type_url: str
) -> None:
    """Polling and load reports."""
    service = variant.method(type_url).rpartition("/")[0]
    noun = service.rpartition(".")[2].removesuffix("DiscoveryService")
    call = starting.channel.unary_unary(f"{service}/Fetch{noun}s")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(DiscoveryRequest(node=NODE).SerializeToString())
    reports = starting.channel.stream_stream(LRS)()

    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await reports.code() is grpc.StatusCode.UNAVAILABLE
