"""Streams of clients in different places: one table, and what each is sent of it."""

import pytest

from tests.serve.conversation import (
    DeltaConversation,
    SotwConversation,
    resource,
    said,
)
from tests.serve.wire import World
from tests.snapshot.forms import by_zone
from xds_server.serve.cohort import Cohorts
from xds_server.serve.response import Response
from xds_server.snapshot.encoding import digest_of, encode
from xds_server.xds import CLUSTER, ENDPOINT, NOWHERE, ROUTE, Place

A, B, ELSEWHERE = Place(zone="a"), Place(zone="b"), Place(zone="z")
Conversation = SotwConversation | DeltaConversation
KINDS = pytest.mark.parametrize("kind", [SotwConversation, DeltaConversation])


@pytest.fixture
def world() -> World:
    """Two assignments, one of which is another in the zones `a` and `b`."""
    world = World()
    world.publish(resource(ENDPOINT, "api"), by_zone("web", "a", "b"))
    return world


@KINDS
def test_each_place_is_sent_its_form(world: World, kind: type[Conversation]) -> None:
    expected = {A: "web@a|1", B: "web@b|1", ELSEWHERE: "web|1", NOWHERE: "web|1"}
    for place, form in expected.items():
        stream = kind(world, place=place)
        stream.ask(ENDPOINT, "api", "web")

        assert stream.read() == [said(ENDPOINT, "api|1", form)]


@KINDS
def test_a_change_is_sent_everywhere_in_the_form_of_the_place(
    world: World, kind: type[Conversation]
) -> None:
    streams = {place: kind(world, place=place) for place in (A, B)}
    for stream in streams.values():
        stream.ask(ENDPOINT, "api", "web")
        (first,) = stream.read()
        _accept(stream, first.nonce)
    world.publish(by_zone("web", "a", version=2))

    assert streams[A].read() == [said(ENDPOINT, "web@a|2")]
    assert streams[B].read() == [said(ENDPOINT, "web|2")]


@KINDS
def test_places_that_see_the_same_share_the_bytes(
    world: World, kind: type[Conversation]
) -> None:
    """Nodes of one zone always; all others too, of what is the same for them."""
    cohorts = Cohorts()
    places = [A, Place(zone="a", node="n1"), B, ELSEWHERE, NOWHERE]
    streams = [kind(world, cohorts, place=place) for place in places]
    for each in streams:
        each.ask(ENDPOINT, "api", "web")
    bodies = [_next(each) for each in streams]
    for each, response in zip(streams, bodies, strict=True):
        _accept(each, response.head.nonce)
    world.publish(resource(ENDPOINT, "api", 2))
    later = [_next(each) for each in streams]

    assert bodies[0] is bodies[1]
    assert bodies[3] is bodies[4]
    assert len({id(each) for each in bodies}) == 3
    assert len({id(each) for each in later}) == 1


def test_a_client_that_comes_back_is_not_sent_the_form_that_it_holds(
    world: World,
) -> None:
    """Versions are those of the forms: elsewhere it would hold something else."""
    web = by_zone("web", "a", "b").at(A)
    held = {"web": encode(web, digest_of(web)).version}
    here, there = (DeltaConversation(world, place=place) for place in (A, B))
    for each in (here, there):
        each.ask(ENDPOINT, "web", versions=held)

    assert here.read() == []
    assert there.read() == [said(ENDPOINT, "web@b|1")]


@KINDS
def test_each_place_is_sent_its_form_of_a_cluster(
    world: World, kind: type[Conversation]
) -> None:
    """The wildcard is a full state, in which most is the same everywhere."""
    world.publish(resource(CLUSTER, "api"), by_zone("web", "a", "b", type_url=CLUSTER))
    expected = {A: "web@a|1", B: "web@b|1", ELSEWHERE: "web|1", NOWHERE: "web|1"}
    cohorts = Cohorts()
    for place, form in expected.items():
        stream = kind(world, cohorts, place=place)
        stream.ask(CLUSTER)

        assert stream.read() == [said(CLUSTER, "api|1", form)]


@KINDS
def test_full_states_that_look_the_same_share_the_bytes(
    world: World, kind: type[Conversation]
) -> None:
    world.publish(resource(CLUSTER, "api"), by_zone("web", "a", type_url=CLUSTER))
    cohorts = Cohorts()
    places = [A, Place(zone="a", node="n1"), B, NOWHERE]
    streams = [kind(world, cohorts, place=place) for place in places]
    for each in streams:
        each.ask(CLUSTER)
    bodies = [_next(each) for each in streams]

    assert bodies[0] is bodies[1]
    assert bodies[2] is bodies[3]
    assert len({id(each) for each in bodies}) == 2


@KINDS
def test_a_cluster_that_is_the_same_here_is_still_sent_when_it_changes_elsewhere(
    world: World, kind: type[Conversation]
) -> None:
    """It is one resource: that costs a response, and nothing is missed."""
    world.publish(by_zone("web", "a", type_url=CLUSTER))
    here, there = (kind(world, place=place) for place in (A, B))
    for each in (here, there):
        each.ask(CLUSTER)
        (first,) = each.read()
        _accept(each, first.nonce, CLUSTER)
    world.publish(by_zone("web", "a", "b", type_url=CLUSTER))

    assert here.read() == [said(CLUSTER, "web@a|1")]
    assert there.read() == [said(CLUSTER, "web@b|1")]


def test_a_full_state_keeps_the_form_that_rejected_content_had_before(
    world: World,
) -> None:
    """In each place its own, though both reject the same."""
    world.publish(resource(CLUSTER, "api"), by_zone("web", "a", "b", type_url=CLUSTER))
    cohorts = Cohorts()
    streams = [SotwConversation(world, cohorts, place=place) for place in (A, B)]
    for each in streams:
        each.ask(CLUSTER)
        (first,) = each.read()
        each.ask(CLUSTER, nonce=first.nonce)
    world.publish(resource(CLUSTER, "api", 2), resource(CLUSTER, "web", 2))
    third = []
    for each in streams:
        (second,) = each.read()
        each.ask(CLUSTER, nonce=second.nonce, error="web is bad")
        third += each.read()

    assert third == [
        said(CLUSTER, "api|2", "web@a|1"),
        said(CLUSTER, "api|2", "web@b|1"),
    ]


def test_a_full_state_keeps_the_form_of_what_is_gone_while_it_is_referred_to(
    world: World,
) -> None:
    """In each place its own, until nothing refers to it."""
    world.publish(by_zone("web", "a", "b", type_url=CLUSTER), resource(ROUTE, "to-web"))
    cohorts = Cohorts()
    streams = [SotwConversation(world, cohorts, place=place) for place in (A, B)]
    for each in streams:
        each.ask(CLUSTER)
        each.ask(ROUTE, "to-web")
        clusters, _ = each.read()
        each.ask(CLUSTER, nonce=clusters.nonce)
    world.publish(
        resource(CLUSTER, "api"),
        resource(ROUTE, "to-web", 2),
        gone={CLUSTER: ("web",)},
    )

    assert [each.read()[0] for each in streams] == [
        said(CLUSTER, "api|1", "web@a|1"),
        said(CLUSTER, "api|1", "web@b|1"),
    ]


def _next(conversation: Conversation) -> Response:
    delivery = conversation.stream.next_response()
    assert delivery is not None
    return delivery.response


def _accept(conversation: Conversation, nonce: str, type_url: str = ENDPOINT) -> None:
    names = () if type_url == CLUSTER else ("api", "web")
    if isinstance(conversation, DeltaConversation):
        conversation.answer(type_url, nonce)
    else:
        conversation.ask(type_url, *names, nonce=nonce)
