"""How calls end over real gRPC: refused, given up, left, or stopped."""

import asyncio

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types
import pytest
from envoy.service.discovery.v3.discovery_pb2 import (
    DiscoveryRequest,
)
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest

from tests.serve.setting import (
    GRACE,
    NODE,
    Setting,
    ask_delta,
    ask_sotw,
    cluster,
    delta_names,
    sotw_bodies,
)
from tests.serve.wire import (
    LRS,
)
from xds_server.serve.ending import NotReadyError
from xds_server.serve.grpc_server import XdsServer
from xds_server.serve.node import Node
from xds_server.snapshot.view import View
from xds_server.xds import CLUSTER


async def test_a_node_for_which_there_is_nothing_yet_is_sent_away(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream ends before a response, and it may come back at once."""

    def refuse(_: Node) -> View:
        message = "nothing for you yet"
        raise NotReadyError(message)

    with monkeypatch.context() as patched:
        patched.setattr(setting.world, "acquire", refuse)
        refused = await (await ask_delta(setting)).status()
    again = await (await ask_delta(setting)).receive()

    assert refused == (grpc.StatusCode.UNAVAILABLE, "nothing for you yet")
    assert delta_names(again) == ["a", "b"]


async def test_a_client_that_does_not_read_holds_nobody_up(setting: Setting) -> None:
    """Others are served, it gets the newest content later, and the server can stop."""
    setting.world.publish(cluster("a", bytes(20_000_000)))
    slow, quick = await ask_sotw(setting), await ask_sotw(setting)
    first = await quick.receive()
    await quick.send(DiscoveryRequest(type_url=CLUSTER, response_nonce=first.nonce))
    for version in (b"2", b"3"):
        setting.world.publish(cluster("a", version))
    second = await quick.receive()
    outdated = await slow.receive()
    await slow.send(DiscoveryRequest(type_url=CLUSTER, response_nonce=outdated.nonce))
    newest = await slow.receive()

    assert second.version_info == newest.version_info
    assert sotw_bodies(newest) == [b"a|3", b"b|1"]


async def test_a_client_that_does_not_read_does_not_stop_a_stop(
    setting: Setting,
) -> None:
    """A response that nobody takes is given up with the stream."""
    setting.world.publish(cluster("a", bytes(20_000_000)))
    await ask_sotw(setting)
    await setting.events.next("response request")
    async with asyncio.timeout(2 * GRACE.total_seconds()):
        await setting.listening.aclose()

    assert setting.world.held == []


async def test_a_client_that_goes_away_leaves_nothing_and_no_noise(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    """In the middle of a response or idle, with or without a good-bye."""
    setting.world.publish(cluster("a", bytes(20_000_000)))
    for _ in range(5):
        wire = await ask_delta(setting)
        await setting.events.next("response request")
        wire.call.cancel()
        await setting.events.next("disconnect")
    polite = await ask_delta(setting)
    await polite.receive()
    await polite.call.done_writing()
    await setting.events.next("disconnect")

    assert await polite.status() == (grpc.StatusCode.OK, "")
    assert setting.world.held == []
    assert [
        record.getMessage()
        for record in caplog.records
        if record.name != "grpc._cython.cygrpc"  # may note the client's own leaving
    ] == []


async def test_stopping_ends_streams_at_once(setting: Setting) -> None:
    """Clients hear UNAVAILABLE and go elsewhere; the grace is not used up."""
    wire = await ask_delta(setting)
    await wire.receive()
    reports = setting.channel.stream_stream(LRS)()
    await reports.write(LoadStatsRequest(node=NODE).SerializeToString())
    await reports.read()
    started = asyncio.get_running_loop().time()
    await setting.listening.aclose()
    took = asyncio.get_running_loop().time() - started

    assert await wire.status() == (
        grpc.StatusCode.UNAVAILABLE,
        "the server is stopping",
    )
    assert took < GRACE.total_seconds() / 2
    assert setting.world.held == []


async def test_an_address_in_use_is_an_error(setting: Setting) -> None:
    """Two servers must not share a port without knowing."""
    other = XdsServer(snapshot=setting.world.snapshot, directory=setting.world)

    with pytest.raises(OSError, match=r"cannot listen on .*: Address already in use"):
        async with other.listening(setting.address):
            pass


async def test_an_address_of_another_machine_is_an_error(setting: Setting) -> None:
    """The reason is the operating system's."""
    with pytest.raises(OSError, match=r"192\.0\.2\.1:0: Cannot assign requested"):
        async with setting.server.listening("192.0.2.1:0"):
            pass
