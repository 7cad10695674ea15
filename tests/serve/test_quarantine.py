"""A rejected response: the good in it comes through, the bad is found and named."""

from collections.abc import Callable

import pytest

from tests.serve.conversation import (
    DeltaConversation,
    Said,
    SotwConversation,
    resource,
    said,
)
from tests.serve.wire import World
from xds_server.serve.exchange import Exchange
from xds_server.xds import CLUSTER, ENDPOINT

NAMES = tuple(f"n{number}" for number in range(8))
BOTH_TYPES = pytest.mark.parametrize("type_url", [CLUSTER, ENDPOINT])

Answer = Callable[[Said, str | None], object]


@pytest.fixture
def world() -> World:
    """Eight clusters and their assignments, the first version."""
    world = World()
    world.publish(*(resource(t, name) for t in (CLUSTER, ENDPOINT) for name in NAMES))
    return world


def converse(
    read: Callable[[], list[Said]], answer: Answer, bad: set[str]
) -> tuple[set[str], int]:
    """Reject what has one of the *bad* bodies in it, without a name, until it is still.

    Returns:
        The bodies that were accepted last, and how many responses that took.
    """
    held: set[str] = set()
    count = 0
    while responses := read():
        for response in responses:
            count += 1
            bodies = set(response.resources)
            answer(response, "no" if bodies & bad else None)
            if not bodies & bad:
                held |= bodies
    return held, count


def rejected(exchange: Exchange) -> set[str]:
    """Return the names of what is told to be rejected."""
    return {name for each in exchange.rejections for name in each.suspects}


@BOTH_TYPES
@pytest.mark.parametrize("bad", [{"n3|1"}, {"n0|1", "n7|1"}, set()])
def test_delta_the_bad_is_found_by_halving(
    world: World, type_url: str, bad: set[str]
) -> None:
    """One bad of n takes about 2 log2(n) responses more."""
    talk = DeltaConversation(world)
    talk.ask(type_url, *NAMES)
    held, count = converse(
        talk.read,
        lambda response, error: talk.answer(type_url, response.nonce, error),
        bad,
    )

    assert held == {f"{name}|1" for name in NAMES} - bad
    assert rejected(talk.stream.substreams[type_url].exchange) == {
        body.split("|")[0] for body in bad
    }
    assert count <= 1 + 6 * len(bad)


@BOTH_TYPES
@pytest.mark.parametrize("bad", [{"n3|1"}, {"n0|1", "n7|1"}, set()])
def test_sotw_the_bad_is_found_by_halving(
    world: World, type_url: str, bad: set[str]
) -> None:
    talk = SotwConversation(world)
    talk.ask(type_url, *NAMES)
    held, count = converse(
        talk.read,
        lambda response, error: talk.ask(
            type_url, *NAMES, nonce=response.nonce, error=error
        ),
        bad,
    )

    assert held == {f"{name}|1" for name in NAMES} - bad
    assert rejected(talk.stream.substreams[type_url].exchange) == {
        body.split("|")[0] for body in bad
    }
    assert count <= 1 + 6 * len(bad)


def test_a_full_state_keeps_what_the_rejected_content_was_before(world: World) -> None:
    """Left out, it would be deleted."""
    talk = SotwConversation(world)
    talk.ask(CLUSTER, "n0", "n1")
    (first,) = talk.read()
    talk.ask(CLUSTER, "n0", "n1", nonce=first.nonce)
    world.publish(resource(CLUSTER, "n0", 2), resource(CLUSTER, "n1", 2))
    (second,) = talk.read()
    talk.ask(CLUSTER, "n0", "n1", nonce=second.nonce, error="n1 is bad")
    third = talk.read()

    assert second == said(CLUSTER, "n0|2", "n1|2")
    assert third == [said(CLUSTER, "n0|2", "n1|1")]


def test_what_changed_meanwhile_is_not_sent_twice(world: World) -> None:
    talk = DeltaConversation(world)
    talk.ask(ENDPOINT, "n0", "n1")
    (first,) = talk.read()
    world.publish(resource(ENDPOINT, "n0", 2))
    talk.answer(ENDPOINT, first.nonce, error="n1 is bad")
    (second,) = talk.read()
    talk.answer(ENDPOINT, second.nonce)

    assert second == said(ENDPOINT, "n0|2")
    assert talk.read() == []


def test_a_late_error_of_an_earlier_response_holds_nothing_up(world: World) -> None:
    """Envoy answers a good response with the error that it held back (measured)."""
    talk = DeltaConversation(world)
    talk.ask(CLUSTER, "n0")
    (first,) = talk.read()
    talk.answer(CLUSTER, first.nonce)
    talk.ask(CLUSTER, "n1")
    (second,) = talk.read()
    talk.answer(CLUSTER, second.nonce, error="cluster n0: bad ring")

    assert talk.read() == []
    assert rejected(talk.stream.substreams[CLUSTER].exchange) == {"n0"}


def test_new_content_that_is_accepted_ends_it(world: World) -> None:
    talk = DeltaConversation(world)
    talk.ask(ENDPOINT, "n0")
    (first,) = talk.read()
    talk.answer(ENDPOINT, first.nonce, error="bad")
    exchange = talk.stream.substreams[ENDPOINT].exchange
    before = rejected(exchange)
    world.publish(resource(ENDPOINT, "n0", 2))
    (second,) = talk.read()
    talk.answer(ENDPOINT, second.nonce)

    assert before == {"n0"}
    assert exchange.rejections == ()
