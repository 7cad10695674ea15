"""Rule 25: a resource may have aliases."""

from dataclasses import replace

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
