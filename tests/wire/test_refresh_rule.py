"""Rule 48: resources that are sent again and again, unchanged."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from tests.serve.conversation import resource
from tests.serve.setting import NODE, Setting
from tests.wire.client import DeltaClient, connect_to
from tests.wire.test_life_rules import TTL, node_with
from tests.wire.variant import ALL, DELTA, Variant, of_types, over
from xds_server.serve.response import KNOWS_TTL, UNWRAPS
from xds_server.xds import ENDPOINT, FULL_STATE_TYPES, PUSH_ORDER

REFRESH: Final = timedelta(seconds=0.1)


@over(ALL)
@of_types(*PUSH_ORDER)
async def test_rule_48_what_is_to_be_refreshed_is_sent_again(
    setting: Setting, variant: Variant, type_url: str
) -> None:
    """Whole, with the version that is held, and nothing else that need not be."""
    client = connect_to(setting, variant, NODE)
    setting.world.publish(replace(resource(type_url, "b"), refresh=REFRESH))
    await client.subscribe(type_url, "*")
    first = await client.expect(type_url, "a|1", "b|1")
    is_full = type_url in FULL_STATE_TYPES and not variant.is_delta
    for _ in range(3):
        again = await client.expect(type_url, *(["a|1"] * is_full), "b|1")

        assert again.version == first.version
        assert again.versions.items() <= first.versions.items()
        assert again.nonce != first.nonce


@over(ALL)
async def test_rule_48_only_who_holds_it_is_sent_it_again(
    setting: Setting, variant: Variant
) -> None:
    client = connect_to(setting, variant, NODE)
    other = connect_to(setting, variant, NODE)
    setting.world.publish(replace(resource(ENDPOINT, "b"), refresh=REFRESH))
    await client.subscribe(ENDPOINT, "a")
    await client.expect(ENDPOINT, "a|1")
    await other.subscribe(ENDPOINT, "b")
    for _ in range(4):
        await other.expect(ENDPOINT, "b|1")
    await client.expect_silence(ENDPOINT)


@over(ALL)
async def test_rule_48_intervals_do_not_disturb_each_other(
    setting: Setting, variant: Variant
) -> None:
    """What is due in an hour is not sent with what is due now."""
    client = connect_to(setting, variant, NODE)
    hour = timedelta(hours=1)
    setting.world.publish(
        replace(resource(ENDPOINT, "a"), refresh=hour),
        replace(resource(ENDPOINT, "b"), refresh=REFRESH),
    )
    await client.subscribe(ENDPOINT, "a", "b")
    await client.expect(ENDPOINT, "a|1", "b|1")
    for _ in range(3):
        await client.expect(ENDPOINT, "b|1")


@over(ALL)
@pytest.mark.parametrize("features", [(), (KNOWS_TTL, UNWRAPS)], ids=["none", "ttl"])
async def test_rule_48_a_time_to_live_does_not_take_its_body(
    setting: Setting, variant: Variant, features: tuple[str, ...]
) -> None:
    client = connect_to(setting, variant, node_with(*features))
    both = replace(resource(ENDPOINT, "b"), refresh=REFRESH, ttl=TTL)
    setting.world.publish(both)
    await client.subscribe(ENDPOINT, "b")
    for _ in range(5):
        answer = await client.expect(ENDPOINT, "b|1")
        told = answer.wrapped.get("b")

        assert (told is not None and told.HasField("ttl")) is bool(features)


@over(DELTA)
async def test_rule_48_who_comes_back_with_it_is_sent_it(
    setting: Setting, variant: Variant
) -> None:
    """How long ago it was sent is not known."""
    hour = timedelta(hours=1)
    setting.world.publish(replace(resource(ENDPOINT, "b"), refresh=hour))
    versions = {each.name: each.version for each in setting.world.tables[ENDPOINT]}
    client = DeltaClient(setting, variant)
    await client.request(ENDPOINT, "a", "b", versions=versions)
    await client.expect(ENDPOINT, "b|1")
    await client.expect_silence(ENDPOINT)
