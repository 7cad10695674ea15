"""What clients must not do: each has an answer, and harms nobody else.

The table in docs/protocol.md says what the answers are.
"""

import gc
import math
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types
import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
)

from tests.serve.conversation import resource
from tests.serve.setting import Setting, listening
from tests.serve.wire import LRS, World
from tests.wire.client import AnyClient, DeltaClient, SotwClient, connect_to
from tests.wire.conftest import Connect
from tests.wire.variant import ADS, ALL, DELTA, SOTW, Variant, of_types, over
from xds_server.observe import Metrics
from xds_server.serve.grpc_server import MOST_REQUEST_BYTES
from xds_server.serve.session import MOST_PUBLICATIONS
from xds_server.serve.stream import MOST_TYPES
from xds_server.snapshot.table import Publication
from xds_server.xds import CLUSTER, ENDPOINT, PUSH_ORDER, ROUTE

UNKNOWN = "type.googleapis.com/unknown"
MEGABYTE = 1024 * 1024


@over(DELTA[:1])
async def test_an_unknown_type_has_nothing_in_delta(client: DeltaClient) -> None:
    """The names are said to be missing, and the stream goes on."""
    await client.subscribe(UNKNOWN, "a")
    await client.expect(UNKNOWN, removed=["a"])
    await client.subscribe(CLUSTER, "a")
    await client.expect(CLUSTER, "a|1")


@over(SOTW[:1])
async def test_an_unknown_type_is_not_answered_in_sotw(client: SotwClient) -> None:
    """There is no way to say that something does not exist; the stream goes on."""
    await client.subscribe(UNKNOWN, "a")
    await client.expect_silence(UNKNOWN)
    await client.subscribe(CLUSTER, "a")
    await client.expect(CLUSTER, "a|1")


@over(ADS)
async def test_too_many_types_end_the_stream(client: AnyClient) -> None:
    """A client cannot fill the memory with types that it makes up."""
    for number in range(MOST_TYPES + 1):
        await client.subscribe(f"{UNKNOWN}/{number}", "a")

    assert await client.stream(UNKNOWN).status() == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"more than {MOST_TYPES} resource types on one stream",
    )


@over(ALL)
@pytest.mark.parametrize("node", [Node(), Node(cluster="web")], ids=["none", "no-id"])
async def test_a_node_without_an_id_is_refused(
    setting: Setting, variant: Variant, node: Node
) -> None:
    """Nothing could be said about such a client, and no view chosen."""
    client = connect_to(setting, variant, node)
    await client.subscribe(CLUSTER)

    assert await client.stream(CLUSTER).status() == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the first request of a stream must carry a node with an id",
    )
    assert setting.server.statuses() == ()


@over(ALL)
@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_metadata_that_are_no_json_are_refused(
    setting: Setting, variant: Variant, number: float
) -> None:
    """A Struct can hold numbers that JSON, in which metadata are written, has not."""
    node = Node(id="n")
    node.metadata.update({"weight": number})
    client = connect_to(setting, variant, node)
    await client.subscribe(CLUSTER)
    code, details = await client.stream(CLUSTER).status()

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith("the node's metadata cannot be read: ")
    assert setting.server.statuses() == ()


@over(ALL)
async def test_nothing_at_all_is_an_empty_request(client: AnyClient) -> None:
    """No bytes are a valid message, with no node in it."""
    await client.stream(CLUSTER).call.write(b"")
    code, _ = await client.stream(CLUSTER).status()

    assert code is grpc.StatusCode.INVALID_ARGUMENT


@over(ALL)
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
async def test_garbage_ends_the_stream(client: AnyClient, *, is_first: bool) -> None:
    """What such a client wants cannot be known, and what it wanted is let go."""
    if not is_first:
        await client.subscribe(CLUSTER)
    await client.stream(CLUSTER).call.write(b"\xff\xff\xff")
    kind = "DeltaDiscoveryRequest" if client.variant.is_delta else "DiscoveryRequest"

    assert await client.stream(CLUSTER).status() == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"not an encoded {kind}",
    )
    assert client.setting.server.statuses() == ()
    assert client.setting.world.held == []


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters", "Discovery"),
        (
            "envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
            "ClientStatus",
        ),
    ],
    ids=["fetch", "csds"],
)
async def test_garbage_ends_unary_calls(
    setting: Setting, method: str, kind: str
) -> None:
    """Polling and status: the same answer."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await setting.channel.unary_unary(f"/{method}")(b"\xff\xff\xff")

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details() == f"not an encoded {kind}Request"


@pytest.mark.parametrize(
    ("message", "details"),
    [
        (b"\xff\xff\xff", "not an encoded LoadStatsRequest"),
        (b"", "the first request of a stream must carry a node with an id"),
    ],
    ids=["garbage", "no-node"],
)
async def test_garbage_ends_load_reports(
    setting: Setting, message: bytes, details: str
) -> None:
    """The same answers as on a discovery stream."""
    call = setting.channel.stream_stream(LRS)()
    await call.write(message)

    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await call.details() == details


async def test_an_unknown_method_is_unimplemented(setting: Setting) -> None:
    """What this server does not offer, gRPC answers."""
    call = setting.channel.stream_stream("/envoy.service.secret.v3.Secrets/Stream")()

    assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


@over(ADS)
async def test_an_oversized_request_ends_its_stream_alone(
    client: AnyClient, connect: Connect
) -> None:
    """gRPC refuses it unread; other streams of the same connection go on."""
    other = connect()
    await other.subscribe(ENDPOINT, "a")
    await other.expect(ENDPOINT, "a|1")
    await client.subscribe(CLUSTER, "a")
    await client.expect(CLUSTER, "a|1")
    kind = DeltaDiscoveryRequest if client.variant.is_delta else DiscoveryRequest
    huge = kind(type_url="x" * MOST_REQUEST_BYTES).SerializeToString()
    await client.stream(CLUSTER).call.write(huge)
    code, details = await client.stream(CLUSTER).status()
    client.setting.world.publish(resource(ENDPOINT, "a", 2))
    await other.expect(ENDPOINT, "a|2")

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in details
    assert len(client.setting.server.statuses()) == 1


@over(ALL)
async def test_an_answer_to_nothing_is_ignored_and_counted(
    setting: Setting, variant: Variant
) -> None:
    """With a nonce of another stream, be it an old one of this client or made up."""
    metrics = Metrics(lambda: ())
    counted = Setting(setting.world, observers=[metrics])
    async with listening(counted):
        client = connect_to(counted, variant)
        await client.subscribe(ENDPOINT, "a")
        answer = await client.expect(ENDPOINT, "a|1")
        await client.request(ENDPOINT, nonce="of-another-stream", error="no")
        await counted.events.next("stale")
        (status,) = counted.only_client.types
    count = metrics.registry.get_sample_value(
        "xds_server_stale_requests_total", {"type": "endpoint"}
    )

    assert count == 1
    assert status.rejections == ()
    assert status.accepted_version == answer.version


Storm = Callable[[AnyClient, int], Awaitable[None]]


async def ask_the_same(client: AnyClient, number: int) -> None:
    del number
    await client.request(ENDPOINT, "a")


async def ask_for_another(client: AnyClient, number: int) -> None:
    await client.request(ENDPOINT, f"name-{number}")


async def answer_what_was_never_sent(client: AnyClient, number: int) -> None:
    await client.request(ENDPOINT, "a", nonce=f"stale-{number}", error="no")


@over(ALL)
@pytest.mark.parametrize(
    "storm", [ask_the_same, ask_for_another, answer_what_was_never_sent]
)
@pytest.mark.parametrize(
    "requests", [1_000, pytest.param(10_000, marks=pytest.mark.thorough)]
)
async def test_a_storm_of_requests_costs_one_response(
    client: AnyClient, connect: Connect, setting: Setting, storm: Storm, requests: int
) -> None:
    """While a client only writes, others are served.

    One response waits for its answer, however much is asked for.
    """
    other = connect()
    await other.subscribe(ROUTE, "a")
    await other.expect(ROUTE, "a|1")
    await client.subscribe(ENDPOINT, "a")
    first = await client.receive(ENDPOINT)
    for number in range(requests):
        await storm(client, number)
        if number % (requests // 4) == 0:
            version = number + 2
            setting.world.publish(resource(ROUTE, "a", version))
            await other.expect(ROUTE, f"a|{version}")
    setting.world.publish(resource(ENDPOINT, "a", 2), resource(ENDPOINT, "name-9"))
    await client.ack(first)
    answer = await client.receive(ENDPOINT)

    assert set(answer.resources) <= {"a|1", "a|2", "name-9|1"}
    assert answer.resources


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_a_stream_that_never_answers_is_sent_the_newest(
    setting: Setting, variant: Variant, type_url: str
) -> None:
    """After a time; the silence is a rejection, and one response is all that waits."""
    impatient = Setting(setting.world, answer_timeout=timedelta(seconds=0.2))
    async with listening(impatient):
        client = connect_to(impatient, variant)
        await client.subscribe(type_url, "a")
        await client.receive(type_url)
        for version in (2, 3):
            setting.world.publish(resource(type_url, "a", version))
            await impatient.events.next("nack")
            newest = await client.receive(type_url)
            assert newest.resources == (f"a|{version}",)
        await impatient.events.next("nack")
        (status,) = impatient.only_client.types

    assert [each.message for each in status.rejections] == ["no answer in 0.2 s"]


@over(ALL)
async def test_a_stream_that_never_answers_costs_bounded_memory(
    client: AnyClient, world: World
) -> None:
    """However often something changes meanwhile; it gets the newest when it answers."""
    changes = 3 * MOST_PUBLICATIONS
    await client.subscribe(ENDPOINT, "a")
    first = await client.receive(ENDPOINT)
    for version in range(2, changes):
        world.publish(resource(ENDPOINT, "a", version))
    kept = sum(isinstance(each, Publication) for each in gc.get_objects())
    await client.ack(first)
    await client.expect(ENDPOINT, f"a|{changes - 1}")

    assert kept <= MOST_PUBLICATIONS + 1


@over(ALL)
async def test_ten_thousand_names_come_and_go(
    client: AnyClient, setting: Setting
) -> None:
    """Nothing stays behind when nobody asks for them any more.

    The last responses are remembered for streams in equal state, until something
    changes.
    """
    names = [f"name-{number}" for number in range(10_000)]
    versions = count(2)

    async def come_and_go() -> None:
        for _ in range(3):
            await client.subscribe(ENDPOINT, "a", *names)
            await client.ack(await client.receive(ENDPOINT))
            await client.unsubscribe(ENDPOINT, "a", *names)
            await client.expect_silence(ENDPOINT)
        setting.world.publish(resource(ENDPOINT, "a", next(versions)))
        await client.subscribe(ENDPOINT, "a")
        await client.ack(await client.receive(ENDPOINT))
        await client.unsubscribe(ENDPOINT, "a")
        await client.expect_silence(ENDPOINT)

    await come_and_go()
    gc.collect()
    tracemalloc.start()
    try:
        await come_and_go()
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    status = setting.only_client.types[0]

    assert not status.is_wildcard
    assert status.names < 10
    assert grown < MEGABYTE
