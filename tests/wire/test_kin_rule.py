"""Rule 49: what a client may go on with, because it is of the kin of what there is."""

from dataclasses import replace

from tests.serve.conversation import resource
from tests.serve.setting import Setting
from tests.wire.client import DeltaClient
from tests.wire.variant import DELTA, Variant, over
from xds_server.xds import ENDPOINT

OLD = replace(resource(ENDPOINT, "b", 7), kin=b"kin")
NEW = replace(resource(ENDPOINT, "b"), kin=b"kin", yields=True)


@over(DELTA)
async def test_rule_49_who_has_kin_of_what_yields_keeps_it(
    setting: Setting, variant: Variant
) -> None:
    """Until that changes, be it that it yields no more; and somebody hears of it."""
    setting.world.publish(OLD)
    held = {each.name: each.version for each in setting.world.tables[ENDPOINT]}
    setting.world.publish(NEW)
    client = DeltaClient(setting, variant)
    await client.request(ENDPOINT, "a", "b", versions=held)
    await client.expect_silence(ENDPOINT)

    assert await setting.events.next_of("kept") == f"kept {ENDPOINT} {['b']}"

    setting.world.publish(replace(NEW, yields=False))
    await client.expect(ENDPOINT, "b|1")


@over(DELTA)
async def test_rule_49_whoever_has_none_is_sent_it(
    setting: Setting, variant: Variant
) -> None:
    """Who has nothing, and who has something else."""
    setting.world.publish(replace(OLD, kin=b"other"))
    held = {each.name: each.version for each in setting.world.tables[ENDPOINT]}
    setting.world.publish(NEW)
    for versions in ({}, held):
        client = DeltaClient(setting, variant)
        await client.request(ENDPOINT, "b", versions=versions)
        await client.expect(ENDPOINT, "b|1")
