"""One type in the delta variant, rule by rule."""

from dataclasses import replace
from datetime import timedelta

import pytest
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)

from tests.serve.conversation import DeltaConversation, resource, said
from tests.serve.wire import World
from xds_server.serve import delta
from xds_server.serve.ending import LaggingError
from xds_server.serve.exchange import Verdict
from xds_server.serve.response import KNOWS_TTL
from xds_server.snapshot.table import FEWEST_TOMBSTONES
from xds_server.xds import CLUSTER, ENDPOINT, ROUTE, Resource


@pytest.fixture
def world() -> World:
    """Clusters and assignments a and b."""
    world = World()
    for type_url in (CLUSTER, ENDPOINT):
        world.publish(resource(type_url, "a"), resource(type_url, "b"))
    return world


@pytest.fixture
def talk(world: World) -> DeltaConversation:
    """Return a new stream."""
    return DeltaConversation(world)


def versions_in(world: World, type_url: str) -> dict[str, str]:
    """Return what a client holds that has everything."""
    return {each.name: each.version for each in world.tables[type_url]}


def test_rule_6_subscriptions_count_even_with_a_stale_nonce(
    talk: DeltaConversation, world: World
) -> None:
    """No later request would repeat them."""
    talk.ask(ENDPOINT, "a")
    (first,) = talk.read()
    talk.answer(ENDPOINT, first.nonce)
    world.publish(resource(ENDPOINT, "a", 2))
    (second,) = talk.read()
    request = DeltaDiscoveryRequest(
        type_url=ENDPOINT, response_nonce=first.nonce, resource_names_subscribe=["b"]
    )
    verdict = talk.stream.receive(request)
    meanwhile = talk.read()
    talk.answer(ENDPOINT, second.nonce)

    assert verdict is Verdict.STALE
    assert meanwhile == []
    assert talk.read() == [said(ENDPOINT, "b|1")]


def test_rule_8_after_a_nack_nothing_is_sent_until_content_changes(
    talk: DeltaConversation, world: World
) -> None:
    """But for the rest of what was rejected with it."""
    talk.ask(CLUSTER)
    (first,) = talk.read()
    talk.answer(CLUSTER, first.nonce, error="bad b")
    (rest,) = talk.read()
    talk.answer(CLUSTER, rest.nonce)
    after_rest = talk.read()
    world.publish(resource(CLUSTER, "a", 2))

    assert rest == said(CLUSTER, "a|1")
    assert after_rest == []
    assert talk.read() == [said(CLUSTER, "a|2")]


def test_rule_11_an_ack_is_not_answered(talk: DeltaConversation) -> None:
    talk.ask(CLUSTER)
    (first,) = talk.read()
    verdict = talk.answer(CLUSTER, first.nonce)

    assert verdict is Verdict.ACK
    assert talk.read() == []


def test_rule_13_a_wildcard_without_resources_is_answered() -> None:
    """The client waits to hear that there is nothing."""
    talk = DeltaConversation(World())
    talk.ask(CLUSTER)

    assert talk.read() == [said(CLUSTER)]


def test_rule_20_what_is_subscribed_again_is_sent_again(
    talk: DeltaConversation,
) -> None:
    """Though the client was sent it, and it has not changed."""
    talk.ask(ENDPOINT, "a")
    (first,) = talk.read()
    talk.answer(ENDPOINT, first.nonce)
    talk.ask(ENDPOINT, "a")

    assert talk.read() == [said(ENDPOINT, "a|1")]


def test_rule_21_an_unknown_unsubscription_is_ignored(talk: DeltaConversation) -> None:
    talk.ask(ENDPOINT, "a")
    (first,) = talk.read()
    talk.answer(ENDPOINT, first.nonce)
    talk.ask(ENDPOINT, unsubscribe=("b",))

    assert talk.read() == []


def test_what_is_unsubscribed_is_not_sent(
    talk: DeltaConversation, world: World
) -> None:
    """Neither its changes nor its removal."""
    talk.ask(ENDPOINT, "a", "b")
    (first,) = talk.read()
    talk.answer(ENDPOINT, first.nonce)
    talk.ask(ENDPOINT, unsubscribe=("b",))
    world.publish(resource(ENDPOINT, "b", 2))
    world.publish(deleted=("b",))

    assert talk.read() == []


def test_rule_22_unsubscribing_a_name_under_a_wildcard_is_answered(
    talk: DeltaConversation,
) -> None:
    """With the resource, which the client may have dropped, or with its removal."""
    talk.ask(CLUSTER, "*", "a", "missing")
    (first,) = talk.read()
    talk.answer(CLUSTER, first.nonce)
    talk.ask(CLUSTER, unsubscribe=("a", "missing"))

    assert talk.read() == [said(CLUSTER, "a|1", removed=("missing",))]


def test_rules_23_and_24_a_missing_name_is_said_to_be_missing_and_remembered(
    talk: DeltaConversation, world: World
) -> None:
    talk.ask(ENDPOINT, "a", "late")
    (first,) = talk.read()
    talk.answer(ENDPOINT, first.nonce)
    world.publish(resource(ENDPOINT, "late"))
    (second,) = talk.read()
    talk.answer(ENDPOINT, second.nonce)
    world.publish(deleted=("late",))

    assert first == said(ENDPOINT, "a|1", removed=("late",))
    assert second == said(ENDPOINT, "late|1")
    assert talk.read() == [said(ENDPOINT, removed=("late",))]


def test_rule_31_only_differences_and_removals_are_sent_to_who_comes_back(
    world: World,
) -> None:
    talk = DeltaConversation(world)
    versions = versions_in(world, CLUSTER) | {"gone": "1"}
    world.publish(resource(CLUSTER, "b", 2), resource(CLUSTER, "c"))
    talk.ask(CLUSTER, versions=versions)

    assert talk.read() == [said(CLUSTER, "b|2", "c|1", removed=("gone",))]


def test_rule_31_who_has_everything_is_sent_nothing(world: World) -> None:
    """Not even an empty response."""
    talk = DeltaConversation(world)
    talk.ask(CLUSTER, versions=versions_in(world, CLUSTER))
    talk.ask(ENDPOINT, "a", "b", versions=versions_in(world, ENDPOINT))

    assert talk.read() == []


def test_rules_31_and_36_an_assignment_is_not_left_out_when_its_cluster_was_sent(
    world: World,
) -> None:
    """Whether the client asks for it before the cluster is sent, or after."""
    clusters = versions_in(world, CLUSTER)
    assignments = versions_in(world, ENDPOINT)
    world.publish(resource(CLUSTER, "b", 2))
    before, after = DeltaConversation(world), DeltaConversation(world)
    before.ask(CLUSTER, versions=clusters)
    before.ask(ENDPOINT, "a", "b", versions=assignments)
    after.ask(CLUSTER, versions=clusters)
    sent_first = after.read()
    after.ask(ENDPOINT, "a", "b", versions=assignments)

    assert before.read() == [said(CLUSTER, "b|2"), said(ENDPOINT, "b|1")]
    assert sent_first == [said(CLUSTER, "b|2")]
    assert after.read() == [said(ENDPOINT, "b|1")]


def test_when_too_many_clusters_were_sent_no_assignment_is_left_out() -> None:
    """Remembering them all is not worth it: so much changed that little is spared."""
    world = World()
    names = [f"n{number}" for number in range(delta.MOST_DISTRUSTED + 1)]
    world.publish(*(resource(CLUSTER, name) for name in names))
    world.publish(resource(ENDPOINT, "other"))
    talk = DeltaConversation(world)
    talk.ask(CLUSTER)
    talk.read()
    talk.ask(ENDPOINT, "other", versions=versions_in(world, ENDPOINT))

    assert talk.read() == [said(ENDPOINT, "other|1")]


def test_a_client_that_never_answers_must_come_back(
    talk: DeltaConversation, world: World
) -> None:
    """Once removals that it missed are forgotten, it has to say what it holds."""
    talk.ask(CLUSTER)
    talk.read()
    for number in range(2 * FEWEST_TOMBSTONES):
        world.publish(resource(CLUSTER, f"n{number}"))
        world.publish(deleted=(f"n{number}",))

    with pytest.raises(LaggingError, match=r"too far behind in .*Cluster: reconnect"):
        talk.read()


def test_a_client_that_has_answered_need_not_come_back(
    talk: DeltaConversation, world: World
) -> None:
    """It is told of one great removal like of any other."""
    names = tuple(f"n{number}" for number in range(2 * FEWEST_TOMBSTONES))
    world.publish(*(resource(CLUSTER, name) for name in names))
    talk.ask(CLUSTER)
    (first,) = talk.read()
    talk.answer(CLUSTER, first.nonce)
    world.publish(deleted=names)

    assert talk.read() == [said(CLUSTER, removed=tuple(sorted(names)))]


def test_a_client_that_misses_nothing_does_not_fall_behind(
    talk: DeltaConversation, world: World
) -> None:
    """What comes and goes elsewhere does not count, even while an answer is due."""
    talk.ask(ENDPOINT, "a")
    talk.read()
    for number in range(2 * FEWEST_TOMBSTONES):
        world.publish(resource(ENDPOINT, f"n{number}"))
        world.publish(deleted=(f"n{number}",))
        assert talk.read() == []


def test_who_named_its_resources_is_told_what_is_gone_however_late(
    talk: DeltaConversation, world: World
) -> None:
    """What else came and went since then does not matter."""
    world.publish(resource(ENDPOINT, "a"), resource(ENDPOINT, "b"))
    talk.ask(ENDPOINT, "a", "b")
    (first,) = talk.read()
    talk.answer(ENDPOINT, first.nonce)
    world.publish(deleted=("a",))
    for number in range(2 * FEWEST_TOMBSTONES):
        world.publish(resource(ENDPOINT, f"n{number}"))
        world.publish(deleted=(f"n{number}",))

    assert talk.read() == [said(ENDPOINT, removed=("a",))]


def test_rule_25_an_alias_is_a_name_too(talk: DeltaConversation, world: World) -> None:
    """Whoever asks for an alias hears of the resource, under its own name."""
    known = Resource(type_url=ROUTE, name="r", body=b"r|1", aliases=("alias",))
    changed = replace(known, body=b"r|2")
    world.publish(known)
    talk.ask(ROUTE, "alias")
    (first,) = talk.read()
    talk.answer(ROUTE, first.nonce)
    world.publish(changed)
    (second,) = talk.read()
    talk.answer(ROUTE, second.nonce)
    world.publish(deleted=("r",))

    assert first == said(ROUTE, "r|1")
    assert second == said(ROUTE, "r|2")
    assert talk.read() == [said(ROUTE, removed=("r",))]


def test_rule_31_who_says_that_it_holds_all_is_known_to(world: World) -> None:
    """A restarted server knows at once what its clients run."""
    talk = DeltaConversation(world)
    table = world.tables[CLUSTER]
    talk.ask(CLUSTER, versions={each.name: each.version for each in table})

    assert talk.read() == []
    assert talk.stream.substreams[CLUSTER].exchange.accepted_version == table.version


def test_rule_44_a_glob_stands_for_all_directly_below_its_path(world: World) -> None:
    collection = "xdstp://authority/envoy.config.route.v3.RouteConfiguration/web"
    one, other = f"{collection}/one?a=1&b=2", f"{collection}/deep/other?a=1&b=2"
    world.publish(resource(ROUTE, one), resource(ROUTE, other))
    talk = DeltaConversation(world)
    talk.ask(ROUTE, f"{collection}/*?b=2&a=1")
    (first,) = talk.read()
    talk.answer(ROUTE, first.nonce)
    world.publish(resource(ROUTE, one, 2), resource(ROUTE, other, 2))

    assert first == said(ROUTE, f"{one}|1")
    assert talk.read() == [said(ROUTE, f"{one}|2")]


def test_rule_39_a_heartbeat_has_no_body_and_the_same_version(world: World) -> None:
    """Only for clients that know of a time to live."""
    ttl = timedelta(seconds=30)
    world.publish(Resource(type_url=ROUTE, name="r", body=b"r|1", ttl=ttl))
    messages = []
    for features in (frozenset[str](), frozenset({KNOWS_TTL})):
        talk = DeltaConversation(world, features=features)
        talk.ask(ROUTE, "r")
        first = talk.stream.next_response()
        assert first is not None
        talk.answer(ROUTE, first.response.head.nonce)
        talk.stream.beat({ttl / 3})
        beat = talk.stream.next_response()
        messages += [
            DeltaDiscoveryResponse.FromString(each.response.body).resources[0]
            for each in (first, beat)
            if each is not None
        ]
    (ignorant, told, heartbeat) = messages

    assert not ignorant.HasField("ttl")
    assert told.ttl.ToTimedelta() == heartbeat.ttl.ToTimedelta() == ttl
    assert told.HasField("resource")
    assert not heartbeat.HasField("resource")
    assert told.version == heartbeat.version


def came_back(world: World, version: str) -> DeltaConversation:
    """Return a new stream of a client that has an assignment of this version."""
    talk = DeltaConversation(world)
    talk.ask(ENDPOINT, "a", versions={"a": version})
    return talk


def test_rule_49_who_has_kin_of_what_yields_keeps_it_until_that_changes() -> None:
    world = World()
    new = replace(resource(ENDPOINT, "a"), kin=b"kin", yields=True)
    old = replace(resource(ENDPOINT, "a", 7), kin=b"kin")
    world.publish(old)
    version = versions_in(world, ENDPOINT)["a"]
    world.publish(new)
    talk = came_back(world, version)

    assert talk.read() == []
    assert talk.stream.substreams[ENDPOINT].kept == {"a"}

    world.publish(replace(new, yields=False))

    assert talk.read() == [said(ENDPOINT, "a|1")]


def test_rule_49_others_are_sent_what_yields_at_once() -> None:
    world = World()
    new = replace(resource(ENDPOINT, "a"), kin=b"kin", yields=True)
    world.publish(replace(resource(ENDPOINT, "a", 7), kin=b"other"))
    version = versions_in(world, ENDPOINT)["a"]
    world.publish(new)

    assert came_back(world, version).read() == [said(ENDPOINT, "a|1")]

    talk = came_back(world, versions_in(world, ENDPOINT)["a"])

    assert talk.read() == []
    assert not talk.stream.substreams[ENDPOINT].kept


def test_rule_49_what_yields_comes_all_the_same_with_its_cluster() -> None:
    """A cluster that is another one waits for its assignment."""
    world = World()
    new = replace(resource(ENDPOINT, "a"), kin=b"kin", yields=True)
    world.publish(replace(resource(ENDPOINT, "a", 7), kin=b"kin"))
    version = versions_in(world, ENDPOINT)["a"]
    world.publish(new, resource(CLUSTER, "a"))
    talk = DeltaConversation(world)
    talk.ask(CLUSTER)
    (cluster,) = talk.read()
    talk.ask(ENDPOINT, "a", versions={"a": version})

    assert cluster == said(CLUSTER, "a|1")
    assert talk.read() == [said(ENDPOINT, "a|1")]
    assert not talk.stream.substreams[ENDPOINT].kept
