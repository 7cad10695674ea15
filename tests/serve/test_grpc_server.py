"""The server over real gRPC on loopback, as clients see it."""

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
)
from google.rpc.status_pb2 import Status

from tests.serve.setting import (
    Setting,
    ask_delta,
    ask_sotw,
    cluster,
    delta_names,
    sotw_bodies,
)
from xds_server.xds import CLUSTER, ENDPOINT


async def test_sotw_subscribe_ack_change(setting: Setting) -> None:
    """A change after an ACK brings the full state, with a new version and nonce."""
    wire = await ask_sotw(setting)
    first = await wire.receive()
    await wire.send(DiscoveryRequest(type_url=CLUSTER, response_nonce=first.nonce))
    setting.world.publish(cluster("b", b"2"))
    second = await wire.receive()

    assert sotw_bodies(first) == [b"a|1", b"b|1"]
    assert sotw_bodies(second) == [b"a|1", b"b|2"]
    assert {r.type_url for r in second.resources} == {CLUSTER} == {second.type_url}
    assert first.version_info != second.version_info
    assert first.nonce != second.nonce


async def test_delta_subscribe_ack_change_and_remove(setting: Setting) -> None:
    """A change after an ACK brings the changed and the removed name alone."""
    wire = await ask_delta(setting)
    first = await wire.receive()
    await wire.send(DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=first.nonce))
    setting.world.publish(cluster("a", b"2"), deleted=("b",))
    second = await wire.receive()

    assert delta_names(first) == ["a", "b"]
    assert delta_names(second) == ["a"]
    assert list(second.removed_resources) == ["b"]


async def test_subscriptions_are_observed_when_they_change(setting: Setting) -> None:
    """At first, and with each name that comes or goes; an ACK changes nothing."""
    wire = await ask_delta(setting)
    await setting.events.next(f"subscribe {CLUSTER} *")
    for names in (["a", "b"], []):
        await wire.send(
            DeltaDiscoveryRequest(type_url=ENDPOINT, resource_names_subscribe=names)
        )
    await wire.send(
        DeltaDiscoveryRequest(type_url=ENDPOINT, resource_names_unsubscribe=["a"])
    )

    observed = [await setting.events.next_of("subscribe") for _ in range(2)]
    assert observed == [
        f"subscribe {ENDPOINT} {['a', 'b']}",
        f"subscribe {ENDPOINT} {['b']}",
    ]


async def test_a_nack_is_kept_with_its_resource_until_an_ack(setting: Setting) -> None:
    """The state names the rejected version, the message and the suspect."""
    wire = await ask_delta(setting)
    first = await wire.receive()
    await wire.send(
        DeltaDiscoveryRequest(
            type_url=CLUSTER,
            response_nonce=first.nonce,
            error_detail=Status(message="Error adding cluster(s) b: bad ring"),
        )
    )
    await setting.events.next("nack")
    rejected = setting.only_client.types[0]
    again = await wire.receive()
    await wire.send(DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=again.nonce))
    await setting.events.next("ack")
    setting.world.publish(cluster("b", b"2"))
    second = await wire.receive()
    await wire.send(
        DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=second.nonce)
    )
    await setting.events.next("ack")
    accepted = setting.only_client.types[0]

    (rejection,) = rejected.rejections
    assert rejection.message == "Error adding cluster(s) b: bad ring"
    assert rejection.suspects == ("b",)
    assert rejection.head.version == first.system_version_info
    assert rejected.accepted_version is None
    assert delta_names(again) == ["a"], "the good is not held hostage"
    assert delta_names(second) == ["b"], "rule 8: only what changed since is sent"
    assert accepted.rejections == ()
    assert accepted.accepted_version == second.system_version_info


async def test_status_says_who_is_connected(setting: Setting) -> None:
    """A client is listed from its first request until its stream ends."""
    wire = await ask_sotw(setting)
    await wire.receive()
    status = setting.only_client
    wire.call.cancel()
    await setting.events.next("disconnect")

    assert status.connection.node.id == "sidecar-1"
    assert status.connection.mode == "sotw"
    assert status.connection.peer.startswith("ipv4:127.0.0.1:")
    assert [each.type_url for each in status.types] == [CLUSTER]
    assert setting.server.statuses() == ()
    assert setting.world.held == []


async def test_responses_may_be_longer_than_4_megabytes(setting: Setting) -> None:
    """gRPC's usual limit does not apply."""
    setting.world.publish(*(cluster(f"c{i}", bytes(5_000)) for i in range(2_000)))
    wire = await ask_sotw(setting)
    response = await wire.receive()

    assert len(response.resources) == 2_002
    assert response.ByteSize() > 10_000_000
