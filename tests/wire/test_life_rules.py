"""Rules 39 and 40: resources with a time to live, and what clients must know of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from envoy.config.core.v3.base_pb2 import Node

from tests.serve.conversation import resource
from tests.serve.setting import NODE, Setting
from tests.wire.client import connect_to
from tests.wire.variant import ALL, DELTA, SOTW, Variant, of_types, over
from xds_server.serve.response import KNOWS_TTL, UNWRAPS
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE

TTL: Final = timedelta(seconds=0.3)


def node_with(*features: str) -> Node:
    """Return a node that says it has *features*."""
    return Node(id=NODE.id, client_features=features)


@over(DELTA)
@of_types(*PUSH_ORDER)
async def test_rule_39_a_heartbeat_has_no_body_and_the_version_that_is_held(
    setting: Setting, variant: Variant, type_url: str
) -> None:
    """It comes before the time is over, again and again."""
    client = connect_to(setting, variant, node_with(KNOWS_TTL))
    setting.world.publish(replace(resource(type_url, "r"), ttl=TTL))
    await client.subscribe(type_url, "r")
    told = (await client.expect(type_url, "r|1")).wrapped["r"]
    beats = [(await client.expect(type_url)).wrapped for _ in range(3)]

    assert told.ttl.ToTimedelta() == TTL
    for beat in beats:
        assert beat.keys() == {"r"}
        assert beat["r"].ttl.ToTimedelta() == TTL
        assert not beat["r"].HasField("resource")
        assert beat["r"].version == told.version


@over(SOTW)
@of_types(ENDPOINT, ROUTE)
async def test_rule_39_in_sotw_what_would_expire_is_sent_again(
    setting: Setting, variant: Variant, type_url: str
) -> None:
    """With its body: Envoy 1.40 passes over it without, and crashes when time is over.

    The rest of the type is not repeated, and the version stays.
    """
    client = connect_to(setting, variant, node_with(KNOWS_TTL, UNWRAPS))
    setting.world.publish(replace(resource(type_url, "b"), ttl=TTL))
    await client.subscribe(type_url, "*")
    answers = [await client.expect(type_url, "a|1", "b|1")]
    answers += [await client.expect(type_url, "b|1") for _ in range(3)]

    assert len({each.version for each in answers}) == 1
    assert len({each.nonce for each in answers}) == len(answers)
    assert {each.wrapped["b"].ttl.ToTimedelta() for each in answers} == {TTL}


@over(SOTW)
@of_types(CLUSTER, LISTENER)
async def test_rule_39_in_sotw_a_full_state_is_sent_again(
    setting: Setting, variant: Variant, type_url: str
) -> None:
    """One with less in it would delete the rest."""
    client = connect_to(setting, variant, node_with(KNOWS_TTL, UNWRAPS))
    setting.world.publish(replace(resource(type_url, "b"), ttl=TTL))
    await client.subscribe(type_url)
    answers = [await client.expect(type_url, "a|1", "b|1") for _ in range(4)]

    assert len({each.version for each in answers}) == 1
    assert {each.wrapped["b"].ttl.ToTimedelta() for each in answers} == {TTL}


@over(DELTA)
async def test_rule_39_what_is_known_by_an_alias_is_kept_alive(
    setting: Setting, variant: Variant
) -> None:
    """Under its own name, as all that is told of it."""
    client = connect_to(setting, variant, node_with(KNOWS_TTL))
    setting.world.publish(replace(resource(ROUTE, "r"), ttl=TTL, aliases=("alias",)))
    await client.subscribe(ROUTE, "alias")
    await client.expect(ROUTE, "r|1")
    beat = await client.expect(ROUTE)

    assert beat.wrapped.keys() == {"r"}


@over(ALL)
async def test_rule_39_what_was_rejected_is_not_kept_alive(
    setting: Setting, variant: Variant
) -> None:
    """The client holds another version of it, or none; the others' heartbeats go on."""
    client = connect_to(setting, variant, node_with(KNOWS_TTL, UNWRAPS))
    setting.world.publish(*(replace(resource(ROUTE, n), ttl=TTL) for n in "ab"))
    await client.subscribe(ROUTE, "a", "b")
    await client.expect(ROUTE, "a|1", "b|1")
    setting.world.publish(replace(resource(ROUTE, "b", 2), ttl=TTL))
    answer = await client.receive(ROUTE)
    while "b|2" not in answer.resources:
        await client.ack(answer)
        answer = await client.receive(ROUTE)
    await client.nack(answer, "error in b")
    for _ in range(3):
        beat = await client.receive(ROUTE)
        assert beat.wrapped.keys() == {"a"}
        await client.ack(beat)


@over(DELTA)
async def test_rule_39_only_what_expires_is_kept_alive(
    setting: Setting, variant: Variant
) -> None:
    """A change is told at once, and heartbeats go on with the new version."""
    client = connect_to(setting, variant, node_with(KNOWS_TTL))
    setting.world.publish(replace(resource(ROUTE, "b"), ttl=TTL))
    await client.subscribe(ROUTE, "*")
    await client.expect(ROUTE, "a|1", "b|1")
    before = await client.expect(ROUTE)
    setting.world.publish(replace(resource(ROUTE, "b", 2), ttl=TTL))
    answer = await client.receive(ROUTE)
    while not answer.resources:
        await client.ack(answer)
        answer = await client.receive(ROUTE)
    await client.ack(answer)
    after = await client.expect(ROUTE)

    assert before.versions.keys() == after.versions.keys() == {"b"}
    assert answer.versions == after.versions != before.versions


@over(ALL)
@of_types(*PUSH_ORDER)
@pytest.mark.parametrize("features", [(), (UNWRAPS,)], ids=["none", "wrapped"])
async def test_rule_39_no_time_to_live_for_clients_that_do_not_know_of_it(
    setting: Setting, variant: Variant, type_url: str, features: tuple[str, ...]
) -> None:
    """They get the resource alone, and no heartbeats when others do."""
    client = connect_to(setting, variant, node_with(*features))
    other = connect_to(setting, variant, node_with(KNOWS_TTL, UNWRAPS))
    setting.world.publish(replace(resource(type_url, "r"), ttl=TTL))
    await client.subscribe(type_url, "r")
    only = await client.expect(type_url, "r|1")
    await other.subscribe(type_url, "r")
    for _ in range(3):
        await other.ack(await other.receive(type_url))
    await client.expect_silence(type_url)

    assert [each for each in only.wrapped.values() if each.HasField("ttl")] == []


@over(SOTW)
@pytest.mark.parametrize(
    ("features", "is_wrapped"),
    [
        ((), False),
        ((KNOWS_TTL,), False),
        ((UNWRAPS,), False),
        ((KNOWS_TTL, UNWRAPS), True),
    ],
    ids=["none", "ttl", "wrapped", "both"],
)
async def test_rule_40_a_resource_is_wrapped_only_for_who_can_unwrap_it(
    setting: Setting, variant: Variant, features: tuple[str, ...], *, is_wrapped: bool
) -> None:
    """And only where there is something to tell; the rest comes bare."""
    client = connect_to(setting, variant, node_with(*features))
    setting.world.publish(replace(resource(ENDPOINT, "r"), ttl=timedelta(seconds=60)))
    await client.subscribe(ENDPOINT, "a", "r")
    answer = await client.expect(ENDPOINT, "a|1", "r|1")

    assert list(answer.wrapped) == (["r"] if is_wrapped else [])
