"""The order of types on one stream: make before break, and no deadlock."""

import pytest

from tests.serve.conversation import (
    DeltaConversation,
    SotwConversation,
    resource,
    said,
)
from tests.serve.wire import World
from xds_server.serve.cohort import Cohorts
from xds_server.serve.ending import RequestError
from xds_server.serve.stream import MOST_TYPES
from xds_server.snapshot.table import Listener, Publication
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE

ALL = (ROUTE, LISTENER, ENDPOINT, CLUSTER)


@pytest.fixture
def world() -> World:
    """One resource, `a`, of each type."""
    world = World()
    world.publish(*(resource(type_url, "a") for type_url in ALL))
    return world


@pytest.fixture
def talk(world: World) -> DeltaConversation:
    """Return a delta stream that holds everything, and has said so."""
    talk = DeltaConversation(world)
    for type_url in ALL:
        talk.ask(type_url, "*")
    for each, type_url in zip(talk.read(), reversed(ALL), strict=True):
        talk.answer(type_url, each.nonce)
    return talk


def acknowledge(talk: DeltaConversation, *type_urls: str) -> None:
    for type_url in type_urls:
        sent = talk.stream.substreams[type_url].exchange.sent
        assert sent
        talk.answer(type_url, sent.nonce)


def test_rule_2_types_do_not_wait_for_each_others_answers(world: World) -> None:
    """What a client asks for is sent at once, in push order."""
    talk = SotwConversation(world)
    for type_url in ALL:
        talk.ask(type_url, "a")

    assert [each.type for each in talk.read()] == [
        "cluster",
        "endpoint",
        "listener",
        "route",
    ]


def test_rule_34_clusters_and_assignments_come_before_routes(
    talk: DeltaConversation, world: World
) -> None:
    """A route moves from cluster a to cluster b when b is there and accepted."""
    world.publish(
        resource(ROUTE, "a", 2), resource(ENDPOINT, "b"), resource(CLUSTER, "b")
    )
    appear = talk.read()
    acknowledge(talk, CLUSTER)

    assert appear == [said(CLUSTER, "b|1"), said(ENDPOINT, "b|1")]
    assert talk.read() == [said(ROUTE, "a|2")]


def test_rule_34_removals_follow_what_no_longer_refers_to_them(
    talk: DeltaConversation, world: World
) -> None:
    """In one publication a route changes, and its old cluster goes."""
    world.tables[ROUTE].update(applied=[resource(ROUTE, "a", 2)])
    world.tables[CLUSTER].update(deleted=["a"])
    world.tables[ENDPOINT].update(deleted=["a"])

    assert talk.read() == [
        said(ROUTE, "a|2"),
        said(CLUSTER, removed=("a",)),
        said(ENDPOINT, removed=("a",)),
    ]


def test_rule_34_removals_wait_while_an_older_route_is_unanswered(
    talk: DeltaConversation, world: World
) -> None:
    """The newer route cannot be sent yet, so the old cluster is still in use."""
    world.publish(resource(ROUTE, "a", 2))
    first = talk.read()
    world.tables[ROUTE].update(applied=[resource(ROUTE, "a", 3)])
    world.tables[CLUSTER].update(applied=[resource(CLUSTER, "b")], deleted=["a"])
    second = talk.read()
    acknowledge(talk, ROUTE)
    still_waiting = talk.read()
    acknowledge(talk, CLUSTER)

    assert first == [said(ROUTE, "a|2")]
    assert second == [said(CLUSTER, "b|1")]
    assert still_waiting == []
    assert talk.read() == [said(ROUTE, "a|3"), said(CLUSTER, removed=("a",))]


def test_rule_34_in_sotw_a_full_state_that_only_removes_comes_last(
    world: World,
) -> None:
    talk = SotwConversation(world)
    for type_url in (CLUSTER, ROUTE):
        talk.ask(type_url, "a")
    for each, type_url in zip(talk.read(), (CLUSTER, ROUTE), strict=True):
        talk.ask(type_url, "a", nonce=each.nonce)
    world.tables[ROUTE].update(applied=[resource(ROUTE, "a", 2)])
    world.tables[CLUSTER].update(deleted=["a"])

    assert talk.read() == [said(ROUTE, "a|2"), said(CLUSTER)]


def test_rule_34_in_sotw_what_is_gone_stays_until_nothing_refers_to_it(
    world: World,
) -> None:
    """A full state that brings something new carries what the old routes need."""
    talk = SotwConversation(world)
    talk.ask(CLUSTER)
    talk.ask(ROUTE, "a")
    for each, names in zip(talk.read(), ((), ("a",)), strict=True):
        talk.ask(CLUSTER if not names else ROUTE, *names, nonce=each.nonce)
    world.tables[CLUSTER].update(applied=[resource(CLUSTER, "b")], deleted=["a"])
    world.tables[ROUTE].update(applied=[resource(ROUTE, "a", 2)])
    (clusters,) = talk.read()
    talk.ask(CLUSTER, nonce=clusters.nonce)
    (routes, *early) = talk.read()
    talk.ask(ROUTE, "a", nonce=routes.nonce)

    assert clusters == said(CLUSTER, "a|1", "b|1")
    assert routes == said(ROUTE, "a|2")
    assert [*early, *talk.read()] == [said(CLUSTER, "b|1")]


def test_rule_35_changed_routes_wait_for_the_clusters_to_be_ready(
    talk: DeltaConversation, world: World
) -> None:
    """Envoy acknowledges clusters when they are warm; rejected ones free the way."""
    world.publish(resource(CLUSTER, "b"), resource(ROUTE, "a", 2))
    before = talk.read()
    sent = talk.stream.substreams[CLUSTER].exchange.sent
    assert sent
    talk.answer(CLUSTER, sent.nonce, error="no")

    assert before == [said(CLUSTER, "b|1")]
    assert talk.read() == [said(ROUTE, "a|2")]


def test_rule_35_a_route_that_is_asked_for_does_not_wait(world: World) -> None:
    """A new listener needs its routes to become ready itself."""
    talk = DeltaConversation(world)
    talk.ask(CLUSTER)
    talk.read()
    talk.ask(ROUTE, "a")

    assert talk.read() == [said(ROUTE, "a|1")]


def test_rule_36_a_changed_cluster_brings_its_unchanged_assignment(
    talk: DeltaConversation, world: World
) -> None:
    """And no other; and without waiting for the cluster's answer."""
    world.publish(resource(ENDPOINT, "other"))
    talk.read()
    acknowledge(talk, ENDPOINT)
    world.publish(resource(CLUSTER, "a", 2))

    assert talk.read() == [said(CLUSTER, "a|2"), said(ENDPOINT, "a|1")]


def test_rule_36_the_assignment_comes_after_the_cluster_that_had_to_wait(
    talk: DeltaConversation, world: World
) -> None:
    """An assignment sent before its cluster would leave the cluster without one."""
    world.publish(resource(CLUSTER, "a", 2))
    talk.read()
    acknowledge(talk, ENDPOINT)
    world.publish(resource(CLUSTER, "a", 3), resource(ENDPOINT, "a", 3))
    meanwhile = talk.read()
    acknowledge(talk, ENDPOINT)
    nothing = talk.read()
    acknowledge(talk, CLUSTER)

    assert meanwhile == [said(ENDPOINT, "a|3")]
    assert nothing == []
    assert talk.read() == [said(CLUSTER, "a|3"), said(ENDPOINT, "a|3")]


def test_rule_36_in_sotw_only_changed_clusters_count(world: World) -> None:
    """The full state repeats the others, and their assignments are not repeated."""
    world.publish(resource(CLUSTER, "b"), resource(ENDPOINT, "b"))
    talk = SotwConversation(world)
    talk.ask(CLUSTER)
    talk.ask(ENDPOINT, "a", "b")
    clusters, endpoints = talk.read()
    talk.ask(CLUSTER, nonce=clusters.nonce)
    talk.ask(ENDPOINT, "a", "b", nonce=endpoints.nonce)
    world.publish(resource(CLUSTER, "b", 2))

    assert talk.read() == [said(CLUSTER, "a|1", "b|2"), said(ENDPOINT, "b|1")]


def test_an_unknown_type_has_nothing(world: World) -> None:
    """SotW cannot say so; delta says that the named ones do not exist."""
    sotw, delta = SotwConversation(world), DeltaConversation(world)
    sotw.ask("type.googleapis.com/unknown", "a")
    delta.ask("type.googleapis.com/unknown", "a")
    delivery = delta.stream.next_response()

    assert sotw.stream.next_response() is None
    assert delivery
    assert delivery.response.head.removed == ("a",)


def test_too_many_types_are_refused(world: World) -> None:
    """A client cannot fill the memory with made-up types."""
    talk = DeltaConversation(world)
    for number in range(MOST_TYPES):
        talk.ask(f"type.googleapis.com/{number}")

    with pytest.raises(RequestError, match="more than 64 resource types"):
        talk.ask("type.googleapis.com/one-more")


def test_equal_streams_share_the_same_bytes(world: World) -> None:
    """A response is made once for a cohort, and once more for who differs."""
    cohorts = Cohorts()
    one, other, different = (DeltaConversation(world, cohorts) for _ in range(3))
    one.ask(CLUSTER)
    other.ask(CLUSTER)
    different.ask(CLUSTER, "a", "missing")
    bodies = [talk.stream.next_response() for talk in (one, other, different)]

    assert bodies[0]
    assert bodies[1]
    assert bodies[2]
    assert bodies[0].response is bodies[1].response
    assert bodies[0].response is not bodies[2].response


def test_streams_with_different_history_do_not_share(world: World) -> None:
    """One has a response in flight, so it needs more of the same change."""
    cohorts = Cohorts()
    one, other = (SotwConversation(world, cohorts) for _ in range(2))
    for talk in (one, other):
        talk.ask(ENDPOINT, "a", "b")
    (first,), (_,) = one.read(), other.read()
    one.ask(ENDPOINT, "a", "b", nonce=first.nonce)
    world.publish(resource(ENDPOINT, "a", 2))
    (second,) = one.read()
    one.ask(ENDPOINT, "a", "b", nonce=second.nonce)
    other.ask(ENDPOINT, "a", "b", nonce="")
    world.publish(resource(ENDPOINT, "b", 2))
    third = one.read()
    other.ask(ENDPOINT, "a", "b", nonce=first.nonce)

    assert third == [said(ENDPOINT, "b|2")]
    assert other.read() == [said(ENDPOINT, "a|2", "b|2")]


def hear(woken: list[str], name: str) -> Listener:
    """Return a listener that notes its *name*."""

    def listen(_: Publication) -> None:
        woken.append(name)

    return listen


def test_only_who_asked_for_it_is_woken(world: World) -> None:
    """A change costs nothing to the streams that it does not concern."""
    woken: list[str] = []
    for name in ("a", "b"):
        talk = DeltaConversation(world, wake=hear(woken, name))
        talk.ask(ENDPOINT, name)
    world.publish(resource(ENDPOINT, "b"))

    assert woken == ["b"]


def test_closing_stops_following(world: World) -> None:
    """A table does not keep streams that have ended."""
    woken: list[str] = []
    talk = DeltaConversation(world, wake=hear(woken, "woken"))
    talk.ask(CLUSTER)
    world.publish(resource(CLUSTER, "a", 2))
    talk.stream.close()
    world.publish(resource(CLUSTER, "b"))

    assert woken == ["woken"]
