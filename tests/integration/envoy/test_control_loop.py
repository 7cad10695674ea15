"""The control loop with real Envoys: weights follow speeds, and outlive the server.

The backends are plain HTTP servers that say nothing of their load; what is known of
them is what Envoys measure.
"""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.integration.envoy.world import (
    LOOPBACK,
    Client,
    Json,
    Mesh,
    Server,
    run_client,
    run_mesh,
    run_server,
    until,
)
from xds_server.lab.advice.described import Description
from xds_server.lab.advice.recorded import recorded
from xds_server.lab.backend import IDENTITY_HEADER, LOAD_HEADER, Address
from xds_server.lab.mesh_files import read_mesh
from xds_server.lab.pace import Pace
from xds_server.lab.scenario import free_port
from xds_server.status_table import Status

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(600)]

SLOW, FAST = 0.04, 0.01
"""Mean seconds of an answer."""
WORKERS = 4
CONCURRENCY = 6


def policy(period: str) -> Json:
    return {"type": "PerformanceBased", "performanceBased": {"updatePeriod": period}}


@dataclass(kw_only=True)
class Traffic:
    """What became of the requests of some clients, until now."""

    served: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    headers: set[str] = field(default_factory=set)

    async def has_more(self, number: int) -> None:
        """Wait until *number* more requests have been answered."""
        wanted = len(self.served) + len(self.failures) + number

        async def has() -> bool:
            return len(self.served) + len(self.failures) >= wanted

        await until(has)


@asynccontextmanager
async def traffic_of(clients: Collection[Client]) -> AsyncIterator[Traffic]:
    """Let *clients* send requests, always several at once, inside the block."""
    traffic = Traffic()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        sending = [
            tasks.create_task(_send(session, client, traffic))
            for client in clients
            for _ in range(CONCURRENCY)
        ]
        yield traffic
        for task in sending:
            task.cancel()


async def _send(
    session: aiohttp.ClientSession, client: Client, traffic: Traffic
) -> None:
    url = f"http://{client.target.listener}/"
    headers = {"Host": client.target.authority}
    while True:
        try:
            async with session.get(url, headers=headers) as answer:
                traffic.headers.update(name.lower() for name in answer.headers)
                if answer.status == 200:
                    traffic.served.append(answer.headers[IDENTITY_HEADER])
                else:
                    traffic.failures.append(str(answer.status))
        except aiohttp.ClientError as error:
            traffic.failures.append(repr(error))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a server of the test is, each time that it is started."""

    mesh: Mesh
    home: Path
    xds: Address
    admin: Address

    @property
    def state(self) -> Path:
        return self.home / "state" / "weights.json"

    @asynccontextmanager
    async def serving(
        self, name: str, *, remembers: bool = True
    ) -> AsyncIterator[Server]:
        kept = ("--state-file", str(self.state)) if remembers else ()
        async with run_server(
            [self.mesh.folder],
            self.home / f"{name}.log",
            xds=self.xds,
            admin=self.admin,
            flags=(*kept, "--log-format", "json"),
        ) as server:
            yield server

    def saved(self) -> Mapping[str, int]:
        """Return the weights that are in the file, none where there is no file yet."""
        if not self.state.exists():
            return {}
        (port,) = json.loads(self.state.read_bytes())["ports"] or [{"state": {}}]
        weights: Mapping[str, int] = port["state"].get("pushed") or {}
        return weights


@asynccontextmanager
async def place_of(home: Path, *seconds: float, period: str) -> AsyncIterator[Place]:
    """Run backends whose answers take so many *seconds*, and name a place to serve."""
    randomness = random.Random(1)  # noqa: S311 - reproducible
    async with run_mesh(home / "mesh", backends=len(seconds)) as mesh:
        for backend, mean in zip(mesh.backends, seconds, strict=True):
            backend.pace = Pace(
                randomness=randomness, service_time=mean, workers=WORKERS
            )
        mesh.write_policy(policy(period))
        xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
        yield Place(mesh=mesh, home=home, xds=xds, admin=admin)


async def weights_of(server: Server) -> Mapping[str, int]:
    """Return the weights that the server has computed."""
    (port,) = (await server.status()).weights
    return {each.address: each.weight for each in port.endpoints}


async def share_of(server: Server, address: str) -> float:
    (port,) = (await server.status()).weights
    return next(each.share for each in port.endpoints if each.address == address)


class Line(msgspec.Struct):
    """A line of the server's log, as far as it matters here."""

    event: str
    type: str = ""
    cause: str = ""
    node: str = ""
    version: str = ""
    versions: dict[str, str] = {}
    weights: dict[str, str] = {}


def log_of(server: Server) -> list[Line]:
    """Return all that the server has logged."""
    lines = server.child.log.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Line) for line in lines]


async def versions_of(server: Server) -> Mapping[str, str | None]:
    """Return the version of the assignments that each node has accepted."""
    nodes = (await server.status()).nodes
    held = ((node, node.types.get("endpoint")) for node in nodes)
    return {node.id: state.acknowledged_version for node, state in held if state}


@asynccontextmanager
async def run_clients(place: Place) -> AsyncIterator[Sequence[Client]]:
    async with (
        run_client(place.home, place.xds, "delta") as delta,
        run_client(place.home, place.xds, "sotw") as sotw,
    ):
        for client in (delta, sotw):
            await until(client.answers)
        yield delta, sotw


async def test_weights_follow_what_servers_can_do(tmp_path: Path) -> None:
    """Two plain servers, one four times as fast: ideal is 80 % for it, at first 50 %.

    The loop goes on until they balance, so to pass two thirds is a question of time.
    """
    async with (
        place_of(tmp_path, SLOW, FAST, period="1s") as place,
        place.serving("server") as server,
        run_clients(place) as clients,
        traffic_of(clients) as traffic,
    ):
        _, fast = place.mesh.names

        async def is_heavy() -> bool:
            return await share_of(server, fast) > 2 / 3

        await until(is_heavy)
        await traffic.has_more(200)
        status = await server.status()
        served = traffic.served[-200:]

    (port,) = status.weights
    by_address = {each.address: each for each in port.endpoints}
    assert traffic.failures == []
    assert served.count(fast) > 120
    assert LOAD_HEADER not in traffic.headers
    assert port.reporters == 2
    assert all(not state.rejected for n in status.nodes for state in n.types.values())
    slow, quick = (by_address[name] for name in place.mesh.names)
    assert slow.latency_seconds is not None
    assert quick.latency_seconds is not None
    assert slow.latency_seconds > 2 * quick.latency_seconds
    weighed = [each.weights for each in log_of(server) if each.event == "weighed"]
    assert any("faster" in weights.get(fast, "") for weights in weighed)
    assert 2 < _recorded_speed(place, status) < 8


def _recorded_speed(place: Place, status: Status) -> float:
    """Return how much faster the second server is, as `advise` makes it of reports."""
    _, (service,) = read_mesh([place.mesh.folder])
    flags = Description(rate=1, service_time=1, workers=WORKERS)
    found = recorded(flags, status, service.upstreams[0])
    return found.speeds[1] / found.speeds[0]


async def test_weights_go_on_after_the_server_was_killed(tmp_path: Path) -> None:
    """No request fails, and who was connected before has nothing to be told after."""
    async with (
        place_of(tmp_path, SLOW, FAST, period="5s") as place,
        place.serving("first") as first,
        run_clients(place) as clients,
        traffic_of(clients) as traffic,
    ):
        _, fast = place.mesh.names

        async def is_learned() -> bool:
            return await share_of(first, fast) > 0.55

        async def is_saved() -> bool:
            accepted = set((await versions_of(first)).values())
            return place.saved() == await weights_of(first) and len(accepted) == 1

        await until(is_learned)
        await until(is_saved)
        weights, versions = await weights_of(first), await versions_of(first)
        first.child.process.send_signal(signal.SIGKILL)
        await first.child.process.wait()
        assert place.saved() == weights
        await traffic.has_more(200)
        async with place.serving("second") as second:

            async def goes_on() -> bool:
                is_back = len(await versions_of(second)) == len(clients)
                return is_back and await share_of(second, fast) > 0.6

            await until(goes_on)
            await traffic.has_more(50)
            lines = log_of(second)

    (version,) = set(versions.values())
    published = [each.versions for each in lines if each.event == "published"]
    told = [
        each.node
        for each in lines
        if each.event == "response" and each.version == version
    ]
    assert traffic.failures == []
    assert "weights restored" in [each.event for each in lines]
    assert published[0]["endpoint"] == version
    assert "sidecar-delta" not in told


async def test_rule_49_without_a_file_the_traffic_tells_what_weights_there_were(
    tmp_path: Path,
) -> None:
    """An Envoy that comes back is not sent neutral weights over those that it has.

    Least request sends the fast one more than its weight asks for, 72 % as measured: of
    500 requests or more, 55 % or less are eight standard deviations away.
    """
    async with (
        place_of(tmp_path, SLOW, FAST, period="3s") as place,
        place.serving("first", remembers=False) as first,
        run_client(place.home, place.xds, "delta") as client,
    ):
        await until(client.answers)
        async with traffic_of([client]) as traffic:
            _, fast = place.mesh.names

            async def is_learned() -> bool:
                return await share_of(first, fast) > 0.6

            await until(is_learned)
            await traffic.has_more(50)
            first.child.process.send_signal(signal.SIGKILL)
            await first.child.process.wait()
            async with place.serving("second", remembers=False) as second:

                async def is_pushed() -> bool:
                    return "weighed" in [each.event for each in log_of(second)]

                await until(is_pushed)
                share = await share_of(second, fast)
                lines = log_of(second)

    pushed = [each.event for each in lines].index("weighed")
    before = [each.event for each in lines[:pushed] if each.type == "endpoint"]
    assert lines[pushed].cause == "kept"
    assert "response" not in before
    assert share > 0.55
    assert traffic.failures == []
