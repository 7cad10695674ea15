"""A real Envoy whose assignment goes stale unless it is sent again and again.

In every way that Envoy speaks xDS. Its clock is `endpoint_stale_after`.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2

from tests.integration.envoy.engine import (
    BEFORE_ENVOY_CONNECTS,
    WEB,
    Bench,
    following,
    serving,
    under_traffic,
)
from tests.integration.envoy.world import until
from tests.translate.mesh_input import make_upstream
from tests.wire.variant import ALL, Variant, over
from xds_server.api.policy import StaleEndpoints
from xds_server.mesh.model import Endpoint
from xds_server.translate.endpoint import build_load_assignment
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource

pytestmark = pytest.mark.envoy

STALE_AFTER = timedelta(seconds=1.5)


def mortal(bench: Bench) -> Resource:
    """Return the assignment of the first backend, which goes stale.

    It is what becomes of a policy, if sooner than one may say.
    """
    ip, port = bench.backends[0].address
    upstream = make_upstream(Endpoint(address=ip, port=port))
    section = StaleEndpoints.model_construct(after=STALE_AFTER)
    sections = replace(upstream.sections, stale_endpoints=section)
    built = build_load_assignment(replace(upstream, sections=sections))
    message = endpoint_pb2.ClusterLoadAssignment.FromString(built.body)
    message.cluster_name = WEB
    return replace(built, name=WEB, body=message.SerializeToString())


@pytest.fixture
async def bench(variant: Variant, tmp_path: Path) -> AsyncIterator[Bench]:
    """An Envoy and its world, without a server."""
    async with following(variant, tmp_path) as bench:
        bench.world.publish(mortal(bench))
        yield bench


async def is_answered(bench: Bench, status: int) -> bool:
    url = f"http://{bench.target.listener}/"
    headers = {"host": WEB}
    async with bench.envoy.session.get(url, headers=headers) as answer:
        return answer.status == status


@over(ALL)
async def test_rule_48_what_is_sent_again_does_not_go_stale(
    variant: Variant, bench: Bench
) -> None:
    """No request fails in three times as long; without a server all do, for a while.

    Envoy comes back with the version that it had, and that has not changed.
    """
    del variant
    events = bench.events

    async def is_over() -> bool:
        return events.heartbeats[ENDPOINT] >= 9

    async def is_refused() -> bool:
        return await is_answered(bench, 503)

    async def is_served() -> bool:
        return await is_answered(bench, 200)

    async with serving(bench.world, events, bench.address):
        version = bench.version_of(CLUSTER)
        await events.ack_of(CLUSTER, version, patience=BEFORE_ENVOY_CONNECTS)
        for type_url in (LISTENER, ROUTE):
            await events.ack_of(type_url, bench.version_of(type_url))
        async with under_traffic(bench.target):
            await until(is_over)
    await until(is_refused)
    async with serving(bench.world, events, bench.address):
        await until(is_served, timedelta(seconds=BEFORE_ENVOY_CONNECTS))
        async with under_traffic(bench.target):
            events.heartbeats.clear()
            await until(is_over)

    assert events.nacks.empty()


@over(ALL)
async def test_rule_48_what_is_not_sent_again_goes_stale(
    variant: Variant, bench: Bench
) -> None:
    """Else the other test would prove nothing."""
    del variant
    bench.world.publish(replace(mortal(bench), refresh=None))

    async def is_served() -> bool:
        return await is_answered(bench, 200)

    async def is_refused() -> bool:
        return await is_answered(bench, 503)

    async with serving(bench.world, bench.events, bench.address):
        version = bench.version_of(CLUSTER)
        await bench.events.ack_of(CLUSTER, version, patience=BEFORE_ENVOY_CONNECTS)
        await bench.envoy.wait_for_listeners(frozenset([bench.target.listener]))
        await until(is_served)
        await until(is_refused)
