"""A real Envoy does what a patch says, and goes on where that is wrong."""

from pathlib import Path

import pytest

from tests.integration.envoy.resilience import World, run_world
from tests.integration.envoy.world import Json, until

pytestmark = pytest.mark.envoy

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def requests_each(number: int) -> Json:
    """Return a patch of what is generated, deep inside."""
    common = {"common_http_protocol_options": {"max_requests_per_connection": number}}
    return {"cluster": {"typed_extension_protocol_options": {OPTIONS: common}}}


async def until_each_has(world: World, number: int) -> None:
    """Return when a connection ends after so many requests, and so does the next."""
    (endpoint,) = world.endpoints

    async def holds() -> bool:
        for _ in range(3 * number):
            await world.ask()
        return [each.requests for each in endpoint.connections[-3:-1]] == [number] * 2

    await until(holds)


async def test_what_is_patched_is_done(tmp_path: Path) -> None:
    sections: Json = {"envoyPatch": requests_each(2)}
    async with run_world(tmp_path, sections, endpoints=1) as world:
        await until_each_has(world, 2)
        world.write({"envoyPatch": requests_each(3)})
        await until_each_has(world, 3)


async def test_a_wrong_patch_keeps_nothing_else_from_going_on(tmp_path: Path) -> None:
    """It is told with its place, and other sections of its policy are in force."""
    wrong = {"cluster": {"max_requests": 5}}
    limit = {"maxRequestsPerConnection": 4}
    async with run_world(tmp_path, {}, endpoints=1) as world:
        world.write({"envoyPatch": wrong, "connection": limit})
        await until_each_has(world, 4)
        status = await world.server.status()
        (problem,) = (p for p in status.problems if "envoyPatch" in p.path)

    assert problem.path == "spec.envoyPatch.cluster.max_requests"
    assert "has no such field" in problem.message
    assert not any(each.rejected for n in status.nodes for each in n.types.values())
