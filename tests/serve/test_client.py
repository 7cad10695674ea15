"""What a client is known to hold, name by name."""

import pytest

from tests.serve.conversation import DeltaConversation, SotwConversation, resource
from tests.serve.wire import World
from xds_server.serve.client import TypeStatus, type_status
from xds_server.xds import CLUSTER

Conversation = type[SotwConversation] | type[DeltaConversation]


@pytest.fixture
def world() -> World:
    """Two clusters."""
    world = World()
    world.publish(resource(CLUSTER, "a"), resource(CLUSTER, "b"))
    return world


def status(client: SotwConversation | DeltaConversation) -> TypeStatus:
    """Return what *client* holds of clusters."""
    return type_status(client.stream.substreams[CLUSTER])


def held(world: World, client: SotwConversation | DeltaConversation) -> set[str]:
    """Return the clusters that *client* has accepted as they are."""
    found, table = status(client), world.tables[CLUSTER]
    return {name for name in "abc" if found.has_accepted(name, table.sequence_of(name))}


def answer(
    client: SotwConversation | DeltaConversation, error: str | None = None
) -> None:
    """Answer the next response."""
    (response,) = client.read()
    if isinstance(client, DeltaConversation):
        client.answer(CLUSTER, response.nonce, error)
    else:
        client.ask(CLUSTER, nonce=response.nonce, error=error)


@pytest.mark.parametrize("variant", [SotwConversation, DeltaConversation])
def test_what_has_changed_since_the_last_acceptance_is_not_held(
    world: World, variant: Conversation
) -> None:
    """Be it not sent yet, or sent and not answered."""
    client = variant(world)
    client.ask(CLUSTER)
    before = held(world, client) & {"a", "b"}
    answer(client)
    accepted = held(world, client)
    world.publish(resource(CLUSTER, "a", 2))
    changed = held(world, client)
    client.read()
    sent = held(world, client)

    assert before == set()
    assert accepted >= {"a", "b"}
    assert "a" not in changed
    assert "b" in changed
    assert "a" not in sent
    assert status(client).unanswered == ("a",)


@pytest.mark.parametrize("variant", [SotwConversation, DeltaConversation])
def test_what_is_rejected_is_not_held_though_the_rest_is_accepted(
    world: World, variant: Conversation
) -> None:
    client = variant(world)
    client.ask(CLUSTER)
    answer(client, "Error adding cluster(s) a: bad ring")
    answer(client)

    assert held(world, client) >= {"b"}
    assert "a" not in held(world, client)
    assert status(client).withheld == {"a"}


def test_an_overdue_answer_is_told_apart_from_a_rejection(world: World) -> None:
    client = DeltaConversation(world)
    client.ask(CLUSTER)
    client.read()
    client.stream.substreams[CLUSTER].exchange.give_up("no answer in 30 s")

    assert status(client).is_overdue
    assert set(status(client).unanswered) == {"a", "b"}
    assert held(world, client) & {"a", "b"} == set()
