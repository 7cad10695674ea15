"""Rules 25 and 44: a resource may have aliases, and names may be URIs."""

from dataclasses import replace
from typing import Final

import pytest

from tests.serve.conversation import resource
from tests.serve.wire import World
from tests.wire.client import AnyClient, DeltaClient
from tests.wire.variant import ALL, DELTA, of_types, over
from xds_server.xds import PUSH_ORDER, ROUTE, Resource


def known_as(*aliases: str, type_url: str = ROUTE, name: str = "r") -> Resource:
    """Return a resource with *aliases*."""
    return replace(resource(type_url, name), aliases=aliases)


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_25_an_alias_is_a_name_too(
    client: AnyClient, world: World, type_url: str
) -> None:
    """Whoever asks for an alias is sent the resource, its changes, and its end."""
    known = known_as("alias", "other", type_url=type_url)
    world.publish(known)
    await client.subscribe(type_url, "alias")
    await client.expect(type_url, "r|1")
    world.publish(replace(known, body=b"r|2"))
    await client.expect(type_url, "r|2")
    world.publish(gone={type_url: ("r",)})
    if client.variant.is_delta:
        await client.expect(type_url, removed=["r"])


@over(DELTA)
async def test_rule_25_a_resource_says_its_aliases(
    client: DeltaClient, world: World
) -> None:
    """So the client knows what it asked for; asked for twice, it comes once."""
    world.publish(known_as("alias", "other"))
    await client.subscribe(ROUTE, "alias", "r", "other")
    response = await client.stream(ROUTE).receive()

    assert [(each.name, list(each.aliases)) for each in response.resources] == [
        ("r", ["alias", "other"])
    ]
    assert list(response.removed_resources) == []


@over(DELTA)
async def test_rule_25_an_alias_that_nothing_has_yet_is_remembered(
    client: DeltaClient, world: World
) -> None:
    """It is a missing name until something is called so."""
    world.publish(known_as())
    await client.subscribe(ROUTE, "alias")
    await client.expect(ROUTE, removed=["alias"])
    world.publish(known_as("alias"))
    await client.expect(ROUTE, "r|1")


@over(ALL)
async def test_rule_25_an_alias_may_move_to_another_resource(
    client: AnyClient, world: World
) -> None:
    """In one publication, whichever of the two comes first in it."""
    world.publish(known_as("alias"))
    await client.subscribe(ROUTE, "alias")
    await client.expect(ROUTE, "r|1")
    world.publish(known_as("alias", name="s"), known_as())
    await client.expect(ROUTE, "s|1")
    world.publish(known_as("alias"), known_as(name="s"))
    await client.expect(ROUTE, "r|1")
    await client.subscribe(ROUTE, "b", "alias")
    answer = await client.receive(ROUTE)

    assert answer.removed == ()
    assert "b|1" in answer.resources


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_25_a_rejection_is_kept_for_who_knows_an_alias(
    client: AnyClient, world: World, type_url: str
) -> None:
    """Until the resource changes, whatever else is asked for meanwhile."""
    known = known_as("alias", type_url=type_url)
    world.publish(known)
    await client.subscribe(type_url, "alias")
    await client.nack(await client.receive(type_url), "bad")
    await client.subscribe(type_url, "a")
    await client.expect(type_url, "a|1")
    rejections = [
        rejection.suspects
        for status in client.setting.only_client.types
        for rejection in status.rejections
    ]
    world.publish(replace(known, body=b"r|2"))
    answer = await client.receive(type_url)

    assert rejections == [("r",)]
    assert "r|2" in answer.resources


COLLECTION: Final = "xdstp://authority/envoy.config.route.v3.RouteConfiguration/web"


@over(ALL)
async def test_rule_44_a_uri_is_a_name(client: AnyClient, world: World) -> None:
    """The order of its context parameters means nothing, also later on a stream."""
    one, two = f"{COLLECTION}/one?a=1&b=2", f"{COLLECTION}/two?a=1&b=2"
    world.publish(resource(ROUTE, one), resource(ROUTE, two))
    await client.subscribe(ROUTE, f"{COLLECTION}/one?b=2&a=1")
    await client.expect(ROUTE, f"{one}|1")
    await client.subscribe(ROUTE, f"{COLLECTION}/two?b=2&a=1")
    await client.expect(ROUTE, f"{two}|1")
    world.publish(resource(ROUTE, one, 2))
    await client.expect(ROUTE, f"{one}|2")
    await client.unsubscribe(ROUTE, f"{COLLECTION}/one?b=2&a=1")
    await client.expect_silence(ROUTE)
    world.publish(resource(ROUTE, one, 3))
    await client.expect_silence(ROUTE)


@over(ALL)
@pytest.mark.parametrize("is_late", [False, True], ids=["first", "later"])
async def test_rule_44_a_glob_stands_for_all_directly_below_its_path(
    client: AnyClient, world: World, *, is_late: bool
) -> None:
    """With the same context parameters; members may come and go."""
    glob, context = f"{COLLECTION}/*?b=2&a=1", "?a=1&b=2"
    one, two = (f"{COLLECTION}/{name}{context}" for name in ("one", "two"))
    world.publish(
        resource(ROUTE, one),
        resource(ROUTE, f"{COLLECTION}/deep/other{context}"),
        resource(ROUTE, f"{COLLECTION}/one"),
        resource(ROUTE, f"{COLLECTION}-2/one{context}"),
    )
    if is_late:
        await client.subscribe(ROUTE, "a")
        await client.expect(ROUTE, "a|1")
    await client.subscribe(ROUTE, glob)
    await client.expect(ROUTE, f"{one}|1")
    world.publish(resource(ROUTE, two))
    await client.expect(ROUTE, f"{two}|1")
    world.publish(resource(ROUTE, f"{COLLECTION}/deep/other{context}", 2))
    await client.expect_silence(ROUTE)
    world.publish(deleted=(two,))
    if client.variant.is_delta:
        await client.expect(ROUTE, removed=[two])
    await client.unsubscribe(ROUTE, glob)
    await client.expect_silence(ROUTE)
    world.publish(resource(ROUTE, one, 2))
    await client.expect_silence(ROUTE)


@over(DELTA)
async def test_rule_44_a_glob_without_members_is_missing(
    client: DeltaClient, world: World
) -> None:
    """Until the first one appears."""
    await client.subscribe(ROUTE, f"{COLLECTION}/*")
    await client.expect(ROUTE, removed=[f"{COLLECTION}/*"])
    world.publish(resource(ROUTE, f"{COLLECTION}/one"))
    await client.expect(ROUTE, f"{COLLECTION}/one|1")
