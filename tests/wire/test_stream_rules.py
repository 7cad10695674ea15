"""Rules 1 to 12: streams, nonces, and what a request says of the last response."""

import grpc  # type: ignore[import-untyped]  # ships no types
import pytest
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
)

from tests.serve.conversation import resource
from tests.serve.setting import NODE, Setting
from tests.serve.wire import World
from tests.wire.client import AnyClient, DeltaClient, SotwClient
from tests.wire.conftest import Connect
from tests.wire.variant import ADS, ALL, DELTA, SINGLE, SOTW, of_types, over
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_01_only_the_first_request_needs_a_node(
    client: AnyClient, type_url: str
) -> None:
    """Later requests of the same stream are answered without one."""
    await client.subscribe(type_url, "x")
    await client.subscribe(type_url, "x", "late")
    client.setting.world.publish(resource(type_url, "late"))
    answer = await client.receive(type_url)
    while "late|1" not in answer.resources:
        await client.ack(answer)
        answer = await client.receive(type_url)

    (status,) = client.setting.server.statuses()
    assert status.connection.node.id == NODE.id


@over(ALL)
async def test_rule_02_types_do_not_wait_for_each_other(
    client: AnyClient, world: World
) -> None:
    """One type's answer is due, or a rejection; another type's changes go on."""
    await client.subscribe(CLUSTER)
    clusters = await client.receive(CLUSTER)
    await client.subscribe(ENDPOINT, "a")
    await client.expect(ENDPOINT, "a|1")
    world.publish(resource(ENDPOINT, "a", 2))
    await client.expect(ENDPOINT, "a|2")
    await client.nack(clusters, "bad a and b")
    world.publish(resource(ENDPOINT, "a", 3))
    await client.expect(ENDPOINT, "a|3")
    await client.expect_silence(CLUSTER, ENDPOINT)


@over(ALL)
async def test_rule_02_subscriptions_are_of_one_type(
    client: AnyClient, world: World
) -> None:
    """The same name of another type is not meant."""
    await client.subscribe(ENDPOINT, "a")
    await client.expect(ENDPOINT, "a|1")
    world.publish(resource(ROUTE, "a", 2), resource(CLUSTER, "a", 2))
    await client.expect_silence(ENDPOINT)
    await client.subscribe(ROUTE, "a")
    await client.expect(ROUTE, "a|2")


@over(ADS)
@pytest.mark.parametrize("is_first", [True, False])
async def test_rule_03_an_aggregated_stream_requires_a_type_url(
    client: AnyClient, *, is_first: bool
) -> None:
    """A request without one ends the stream: nothing can be said about it."""
    if not is_first:
        await client.subscribe(CLUSTER)
    kind = DeltaDiscoveryRequest if client.variant.is_delta else DiscoveryRequest
    await client.stream(CLUSTER).call.write(kind(node=NODE).SerializeToString())

    assert await client.stream(CLUSTER).status() == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "type_url is required on an aggregated stream",
    )


@over(SINGLE)
@of_types(*PUSH_ORDER)
async def test_rule_03_a_service_of_one_type_implies_it(
    client: AnyClient, type_url: str
) -> None:
    """The driver sends none there; the response says it, as every response does."""
    await client.subscribe(type_url, "a")
    await client.expect(type_url, "a|1")


@over(SINGLE)
async def test_rule_03_a_service_of_one_type_refuses_another(
    client: AnyClient,
) -> None:
    """It would be answered with what was not asked for."""
    kind = DeltaDiscoveryRequest if client.variant.is_delta else DiscoveryRequest
    await client.stream(CLUSTER).call.write(
        kind(node=NODE, type_url=ROUTE).SerializeToString()
    )
    code, details = await client.stream(CLUSTER).status()

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == f"type_url must be {CLUSTER} or empty (got {ROUTE})"


@over(ALL)
@of_types(CLUSTER, ENDPOINT)
async def test_rule_04_every_response_has_a_nonce_of_its_own(
    client: AnyClient, world: World, type_url: str
) -> None:
    """Also when the content is that of an earlier response."""
    nonces = []
    await client.subscribe(type_url, "a")
    nonces.append((await client.expect(type_url, "a|1")).nonce)
    for version in (2, 1, 2):
        world.publish(resource(type_url, "a", version))
        nonces.append((await client.expect(type_url, f"a|{version}")).nonce)
    await client.subscribe(type_url, "b")
    nonces.append((await client.receive(type_url)).nonce)

    assert all(nonces)
    assert len(set(nonces)) == len(nonces)


@over(ALL)
async def test_rule_04_a_nonce_of_another_stream_is_no_answer(
    connect: Connect, world: World, setting: Setting
) -> None:
    """Neither on a new stream, nor where a response waits for its answer."""
    other, client = connect(), connect()
    await other.subscribe(ENDPOINT, "a")
    old = await other.expect(ENDPOINT, "a|1")
    await setting.events.next("ack")
    world.publish(resource(ENDPOINT, "a", 2))
    await other.expect(ENDPOINT, "a|2")
    await setting.events.next("ack")
    await client.request(ENDPOINT, "a", nonce=old.nonce)
    answer = await client.receive(ENDPOINT)
    await client.request(ENDPOINT, "a", nonce=old.nonce, error="not of this stream")
    await client.ack(answer)
    await setting.events.next("ack")
    (status,) = setting.server.statuses()[1].types

    assert answer.resources == ("a|2",)
    assert old.nonce != answer.nonce
    assert status.rejections == ()
    assert status.accepted_version == answer.version


@over(SOTW)
async def test_rule_05_a_request_with_a_stale_nonce_is_ignored(
    client: SotwClient, world: World
) -> None:
    """Its names do not count, and it answers nothing; the next request repeats all."""
    await client.subscribe(ENDPOINT, "a")
    first = await client.expect(ENDPOINT, "a|1")
    world.publish(resource(ENDPOINT, "a", 2))
    second = await client.receive(ENDPOINT)
    await client.request(ENDPOINT, "a", "b", nonce=first.nonce)
    await client.ack(second)
    await client.expect_silence(ENDPOINT)
    await client.request(ENDPOINT, "a", "b", nonce=first.nonce)
    await client.expect_silence(ENDPOINT)
    await client.subscribe(ENDPOINT, "b")
    await client.expect(ENDPOINT, "b|1")


@over(SOTW)
async def test_rule_05_a_stale_list_of_clusters_does_not_narrow_the_full_state(
    client: SotwClient, world: World
) -> None:
    """The client still wants all of them."""
    await client.subscribe(CLUSTER)
    first = await client.expect(CLUSTER, "a|1", "b|1")
    world.publish(resource(CLUSTER, "a", 2))
    await client.expect(CLUSTER, "a|2", "b|1")
    await client.request(CLUSTER, "a", nonce=first.nonce, error="stale")
    await client.expect_silence(CLUSTER)
    world.publish(resource(CLUSTER, "b", 2))
    await client.expect(CLUSTER, "a|2", "b|2")


@over(DELTA)
async def test_rule_06_subscriptions_count_even_with_a_stale_nonce(
    client: DeltaClient, world: World
) -> None:
    """No later request would repeat them; but a stale answer is none."""
    await client.subscribe(ENDPOINT, "a")
    first = await client.expect(ENDPOINT, "a|1")
    world.publish(resource(ENDPOINT, "a", 2))
    second = await client.receive(ENDPOINT)
    await client.request(ENDPOINT, "b", nonce=first.nonce, error="stale")
    await client.ack(second)
    await client.expect(ENDPOINT, "b|1")
    await client.request(ENDPOINT, unsubscribe=["a"], nonce=first.nonce)
    world.publish(resource(ENDPOINT, "b", 2))
    await client.expect(ENDPOINT, "b|2")
    world.publish(resource(ENDPOINT, "a", 3))
    await client.expect_silence(ENDPOINT)


@over(ALL)
@of_types(CLUSTER, ENDPOINT)
async def test_rule_07_a_nack_is_an_error_detail(
    client: AnyClient, setting: Setting, type_url: str
) -> None:
    """Even an empty one; then the version that is in force is the last accepted."""
    await client.subscribe(type_url, "a")
    accepted = await client.expect(type_url, "a|1")
    await setting.events.next("ack")
    setting.world.publish(resource(type_url, "a", 2))
    rejected = await client.receive(type_url)
    await client.request(type_url, "a", nonce=rejected.nonce, error="")
    await setting.events.next("nack")
    (status,) = setting.only_client.types

    assert [each.head.version for each in status.rejections] == [rejected.version]
    assert status.accepted_version == accepted.version


@over(SOTW)
@of_types(CLUSTER, ENDPOINT)
@pytest.mark.parametrize("version", ["", "older"])
async def test_rule_07_a_version_does_not_make_an_answer_a_nack(
    client: SotwClient, setting: Setting, type_url: str, version: str
) -> None:
    """Without an error detail it accepts, whatever version it says it holds."""
    await client.subscribe(type_url, "a")
    answer = await client.receive(type_url)
    await client.request(type_url, "a", nonce=answer.nonce, version=version)
    await setting.events.next("ack")
    (status,) = setting.only_client.types

    assert status.rejections == ()
    assert status.accepted_version == answer.version


@over(SOTW)
async def test_rule_07_a_nack_may_say_the_new_version(
    client: SotwClient, setting: Setting
) -> None:
    """The error detail decides."""
    await client.subscribe(ENDPOINT, "a")
    answer = await client.receive(ENDPOINT)
    await client.request(
        ENDPOINT, "a", nonce=answer.nonce, version=answer.version, error="no"
    )
    await setting.events.next("nack")
    (status,) = setting.only_client.types

    assert [each.message for each in status.rejections] == ["no"]
    assert status.accepted_version is None


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_08_after_a_nack_nothing_is_sent_until_content_changes(
    client: AnyClient, world: World, type_url: str
) -> None:
    """Publishing the same again is no change; a new version is sent at once."""
    await client.subscribe(type_url, "a")
    rejected = await client.receive(type_url)
    await client.nack(rejected, "bad")
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a"))
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a", 2))
    await client.expect(type_url, "a|2")


@over(ALL)
@of_types(CLUSTER, LISTENER)
async def test_rule_08_the_good_part_of_a_rejected_response_is_sent_once(
    client: AnyClient, world: World, type_url: str
) -> None:
    """What the message names is left out, and only that waits for a change."""
    await client.subscribe(type_url)
    await client.nack(await client.receive(type_url), "error in b: bad")
    await client.expect(type_url, "a|1")
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "b", 2))
    expected = ("b|2",) if client.variant.is_delta else ("a|1", "b|2")
    await client.expect(type_url, *expected)


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_08_what_was_rejected_and_is_gone_is_not_held_against_anybody(
    client: AnyClient, setting: Setting, type_url: str
) -> None:
    """Though a client may not be told of it, as of a route in SotW."""
    await client.subscribe(type_url, "a")
    await client.nack(await client.receive(type_url), "bad")
    await setting.events.next("nack")
    before = setting.only_client.types[0].rejections
    setting.world.publish(deleted=("a",))
    after = setting.only_client.types[0].rejections

    assert [each.suspects for each in before] == [("a",)]
    assert after == ()


@over(ALL)
async def test_rule_09_of_several_requests_the_newest_counts(
    client: AnyClient,
) -> None:
    """SotW: each list replaces the one before. Delta: differences add up.

    The response in flight keeps the server from answering in between.
    """
    await client.request(ENDPOINT, "a")
    first = await client.receive(ENDPOINT)
    await client.request(ENDPOINT, "a", "b")
    await client.request(ENDPOINT, "none")
    await client.request(ENDPOINT, "a", "c")
    client.setting.world.publish(resource(ENDPOINT, "c"))
    if isinstance(client, DeltaClient):
        await client.ack(first)
        await client.expect(ENDPOINT, "a|1", "b|1", "c|1", removed=["none"])
    else:
        await client.request(ENDPOINT, "a", "c", nonce=first.nonce)
        await client.expect(ENDPOINT, "a|1", "c|1")


@over(ALL)
@of_types(ENDPOINT, ROUTE)
async def test_rule_10_only_what_changed_is_sent(
    client: AnyClient, world: World, type_url: str
) -> None:
    """And what was published again as it is has not changed."""
    await client.subscribe(type_url, "a", "b")
    await client.expect(type_url, "a|1", "b|1")
    world.publish(resource(type_url, "a"), resource(type_url, "b", 2))
    await client.expect(type_url, "b|2")
    world.publish(resource(type_url, "a"), resource(type_url, "b", 2))
    await client.expect_silence(type_url)


@over(ALL)
@of_types(CLUSTER, LISTENER)
async def test_rule_10_a_full_state_is_sent_only_for_a_change(
    client: AnyClient, world: World, type_url: str
) -> None:
    """Delta carries the changed one alone."""
    await client.subscribe(type_url)
    await client.expect(type_url, "a|1", "b|1")
    world.publish(resource(type_url, "a"), resource(type_url, "b"))
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "b", 2))
    expected = ("b|2",) if client.variant.is_delta else ("a|1", "b|2")
    await client.expect(type_url, *expected)


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_11_an_ack_is_not_answered(
    client: AnyClient, setting: Setting, type_url: str
) -> None:
    """Nor is a second one, which says nothing new."""
    await client.subscribe(type_url, "*")
    answer = await client.expect(type_url, "a|1", "b|1")
    await setting.events.next("ack")
    await client.expect_silence(type_url)
    await client.ack(answer)
    await client.expect_silence(type_url)


@over(ALL)
@of_types(CLUSTER, ENDPOINT)
async def test_rule_12_one_node_may_open_many_streams(
    connect: Connect, setting: Setting, type_url: str
) -> None:
    """Every stream is served on its own: what one wants, the other is not sent."""
    clients = [connect() for _ in range(20)]
    for number, client in enumerate(clients):
        await client.subscribe(type_url, "a" if number % 2 else "b")
    for number, client in enumerate(clients):
        await client.expect(type_url, "a|1" if number % 2 else "b|1")
    setting.world.publish(resource(type_url, "a", 2))
    for number, client in enumerate(clients):
        if number % 2:
            await client.expect(type_url, "a|2")
        else:
            await client.expect_silence(type_url)

    assert {each.connection.node.id for each in setting.server.statuses()} == {NODE.id}
