"""A real Envoy lets others read its statistics, and do nothing else to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.integration.envoy.world import LOOPBACK, run_client, run_mesh, run_server
from xds_server.lab.backend import Address
from xds_server.lab.scenario import free_port

pytestmark = pytest.mark.envoy

READ_ONLY = ("/stats/prometheus", "/ready")
EVERYTHING_ELSE = (
    ("POST", "/quitquitquit"),
    ("GET", "/quitquitquit"),
    ("POST", "/healthcheck/fail"),
    ("POST", "/logging?level=trace"),
    ("POST", "/reset_counters"),
    ("POST", "/drain_listeners"),
    ("GET", "/"),
    ("GET", "/config_dump"),
    ("GET", "/clusters"),
    ("GET", "/certs"),
    ("GET", "/stats"),
    ("GET", "/stats?format=prometheus"),
    ("GET", "/stats/prometheus/"),
    ("GET", "//stats/prometheus"),
    ("GET", "/stats%2Fprometheus"),
    ("GET", "/STATS/PROMETHEUS"),
    ("GET", "/stats/prometheus/../../config_dump"),
    ("GET", "/ready/../config_dump"),
    ("GET", "/ready%2f..%2fconfig_dump"),
    ("GET", "/ready;/../config_dump"),
    *((method, path) for method in ("POST", "PUT", "HEAD") for path in READ_ONLY),
)


@pytest.fixture
async def ports(tmp_path: Path) -> AsyncIterator[tuple[Address, Address]]:
    """Where an Envoy's statistics and its own admin are."""
    xds, admin, stats = (Address(LOOPBACK, free_port()) for _ in range(3))
    async with (
        run_mesh(tmp_path / "mesh", backends=1) as mesh,
        run_server([mesh.folder], tmp_path / "server.log", xds=xds, admin=admin),
        run_client(tmp_path, xds, "delta", stats=stats) as client,
    ):
        await client.shares(10)
        yield stats, client.envoy.admin


async def ask(method: str, address: Address, path: str) -> tuple[int, str, str]:
    """Return status, type and text of the answer to a path that is sent as it is."""
    url = URL(f"http://{address}{path}", encoded=True)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url) as answer,
    ):
        return answer.status, answer.content_type, await answer.text()


async def test_prometheus_reads_what_the_admin_tells(
    ports: tuple[Address, Address],
) -> None:
    status, kind, text = await ask("GET", ports[0], "/stats/prometheus")
    sent = 'envoy_cluster_upstream_rq_total{envoy_cluster_name="shop/web/80"} 10'

    assert (status, kind) == (200, "text/plain")
    assert sent in text.splitlines()


async def test_a_query_chooses_among_statistics(ports: tuple[Address, Address]) -> None:
    """`usedonly` and `filter` are what makes a scrape of a large mesh small."""
    path = "/stats/prometheus?filter=%5Eserver.live%24"
    _, _, text = await ask("GET", ports[0], path)
    lines = text.splitlines()

    assert [line for line in lines if line and line[0] != "#"] == [
        "envoy_server_live{} 1"
    ]


async def test_readiness_is_the_envoys_own(ports: tuple[Address, Address]) -> None:
    assert await ask("GET", ports[0], "/ready") == (200, "text/plain", "LIVE\n")


async def test_everything_else_is_not_there(ports: tuple[Address, Address]) -> None:
    """No other path, method or spelling passes, and the Envoy goes on as it was."""
    stats, admin = ports
    answers = {
        (method, path): (await ask(method, stats, path))[0]
        for method, path in EVERYTHING_ELSE
    }
    _, _, level = await ask("POST", admin, "/logging")

    assert answers == dict.fromkeys(EVERYTHING_ELSE, 404)
    assert await ask("GET", admin, "/ready") == (200, "text/plain", "LIVE\n")
    assert "admin: warning" in level
