"""Client Status Discovery over gRPC: what standard tools see of each client."""

import asyncio

import grpc  # type: ignore[import-untyped]  # ships no types
import pytest
from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus
from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from envoy.service.status.v3.csds_pb2 import (
    ClientConfig,
    ClientStatusRequest,
    ClientStatusResponse,
    ConfigStatus,
)
from google.rpc.status_pb2 import Status

from tests.serve.setting import Setting, ask_delta, cluster
from tests.serve.wire import PATIENCE
from xds_server.serve import csds
from xds_server.serve.csds import RESOURCES_AT_ONCE, client_status
from xds_server.xds import CLUSTER

CSDS = "/envoy.service.status.v3.ClientStatusDiscoveryService/"


async def fetch(
    setting: Setting, request: ClientStatusRequest | None = None
) -> ClientStatusResponse:
    """Ask once."""
    method = setting.channel.unary_unary(f"{CSDS}FetchClientStatus")
    message = (request or ClientStatusRequest()).SerializeToString()
    return ClientStatusResponse.FromString(await method(message, timeout=PATIENCE))


def by_name(
    response: ClientStatusResponse,
) -> dict[str, ClientConfig.GenericXdsConfig]:
    """Return the resources of the only client."""
    (config,) = response.config
    return {each.name: each for each in config.generic_xds_configs}


async def test_each_resource_has_the_state_in_which_the_client_holds_it(
    setting: Setting,
) -> None:
    """Held, rejected with the client's words, sent, not there."""
    wire = await ask_delta(setting)
    first = await wire.receive()
    sent = by_name(await fetch(setting))
    await wire.send(
        DeltaDiscoveryRequest(
            type_url=CLUSTER,
            response_nonce=first.nonce,
            resource_names_subscribe=["z"],
            error_detail=Status(message="cluster b is bad"),
        )
    )
    rest = await wire.receive()
    await wire.send(DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=rest.nonce))
    await setting.events.next("ack")
    answered = by_name(await fetch(setting))

    assert sent["a"].config_status == ConfigStatus.STALE
    assert answered["a"].config_status == ConfigStatus.SYNCED
    assert answered["a"].client_status == ClientResourceStatus.ACKED
    assert answered["a"].xds_config.value == b"a|1"
    assert answered["b"].config_status == ConfigStatus.ERROR
    assert answered["b"].client_status == ClientResourceStatus.NACKED
    assert answered["b"].error_state.details == "cluster b is bad"
    assert answered["z"].client_status == ClientResourceStatus.DOES_NOT_EXIST


async def test_a_stream_is_answered_request_by_request(setting: Setting) -> None:
    wire = await ask_delta(setting)
    first = await wire.receive()
    call = setting.channel.stream_stream(f"{CSDS}StreamClientStatus")()
    request = ClientStatusRequest(exclude_resource_contents=True).SerializeToString()
    await call.write(request)
    before = by_name(ClientStatusResponse.FromString(await call.read()))
    await wire.send(DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=first.nonce))
    await setting.events.next("ack")
    await call.write(request)
    after = by_name(ClientStatusResponse.FromString(await call.read()))

    assert before["a"].config_status == ConfigStatus.STALE
    assert after["a"].config_status == ConfigStatus.SYNCED
    assert not after["a"].HasField("xds_config")


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ({"exact": "sidecar-1"}, 1),
        ({"exact": "SIDECAR-1", "ignore_case": True}, 1),
        ({"prefix": "side"}, 1),
        ({"suffix": "-2"}, 0),
        ({"contains": "car"}, 1),
    ],
)
async def test_nodes_are_picked_by_their_id(
    setting: Setting, pattern: dict[str, str | bool], count: int
) -> None:
    await (await ask_delta(setting)).receive()
    request = ClientStatusRequest(node_matchers=[{"node_id": pattern}])

    assert len((await fetch(setting, request)).config) == count


async def test_what_cannot_be_picked_by_is_refused(setting: Setting) -> None:
    request = ClientStatusRequest(node_matchers=[{"node_metadatas": [{}]}])
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await fetch(setting, request)

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details() == "node_matchers: nodes are picked by node_id alone"


async def test_the_node_is_told_as_it_said_itself(setting: Setting) -> None:
    node = NodeMessage(id="sidecar-1", cluster="web")
    node.metadata["namespace"] = "shop"
    wire = await ask_delta(setting, node)
    await wire.receive()
    (config,) = (await fetch(setting)).config

    assert config.node.id == "sidecar-1"
    assert config.node.cluster == "web"
    assert config.node.metadata["namespace"] == "shop"
    assert config.client_scope.startswith("delta ipv4:127.0.0.1:")


async def test_what_changed_since_it_was_sent_is_not_sent(setting: Setting) -> None:
    wire = await ask_delta(setting)
    await wire.receive()
    setting.world.publish(cluster("a", b"2"))

    assert by_name(await fetch(setting))["a"].config_status == ConfigStatus.NOT_SENT


async def test_others_go_first_while_a_long_answer_is_made(setting: Setting) -> None:
    """However much there is to tell, no stream waits for all of it."""
    many = 20 * RESOURCES_AT_ONCE
    setting.world.publish(*(cluster(f"c{number}") for number in range(many)))
    await (await ask_delta(setting)).receive()
    clients = [
        (each.connection, each.types) for each in setting.server._sessions.values()
    ]
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        others = tasks.create_task(take_turns())
        body = await client_status(ClientStatusRequest(), clients)
        others.cancel()

    assert (
        len(ClientStatusResponse.FromString(body).config[0].generic_xds_configs) > many
    )
    assert turns >= many / RESOURCES_AT_ONCE


async def test_more_than_can_be_told_is_refused(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the words that lead to an answer."""
    monkeypatch.setattr(csds, "MOST_BYTES", 10)
    await (await ask_delta(setting)).receive()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await fetch(setting)

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "exclude_resource_contents" in raised.value.details()
