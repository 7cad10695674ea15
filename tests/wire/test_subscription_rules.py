"""Rules 13 to 26: how clients say what they want."""

import pytest

from tests.serve.conversation import resource
from tests.serve.wire import World
from tests.wire.client import AnyClient, DeltaClient, SotwClient
from tests.wire.conftest import Connect
from tests.wire.variant import ALL, DELTA, SOTW, of_types, over
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE


def changed(client: AnyClient, full: tuple[str, ...], part: str) -> tuple[str, ...]:
    """Return what a change of *part* brings, where SotW clients get a full state."""
    return (part,) if client.variant.is_delta else full


@over(ALL)
@of_types(CLUSTER, LISTENER)
async def test_rule_13_an_initial_empty_list_is_a_wildcard(
    client: AnyClient, world: World, type_url: str
) -> None:
    """Everything is sent, and whatever appears later."""
    await client.subscribe(type_url)
    await client.expect(type_url, "a|1", "b|1")
    world.publish(resource(type_url, "c"))
    await client.expect(
        type_url, *changed(client, full=("a|1", "b|1", "c|1"), part="c|1")
    )


@over(ALL)
@of_types(CLUSTER, LISTENER)
async def test_rule_13_a_wildcard_is_answered_if_there_is_nothing(
    client: AnyClient, world: World, type_url: str
) -> None:
    """A client that starts waits to hear it."""
    world.publish(deleted=("a", "b"))
    await client.subscribe(type_url)
    await client.expect(type_url)
    await client.expect_silence(type_url)


@over(ALL)
@of_types(ENDPOINT, ROUTE)
async def test_rule_13_is_for_listeners_and_clusters_alone(
    client: AnyClient, world: World, type_url: str
) -> None:
    """An Envoy that has no interest in assignments is not sent all of them."""
    await client.subscribe(type_url)
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a", 2))
    await client.expect_silence(type_url)


@over(SOTW)
@of_types(CLUSTER, LISTENER)
async def test_rule_14_the_legacy_wildcard_ends_with_the_first_name(
    client: SotwClient, world: World, type_url: str
) -> None:
    """And an empty list after that asks for nothing."""
    await client.subscribe(type_url)
    await client.expect(type_url, "a|1", "b|1")
    await client.subscribe(type_url, "a")
    await client.expect(type_url, "a|1")
    world.publish(resource(type_url, "b", 2))
    await client.expect_silence(type_url)
    await client.unsubscribe(type_url, "a")
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a", 2))
    await client.expect_silence(type_url)


@over(DELTA)
@of_types(CLUSTER, LISTENER)
async def test_rule_14_in_delta_only_an_unsubscription_ends_the_legacy_wildcard(
    client: DeltaClient, world: World, type_url: str
) -> None:
    """The document's example: it is `*` and a then, and `*` can be taken away.

    What counts is the first request of a type: later ones without names ask nothing.
    """
    await client.subscribe(type_url)
    await client.expect(type_url, "a|1", "b|1")
    await client.subscribe(type_url, "a")
    await client.expect(type_url, "a|1")
    world.publish(resource(type_url, "b", 2))
    await client.expect(type_url, "b|2")
    await client.unsubscribe(type_url, "*")
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "b", 3))
    await client.expect_silence(type_url)
    await client.unsubscribe(type_url, "a")
    await client.subscribe(type_url)
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a", 2))
    await client.expect_silence(type_url)


@over(DELTA)
async def test_rule_14_a_first_request_with_a_name_is_no_wildcard(
    client: DeltaClient, world: World
) -> None:
    await client.subscribe(CLUSTER, "a")
    await client.expect(CLUSTER, "a|1")
    await client.subscribe(CLUSTER)
    await client.expect_silence(CLUSTER)
    world.publish(resource(CLUSTER, "b", 2))
    await client.expect_silence(CLUSTER)


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_15_the_explicit_wildcard_and_a_name_coexist(
    client: AnyClient, world: World, type_url: str
) -> None:
    """For every type; each resource is sent once, and a name may leave again."""
    await client.subscribe(type_url, "*", "a")
    await client.expect(type_url, "a|1", "b|1")
    world.publish(resource(type_url, "c"))
    is_partial = type_url in {ENDPOINT, ROUTE} or client.variant.is_delta
    await client.expect(type_url, *(("c|1",) if is_partial else ("a|1", "b|1", "c|1")))
    await client.unsubscribe(type_url, "a")
    if client.variant.is_delta:  # rule 22
        await client.expect(type_url, "a|1")
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a", 2))
    answer = await client.receive(type_url)

    assert "a|2" in answer.resources


@over(ALL)
async def test_rule_15_a_name_and_then_the_wildcard(
    client: AnyClient, world: World
) -> None:
    """The wildcard brings everything, whatever was there before."""
    await client.subscribe(CLUSTER, "a")
    await client.expect(CLUSTER, "a|1")
    await client.subscribe(CLUSTER, "*")
    await client.expect(CLUSTER, "a|1", "b|1")
    await client.unsubscribe(CLUSTER, "*")
    await client.expect_silence(CLUSTER)
    world.publish(resource(CLUSTER, "b", 2))
    await client.expect_silence(CLUSTER)
    world.publish(resource(CLUSTER, "a", 2))
    await client.expect(CLUSTER, "a|2")


@over(SOTW)
@of_types(*PUSH_ORDER)
async def test_rule_16_a_list_without_the_wildcard_drops_it(
    client: SotwClient, world: World, type_url: str
) -> None:
    """[*, a], then [a]: a is still wanted, nothing else."""
    await client.subscribe(type_url, "*", "a")
    await client.expect(type_url, "a|1", "b|1")
    await client.unsubscribe(type_url, "*")
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "b", 2))
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a", 2))
    await client.expect(type_url, "a|2")


@over(ALL)
@of_types(*PUSH_ORDER)
@pytest.mark.parametrize("names", [("a",), ("*",), ("*", "a")], ids=",".join)
async def test_rule_17_nothing_is_wanted_after_the_last_name_has_gone(
    client: AnyClient, world: World, type_url: str, names: tuple[str, ...]
) -> None:
    """SotW: an empty list. It is not the wildcard that it would have been at first."""
    await client.subscribe(type_url, *names)
    await client.ack(await client.receive(type_url))
    await client.unsubscribe(type_url, *names)
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a", 2), deleted=("b",))
    await client.expect_silence(type_url)


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_18_the_empty_string_is_a_name(
    client: AnyClient, world: World, type_url: str
) -> None:
    """It asks for the resource without a name, not for all."""
    world.publish(resource(type_url, ""))
    await client.subscribe(type_url, "")
    await client.expect(type_url, "|1")
    world.publish(resource(type_url, "a", 2))
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "", 2))
    await client.expect(type_url, "|2")


@over(SOTW)
@of_types(ENDPOINT, ROUTE)
async def test_rule_19_newly_added_names_are_sent_even_if_unchanged(
    client: SotwClient, type_url: str
) -> None:
    """And a name that comes back is new; one that leaves is not answered."""
    await client.subscribe(type_url, "a")
    await client.expect(type_url, "a|1")
    await client.subscribe(type_url, "b")
    await client.expect(type_url, "b|1")
    await client.unsubscribe(type_url, "b")
    await client.expect_silence(type_url)
    await client.subscribe(type_url, "b")
    await client.expect(type_url, "b|1")


@over(SOTW)
@of_types(CLUSTER, LISTENER)
async def test_rule_19_a_newly_added_name_completes_the_full_state(
    client: SotwClient, type_url: str
) -> None:
    """Types that come in full come in full then too."""
    await client.subscribe(type_url, "a")
    await client.expect(type_url, "a|1")
    await client.subscribe(type_url, "b")
    await client.expect(type_url, "a|1", "b|1")
    await client.unsubscribe(type_url, "b")
    await client.expect_silence(type_url)
    await client.subscribe(type_url, "b")
    await client.expect(type_url, "a|1", "b|1")


@over(DELTA)
@of_types(*PUSH_ORDER)
async def test_rule_20_what_is_subscribed_again_is_sent_again(
    client: DeltaClient, type_url: str
) -> None:
    """Though it has not changed: the client may have dropped it. Under `*` too."""
    await client.subscribe(type_url, "a")
    await client.expect(type_url, "a|1")
    await client.subscribe(type_url, "a")
    await client.expect(type_url, "a|1")
    await client.subscribe(type_url, "*")
    await client.expect(type_url, "a|1", "b|1")
    await client.subscribe(type_url, "b")
    await client.expect(type_url, "b|1")
    await client.subscribe(type_url, "missing")
    await client.expect(type_url, removed=["missing"])
    await client.subscribe(type_url, "missing")
    await client.expect(type_url, removed=["missing"])


@over(DELTA)
@of_types(*PUSH_ORDER)
async def test_rule_21_an_unknown_unsubscription_is_ignored(
    client: DeltaClient, world: World, type_url: str
) -> None:
    """Of a name that is there, of one that is not, and of the wildcard."""
    await client.subscribe(type_url, "a")
    await client.expect(type_url, "a|1")
    await client.unsubscribe(type_url, "b", "missing", "*")
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a", 2))
    await client.expect(type_url, "a|2")


@over(DELTA)
@of_types(*PUSH_ORDER)
async def test_rule_22_a_name_unsubscribed_under_a_wildcard_is_answered(
    client: DeltaClient, world: World, type_url: str
) -> None:
    """With the resource, which the client may have dropped, or with its removal."""
    await client.subscribe(type_url, "*", "a", "missing")
    await client.expect(type_url, "a|1", "b|1", removed=["missing"])
    await client.unsubscribe(type_url, "a", "missing")
    await client.expect(type_url, "a|1", removed=["missing"])
    world.publish(resource(type_url, "a", 2), resource(type_url, "missing"))
    await client.expect(type_url, "a|2", "missing|1")


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_23_a_missing_name_is_remembered(
    client: AnyClient, world: World, type_url: str
) -> None:
    """It is sent when it is created, however often it comes and goes."""
    is_told = client.variant.is_delta
    is_full = not is_told and type_url in {CLUSTER, LISTENER}
    await client.subscribe(type_url, "late")
    if is_told or is_full:
        await client.expect(type_url, removed=["late"] if is_told else [])
    for version in (1, 2):
        await client.expect_silence(type_url)
        world.publish(resource(type_url, "late", version))
        await client.expect(type_url, f"late|{version}")
        world.publish(deleted=("late",))
        if is_told or is_full:
            await client.expect(type_url, removed=["late"] if is_told else [])


@over(DELTA)
@of_types(*PUSH_ORDER)
async def test_rule_24_a_missing_name_is_said_to_be_missing_at_once(
    client: DeltaClient, world: World, type_url: str
) -> None:
    """And stays subscribed: it is sent when it appears, and so is its end."""
    await client.subscribe(type_url, "a", "late")
    await client.expect(type_url, "a|1", removed=["late"])
    await client.subscribe(type_url, "never")
    await client.expect(type_url, removed=["never"])
    world.publish(resource(type_url, "late"))
    await client.expect(type_url, "late|1")
    world.publish(deleted=("late",))
    await client.expect(type_url, removed=["late"])


@over(ALL)
@of_types(CLUSTER, LISTENER)
async def test_rule_26_clusters_and_listeners_may_be_named(
    client: AnyClient, world: World, type_url: str
) -> None:
    """As gRPC clients do: only the named are sent, and a missing one is told.

    SotW tells it by leaving it out of the full state of what was named.
    """
    is_delta = client.variant.is_delta
    await client.subscribe(type_url, "a", "missing")
    await client.expect(type_url, "a|1", removed=["missing"] if is_delta else [])
    world.publish(resource(type_url, "b", 2), resource(type_url, "c"))
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a", 2))
    await client.expect(type_url, "a|2")
    world.publish(deleted=("a",))
    await client.expect(type_url, removed=["a"] if is_delta else [])


@over(ALL)
async def test_rule_26_named_and_wildcard_clients_share_a_server(
    connect: Connect, world: World
) -> None:
    """Each gets its own part of one change."""
    envoy, grpc_client = connect(), connect()
    await envoy.subscribe(LISTENER)
    await envoy.expect(LISTENER, "a|1", "b|1")
    await grpc_client.subscribe(LISTENER, "b")
    await grpc_client.expect(LISTENER, "b|1")
    world.publish(resource(LISTENER, "a", 2), resource(LISTENER, "b", 2))
    await envoy.expect(LISTENER, "a|2", "b|2")
    await grpc_client.expect(LISTENER, "b|2")
