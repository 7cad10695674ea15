"""One type in the state-of-the-world variant, rule by rule."""

import pytest

from tests.serve.conversation import SotwConversation, resource, said
from tests.serve.wire import World
from xds_server.serve.exchange import Verdict
from xds_server.snapshot.table import FEWEST_TOMBSTONES
from xds_server.xds import CLUSTER, ENDPOINT, ROUTE


@pytest.fixture
def world() -> World:
    """Clusters and assignments a and b."""
    world = World()
    for type_url in (CLUSTER, ENDPOINT):
        world.publish(resource(type_url, "a"), resource(type_url, "b"))
    return world


@pytest.fixture
def talk(world: World) -> SotwConversation:
    """Return a new stream."""
    return SotwConversation(world)


def test_rule_4_every_response_has_its_own_nonce(talk: SotwConversation) -> None:
    """Even two responses with the same content."""
    talk.ask(ENDPOINT, "a")
    (first,) = talk.read()
    talk.ask(ENDPOINT, "a", "b", nonce=first.nonce)
    (second,) = talk.read()

    assert first.nonce
    assert second.nonce not in {"", first.nonce}
    assert first.version == second.version


def test_rule_5_a_request_with_a_stale_nonce_is_ignored(
    talk: SotwConversation, world: World
) -> None:
    """Its names do not count; those of the request that follows do."""
    talk.ask(ENDPOINT, "a")
    (first,) = talk.read()
    talk.ask(ENDPOINT, "a", nonce=first.nonce)
    world.publish(resource(ENDPOINT, "a", 2))
    (second,) = talk.read()
    verdict = talk.ask(ENDPOINT, "a", "b", nonce=first.nonce)
    ignored = talk.read()
    talk.ask(ENDPOINT, "a", "b", nonce=second.nonce)

    assert verdict is Verdict.STALE
    assert ignored == []
    assert talk.read() == [said(ENDPOINT, "b|1")]


@pytest.mark.parametrize("names", [("a",), ()], ids=["named", "wildcard"])
def test_rule_27_what_is_gone_is_told_however_late(
    talk: SotwConversation, world: World, names: tuple[str, ...]
) -> None:
    """What else came and went while the answer was due does not matter."""
    talk.ask(CLUSTER, *names)
    (first,) = talk.read()
    world.publish(deleted=("a",))
    for number in range(2 * FEWEST_TOMBSTONES):
        world.publish(resource(CLUSTER, f"n{number}"))
        world.publish(deleted=(f"n{number}",))
    talk.ask(CLUSTER, *names, nonce=first.nonce)
    left = [] if names else ["b|1"]

    assert talk.read() == [said(CLUSTER, *left)]


def test_rule_7_a_nack_is_an_error_detail_not_a_version(talk: SotwConversation) -> None:
    """An old version without an error is an ACK."""
    talk.ask(CLUSTER)
    (first,) = talk.read()

    assert talk.ask(CLUSTER, nonce=first.nonce, version="old") is Verdict.ACK


def test_rule_8_after_a_nack_nothing_is_sent_until_content_changes(
    talk: SotwConversation, world: World
) -> None:
    """But for the rest of what was rejected with it."""
    talk.ask(CLUSTER)
    (first,) = talk.read()
    verdict = talk.ask(CLUSTER, nonce=first.nonce, error="bad b")
    (rest,) = talk.read()
    talk.ask(CLUSTER, nonce=rest.nonce)
    after_rest = talk.read()
    world.publish(resource(CLUSTER, "b", 2))

    assert verdict is Verdict.NACK
    assert rest == said(CLUSTER, "a|1")
    assert after_rest == []
    assert talk.read() == [said(CLUSTER, "a|1", "b|2")]


def test_rule_9_a_newer_request_supersedes_an_older_one(talk: SotwConversation) -> None:
    """Only the last list is answered."""
    talk.ask(ENDPOINT, "a")
    talk.ask(ENDPOINT, "b")

    assert talk.read() == [said(ENDPOINT, "b|1")]


def test_rules_10_and_11_an_ack_is_not_answered(talk: SotwConversation) -> None:
    """Nothing changed, so nothing is sent."""
    talk.ask(CLUSTER)
    (first,) = talk.read()
    verdict = talk.ask(CLUSTER, nonce=first.nonce)

    assert verdict is Verdict.ACK
    assert talk.read() == []


def test_changes_meanwhile_are_one_response(
    talk: SotwConversation, world: World
) -> None:
    """At most one response waits for its answer; only the newest content follows."""
    talk.ask(CLUSTER)
    (first,) = talk.read()
    for version in (2, 3, 4):
        world.publish(resource(CLUSTER, "a", version))
    meanwhile = talk.read()
    talk.ask(CLUSTER, nonce=first.nonce)

    assert meanwhile == []
    assert talk.read() == [said(CLUSTER, "a|4", "b|1")]


def test_rule_19_newly_added_names_are_sent_even_if_unchanged(
    talk: SotwConversation,
) -> None:
    """And a name that comes back is new."""
    talk.ask(ENDPOINT, "a", "b")
    (first,) = talk.read()
    talk.ask(ENDPOINT, "a", nonce=first.nonce)
    dropped = talk.read()
    talk.ask(ENDPOINT, "a", "b", nonce=first.nonce)

    assert dropped == []
    assert talk.read() == [said(ENDPOINT, "b|1")]


def test_rule_23_a_missing_name_is_sent_when_it_appears(
    talk: SotwConversation, world: World
) -> None:
    """Silence until then, for types that come in part."""
    talk.ask(ROUTE, "late")
    before = talk.read()
    world.publish(resource(ROUTE, "late"))

    assert before == []
    assert talk.read() == [said(ROUTE, "late|1")]


def test_rule_26_clusters_may_be_named(talk: SotwConversation, world: World) -> None:
    """The full state is that of the named; a missing one is told by its absence."""
    talk.ask(CLUSTER, "a", "missing")
    first = talk.read()
    talk.ask(CLUSTER, "a", "missing", nonce=first[0].nonce)
    world.publish(resource(CLUSTER, "b", 2))

    assert first == [said(CLUSTER, "a|1")]
    assert talk.read() == []


def test_rule_27_an_empty_full_state_deletes_all(
    talk: SotwConversation, world: World
) -> None:
    talk.ask(CLUSTER)
    (first,) = talk.read()
    talk.ask(CLUSTER, nonce=first.nonce)
    world.publish(deleted=("a", "b"))

    assert talk.read() == [said(CLUSTER)]


def test_rule_27_nothing_is_an_answer_too() -> None:
    """A client that waits for its first clusters hears that there are none."""
    talk = SotwConversation(World())
    talk.ask(CLUSTER)

    assert talk.read() == [said(CLUSTER)]


def test_rule_28_other_types_are_sent_in_part(
    talk: SotwConversation, world: World
) -> None:
    """Only what changed, and a removal is no response."""
    talk.ask(ENDPOINT, "a", "b")
    (first,) = talk.read()
    talk.ask(ENDPOINT, "a", "b", nonce=first.nonce)
    world.publish(resource(ENDPOINT, "b", 2))
    (second,) = talk.read()
    talk.ask(ENDPOINT, "a", "b", nonce=second.nonce)
    world.publish(deleted=("a",))

    assert second == said(ENDPOINT, "b|2")
    assert talk.read() == []


def test_rule_32_a_version_is_not_trusted_after_a_reconnect(world: World) -> None:
    """It does not say what was subscribed to when it was sent."""
    talk = SotwConversation(world)
    talk.ask(ENDPOINT, "a")
    (first,) = talk.read()
    again = SotwConversation(world)
    again.ask(ENDPOINT, "a", "b", version=first.version)

    assert again.read() == [said(ENDPOINT, "a|1", "b|1")]


def test_a_nonce_of_another_stream_means_nothing(world: World) -> None:
    """The first request of a type is answered whatever its nonce."""
    talk = SotwConversation(world)
    verdict = talk.ask(CLUSTER, nonce="7")

    assert verdict is Verdict.SILENT
    assert talk.read() == [said(CLUSTER, "a|1", "b|1")]
