"""Rules 27 to 33: what is in a response."""

from collections.abc import AsyncIterator
from datetime import timedelta
from operator import attrgetter

import pytest
import pytest_asyncio
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from tests.serve.conversation import resource
from tests.serve.setting import NODE, Setting, listening
from tests.serve.wire import World
from tests.wire.client import AnyClient, DeltaClient, SotwClient, connect_to
from tests.wire.conftest import Connect
from tests.wire.variant import ALL, DELTA, SOTW, Variant, of_types, over
from xds_server.serve.service import DISCOVERY_SERVICES, DiscoveryService
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE


@over(SOTW)
@of_types(CLUSTER, LISTENER)
async def test_rule_27_listeners_and_clusters_carry_the_full_state(
    client: SotwClient, world: World, type_url: str
) -> None:
    """Whatever changed: what is left out is deleted, and nothing deletes all."""
    await client.subscribe(type_url)
    await client.expect(type_url, "a|1", "b|1")
    world.publish(resource(type_url, "c"))
    await client.expect(type_url, "a|1", "b|1", "c|1")
    world.publish(deleted=("a",))
    await client.expect(type_url, "b|1", "c|1")
    world.publish(deleted=("b", "c"))
    await client.expect(type_url)
    await client.expect_silence(type_url)


@over(SOTW)
@of_types(CLUSTER, LISTENER)
async def test_rule_27_named_resources_carry_the_full_state_of_what_is_named(
    client: SotwClient, world: World, type_url: str
) -> None:
    """A change of one brings the other along."""
    await client.subscribe(type_url, "a", "b")
    await client.expect(type_url, "a|1", "b|1")
    world.publish(resource(type_url, "b", 2), resource(type_url, "c"))
    await client.expect(type_url, "a|1", "b|2")


@over(SOTW)
@of_types(ENDPOINT, ROUTE)
async def test_rule_28_other_types_are_sent_in_part(
    client: SotwClient, world: World, type_url: str
) -> None:
    """Only what changed; and what is gone cannot be said."""
    await client.subscribe(type_url, "a", "b")
    await client.expect(type_url, "a|1", "b|1")
    world.publish(resource(type_url, "b", 2))
    await client.expect(type_url, "b|2")
    world.publish(deleted=("a",))
    await client.expect_silence(type_url)
    world.publish(resource(type_url, "a", 2))
    await client.expect(type_url, "a|2")


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_29_no_name_comes_twice_in_a_response(
    client: AnyClient, world: World, type_url: str
) -> None:
    """However many reasons there are to send it; the driver checks every response.

    Asked for twice, by its name and by the wildcard; and while an answer is due, asked
    for again, changed, and changed back.
    """
    await client.request(type_url, "*", "a", "a", "*")
    first = await client.receive(type_url)
    world.publish(resource(type_url, "a", 2))
    await client.request(type_url, "*", "a", "b", "b")
    world.publish(resource(type_url, "a", 3), deleted=("b",))
    world.publish(resource(type_url, "a", 2), resource(type_url, "b"))
    await client.request(type_url, "*", "a", "b", nonce=first.nonce)
    second = await client.receive(type_url)

    assert first.resources == ("a|1", "b|1")
    assert second.resources == ("a|2", "b|1")


@over(DELTA)
@of_types(*PUSH_ORDER)
async def test_rule_30_every_resource_has_a_version_of_its_own(
    client: DeltaClient, world: World, type_url: str
) -> None:
    """It changes with that resource alone, and tells equal content."""
    await client.subscribe(type_url, "*")
    first = await client.expect(type_url, "a|1", "b|1")
    world.publish(resource(type_url, "a", 2))
    second = await client.expect(type_url, "a|2")
    await client.subscribe(type_url, "b")
    third = await client.expect(type_url, "b|1")
    world.publish(resource(type_url, "a", 1))
    fourth = await client.expect(type_url, "a|1")

    assert first.versions["a"] != second.versions["a"]
    assert first.versions["b"] == third.versions["b"]
    assert first.versions["a"] == fourth.versions["a"]
    assert all(first.versions.values())


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_30_the_version_of_a_response_is_that_of_all_content(
    connect: Connect, world: World, type_url: str
) -> None:
    """People compare it: it is equal for equal content, whoever was sent what."""
    one, other = connect(), connect()
    await one.subscribe(type_url, "*")
    first = await one.expect(type_url, "a|1", "b|1")
    world.publish(resource(type_url, "b", 2))
    second = await one.receive(type_url)
    await other.subscribe(type_url, "a")
    same = await other.expect(type_url, "a|1")

    assert first.version != second.version
    assert second.version == same.version


@pytest_asyncio.fixture
async def successor(world: World) -> AsyncIterator[Setting]:
    """Another server, that publishes in another order what the first one did."""
    other = Setting(answer_timeout=timedelta(seconds=30))
    for type_url in reversed(PUSH_ORDER):
        for name in ("b", "a"):
            other.world.publish(resource(type_url, name, 2))
            other.world.publish(resource(type_url, name))
    other.world.snapshot.declare_ready()
    async with listening(other):
        assert {t: other.world.tables[t].version for t in PUSH_ORDER} == {
            t: world.tables[t].version for t in PUSH_ORDER
        }
        yield other


@over(DELTA)
@of_types(*PUSH_ORDER)
@pytest.mark.parametrize("names", [("*",), ("a", "b")], ids=",".join)
async def test_rule_31_who_comes_back_with_everything_is_sent_nothing(
    client: DeltaClient,
    successor: Setting,
    variant: Variant,
    type_url: str,
    names: tuple[str, ...],
) -> None:
    """Not even an empty response, and also by a server that was started anew."""
    await client.subscribe(type_url, *names)
    held = (await client.expect(type_url, "a|1", "b|1")).versions
    for setting in (client.setting, successor):
        again = connect_to(setting, variant)
        assert isinstance(again, DeltaClient)
        await again.request(type_url, *names, versions=held)
        await again.expect_silence(type_url)
        setting.world.publish(resource(type_url, "b", 2))
        await again.expect(type_url, "b|2")


@over(DELTA)
@of_types(*PUSH_ORDER)
@pytest.mark.parametrize("names", [("*",), ("a", "b", "c", "d")], ids=",".join)
async def test_rule_31_only_differences_and_removals_are_sent_to_who_comes_back(
    connect: Connect, world: World, type_url: str, names: tuple[str, ...]
) -> None:
    """What changed, what is new, and what is gone; a wildcard may be implied."""
    client, again = connect(), connect()
    assert isinstance(again, DeltaClient)
    world.publish(resource(type_url, "d"))
    await client.subscribe(type_url, *names)
    held = (await client.receive(type_url)).versions
    world.publish(resource(type_url, "b", 2), resource(type_url, "c"), deleted=("d",))
    await again.request(type_url, *names, versions=held)
    await again.expect(type_url, "b|2", "c|1", removed=["d"])
    await again.expect_silence(type_url)


@over(DELTA)
async def test_rule_31_versions_of_what_is_not_asked_for_do_not_count(
    client: DeltaClient,
) -> None:
    """The client holds what another of its subscriptions wants, perhaps."""
    await client.request(ENDPOINT, "a", versions={"b": "1", "gone": "1"})
    await client.expect(ENDPOINT, "a|1")


@over(SOTW)
@of_types(*PUSH_ORDER)
async def test_rule_32_a_version_is_not_trusted_by_a_new_stream(
    connect: Connect, type_url: str
) -> None:
    """It does not say what was asked for when it was given: all is sent again.

    The protocol allows to send nothing for an equal list, which nobody can prove.
    """
    client, same, more = connect(), connect(), connect()
    assert isinstance(same, SotwClient)
    assert isinstance(more, SotwClient)
    await client.subscribe(type_url, "a")
    version = (await client.expect(type_url, "a|1")).version
    await same.request(type_url, "a", version=version)
    await same.expect(type_url, "a|1")
    await more.request(type_url, "a", "b", version=version)
    await more.expect(type_url, "a|1", "b|1")


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_33_every_resource_is_of_the_type_of_its_response(
    client: AnyClient, type_url: str
) -> None:
    """The type_url of each Any is the response's; that of delta is in a Resource."""
    await client.subscribe(type_url, "*")
    response = await client.stream(type_url).receive()
    if isinstance(response, DeltaDiscoveryResponse):
        types = {each.resource.type_url for each in response.resources}
    else:
        types = {each.type_url for each in response.resources}

    assert types == {response.type_url} == {type_url}


@pytest.mark.parametrize(
    "service",
    [each for each in DISCOVERY_SERVICES if each.fetch],
    ids=attrgetter("name"),
)
async def test_rule_33_fetched_resources_too(
    setting: Setting, service: DiscoveryService
) -> None:
    """A unary call is answered as a stream's first request is."""
    call = setting.channel.unary_unary(f"/{service.name}/{service.fetch}")
    request = DiscoveryRequest(node=NODE, resource_names=["a"])
    response = DiscoveryResponse.FromString(await call(request.SerializeToString()))

    assert {each.type_url for each in response.resources} == {service.type_url}
    assert response.type_url == service.type_url
