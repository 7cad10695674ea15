"""Real Envoys check endpoints: what fails gets no traffic, and comes back.

Every endpoint serves at any time: what a failed check takes away is taken away by Envoy
alone. Turns are exact, so a round without an endpoint is a proof that it is out.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types
import pytest

from tests.integration.envoy.name_server import envoy_asking, serve_names
from tests.integration.envoy.world import (
    LOOPBACK,
    Client,
    Json,
    run_client,
    run_server,
    until,
)
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import AnswerError
from xds_server.mesh.model import Protocol

pytestmark = pytest.mark.envoy

FAST: Json = {
    "interval": "200ms",
    "timeout": "200ms",
    "noTrafficInterval": "100ms",
    "unhealthyThreshold": 2,
    "healthyThreshold": 2,
}
PATIENCE = timedelta(seconds=120)
"""On a busy machine checks fail that should not, until one is in time."""
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
"""A `grpc.health.v1.HealthCheckResponse`, encoded."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A Service of backends, and an Envoy for each of some zones."""

    folder: Path
    backends: tuple[Backend, ...]
    zones: Sequence[str]
    clients: Mapping[str, Client] = field(default_factory=dict)

    def write(
        self,
        check: Json,
        *,
        app_protocol: str = "http",
        addresses: Sequence[str] = (),
        only: Sequence[int] = (),
    ) -> None:
        """Write the Service, with endpoints at other *addresses*, and its policy.

        Its endpoints are all backends, or *only* some of them.
        """
        by_name = bool(addresses)
        places = addresses or [backend.address.ip for backend in self.backends]
        chosen = only or range(len(places))
        near = {"trafficDistribution": "PreferSameZone"} if any(self.zones) else {}
        port = {"name": "x", "port": 80, "appProtocol": app_protocol}
        objects: list[Json] = [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": "shop", "name": "web"},
                "spec": {"ports": [port], **near},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "namespace": "shop",
                    "name": "web-1",
                    "labels": {"kubernetes.io/service-name": "web"},
                },
                "addressType": "FQDN" if by_name else "IPv4",
                "ports": [{"name": "x", "port": self.backends[0].address.port}],
                "endpoints": [
                    {"addresses": [places[each]], "zone": self.zones[each]}
                    for each in chosen
                ],
            },
            {
                "apiVersion": "traffic.xds-server.dev/v1alpha1",
                "kind": "TrafficPolicy",
                "metadata": {"namespace": "shop", "name": "web"},
                "spec": {
                    "targetRefs": [{"kind": "Service", "name": "web"}],
                    "healthCheck": FAST | check,
                },
            },
        ]
        # As JSON, where text is quoted: 50494e47 would be a number.
        text = "\n---\n".join(map(json.dumps, objects))
        (self.folder / "mesh.yaml").write_text(text)

    async def until_served(self, *numbers: int, zone: str = "") -> None:
        """Return when the backends of these *numbers* serve in equal parts."""
        client, each = self.clients[zone], 20
        expected = Counter({str(self.backends[n].address): each for n in numbers})

        async def holds() -> bool:
            try:
                return await client.shares(each * len(numbers)) == expected
            except AnswerError:  # no route yet, or a connection that has just gone
                return False

        await until(holds, PATIENCE)


def make_world(folder: Path, zones: Sequence[str], protocol: Protocol) -> World:
    """Return backends, one for each of *zones*, which do not listen yet."""
    port = free_port()
    folder.mkdir()
    return World(
        folder=folder,
        zones=zones,
        backends=tuple(
            Backend(address=Address(f"127.0.9.{n + 1}", port), protocol=protocol)
            for n in range(len(zones))
        ),
    )


@asynccontextmanager
async def run(
    home: Path,
    world: World,
    *,
    envoys: Sequence[str] = ("",),
    envoy: Path | None = None,
) -> AsyncIterator[World]:
    """Run a server that follows the folder, and an Envoy in each zone of *envoys*."""
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            run_server([world.folder], home / "server.log", xds=xds, admin=admin)
        )
        clients = {
            zone: await stack.enter_async_context(
                run_client(home, xds, mode, zone=zone, envoy=envoy)
            )
            for zone, mode in zip(envoys, ("delta", "sotw"), strict=False)
        }
        yield World(
            folder=world.folder,
            backends=world.backends,
            zones=world.zones,
            clients=clients,
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Run three backends, so that one that fails is fewer than half of them."""
    made = make_world(tmp_path / "mesh", ["", "", ""], Protocol.HTTP1)
    async with serve_backends(made.backends):
        made.write({"type": "HTTP", "http": {"path": "/healthz"}})
        async with run(tmp_path, made) as running:
            await until(running.clients[""].answers)
            yield running


async def test_an_endpoint_with_a_bad_status_is_out_until_it_is_good(
    world: World,
) -> None:
    await world.until_served(0, 1, 2)
    world.backends[1].check_status = 503
    await world.until_served(0, 2)
    world.backends[1].check_status = 200
    await world.until_served(0, 1, 2)


async def test_the_statuses_that_are_expected_are_those_of_the_policy(
    world: World,
) -> None:
    """Both ends of a range belong to it."""
    good, bad = [204, 299, 404], [203, 300, 200]
    http: Json = {"path": "/", "expectedStatuses": ["204-299", "404"]}
    for backend, status in zip(world.backends, good, strict=True):
        backend.check_status = status
    world.write({"type": "HTTP", "http": http})
    await world.until_served(0, 1, 2)
    for number, status in enumerate(bad):
        world.backends[number].check_status = status
        await world.until_served(*({0, 1, 2} - {number}))
        world.backends[number].check_status = good[number]
        await world.until_served(0, 1, 2)


async def test_an_endpoint_may_be_checked_at_another_port(world: World) -> None:
    port = free_port()
    beside = [
        Backend(address=Address(each.address.ip, port), protocol=Protocol.HTTP1)
        for each in world.backends
    ]
    async with serve_backends(beside):
        world.write({"type": "HTTP", "port": port, "http": {"path": "/"}})
        await world.until_served(0, 1, 2)
        world.backends[0].check_status = 503
        beside[2].check_status = 503
        await world.until_served(0, 1)


async def test_an_endpoint_that_is_gone_is_not_kept_because_it_answers(
    world: World,
) -> None:
    """Nor is one that comes asked for before it has answered."""
    check: Json = {"type": "HTTP", "http": {"path": "/healthz"}}
    await world.until_served(0, 1, 2)
    world.write(check, only=[0, 2])
    await world.until_served(0, 2)
    world.write(check)
    await world.until_served(0, 1, 2)


async def test_when_more_than_half_fail_health_does_not_count(tmp_path: Path) -> None:
    """The panic threshold is 50 %: below it all get traffic, at it they do not yet."""
    world = make_world(tmp_path / "mesh", [""] * 4, Protocol.HTTP1)
    world.write({"type": "HTTP", "http": {"path": "/"}})
    async with serve_backends(world.backends), run(tmp_path, world) as running:
        await running.until_served(0, 1, 2, 3)
        for backend in world.backends[:2]:
            backend.check_status = 503
        await running.until_served(2, 3)
        world.backends[2].check_status = 503
        await running.until_served(0, 1, 2, 3)


async def test_a_port_that_refuses_is_out_until_it_listens(tmp_path: Path) -> None:
    world = make_world(tmp_path / "mesh", ["", "", ""], Protocol.HTTP1)
    world.write({"type": "TCP"})
    first, *others = world.backends
    async with serve_backends(others), run(tmp_path, world) as running:
        await running.until_served(1, 2)
        async with serve_backends([first]):
            await running.until_served(0, 1, 2)
        await running.until_served(1, 2)


async def test_a_zone_whose_checks_fail_is_left_for_the_other_and_comes_back(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path / "mesh", "aabb", Protocol.HTTP1)
    world.write({"type": "HTTP", "http": {"path": "/"}})
    async with (
        serve_backends(world.backends),
        run(tmp_path, world, envoys="ab") as running,
    ):
        await running.until_served(0, 1, zone="a")
        await running.until_served(2, 3, zone="b")
        for backend in world.backends[:2]:
            backend.check_status = 503
        await running.until_served(2, 3, zone="a")
        await running.until_served(2, 3, zone="b")
        for backend in world.backends[:2]:
            backend.check_status = 200
        await running.until_served(0, 1, zone="a")


async def test_names_are_checked_by_their_own_and_at_the_port_of_the_policy(
    tmp_path: Path,
) -> None:
    """Each address behind a name is an endpoint with a health of its own."""
    world = make_world(tmp_path / "mesh", "aab", Protocol.HTTP1)
    port = free_port()
    beside = [
        Backend(address=Address(each.address.ip, port), protocol=Protocol.HTTP1)
        for each in world.backends
    ]
    ips = [each.address.ip for each in world.backends]
    world.write(
        {"type": "HTTP", "port": port, "http": {"path": "/"}},
        addresses=["web-a.test", "web-a2.test", "web-b.test"],
        only=[0, 2],
    )
    names = {"web-a.test": ips[:2], "web-b.test": ips[2:]}
    async with (
        serve_backends([*world.backends, *beside]),
        serve_names(names) as server,
        run(
            tmp_path, world, envoys="a", envoy=envoy_asking(server, tmp_path)
        ) as running,
    ):
        await running.until_served(0, 1, zone="a")
        for backend in beside[:2]:
            backend.check_status = 503
        await running.until_served(2, zone="a")
        beside[1].check_status = 200
        beside[0].check_status = 200
        await running.until_served(0, 1, zone="a")


@dataclass(kw_only=True)
class Answerer:
    """A server that answers whatever it is sent with the same, and notes that."""

    answer: bytes
    received: list[bytes] = field(default_factory=list)

    async def speak(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer until the client goes."""
        with suppress(ConnectionError):
            while data := await reader.read(4096):
                self.received.append(data)
                writer.write(self.answer)
                await writer.drain()
        writer.close()

    async def is_asked(self) -> bool:
        """Whether somebody has sent something."""
        return bool(self.received)


@asynccontextmanager
async def answer_beside(
    world: World, port: int, answer: bytes
) -> AsyncIterator[list[Answerer]]:
    """Run an answerer on the address of each backend, at *port*."""
    answerers = [Answerer(answer=answer) for _ in world.backends]
    async with AsyncExitStack() as stack:
        for backend, answerer in zip(world.backends, answerers, strict=True):
            await stack.enter_async_context(
                await asyncio.start_server(answerer.speak, backend.address.ip, port)
            )
        yield answerers


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("by_name", [False, True], ids=["by EDS", "by DNS"])
async def test_a_check_is_the_request_that_the_policy_says(
    tmp_path: Path, *, by_name: bool
) -> None:
    """Its Host is a name of the Service, or the endpoint's own where it has one."""
    world = make_world(tmp_path / "mesh", [""], Protocol.HTTP1)
    port = free_port()
    world.write(
        {"type": "HTTP", "port": port, "http": {"path": "/a?b", "method": "OPTIONS"}},
        addresses=["web-a.test"] if by_name else (),
    )
    names = {"web-a.test": [world.backends[0].address.ip]}
    async with (
        answer_beside(world, port, OK) as (answerer,),
        serve_names(names) as server,
        run(tmp_path, world, envoy=envoy_asking(server, tmp_path)),
    ):
        await until(answerer.is_asked)
    first, *fields = answerer.received[0].decode().lower().split("\r\n")

    assert first == "options /a?b http/1.1"
    assert f"host: {'web-a.test' if by_name else 'web.shop'}" in fields


async def test_bytes_are_sent_and_must_come_back(world: World) -> None:
    """What comes in between does not matter."""
    port = free_port()
    tcp: Json = {"send": "50494e47", "receive": ["504f", "4e47"]}  # PING, PO, NG
    await world.until_served(0, 1, 2)
    async with answer_beside(world, port, b"+PO..NG!") as answerers:
        world.write({"type": "TCP", "port": port, "tcp": tcp})
        await until(answerers[0].is_asked)
        await world.until_served(0, 1, 2)
        answerers[2].answer = b"-ERR"
        await world.until_served(0, 1)
        answerers[2].answer = b"PONG"
        await world.until_served(0, 1, 2)

    assert answerers[0].received[-1] == b"PING"


class GrpcServer(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is untyped
    """A server that says who it is, and how the service `shop.Web` of it is."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.health = SERVING
        self.asked: list[bytes] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Answer two methods, with messages as bytes."""

        async def check(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
            self.asked.append(request)
            return self.health

        async def who(_: bytes, __: grpc.aio.ServicerContext) -> bytes:
            return self.name

        match details.method:
            case "/grpc.health.v1.Health/Check":
                return grpc.unary_unary_rpc_method_handler(check)
            case "/shop.Web/Who":
                return grpc.unary_unary_rpc_method_handler(who)
            case _:
                return None


@asynccontextmanager
async def serve_grpc(address: Address, server: GrpcServer) -> AsyncIterator[None]:
    running = grpc.aio.server(handlers=[server])
    running.add_insecure_port(str(address))
    await running.start()
    try:
        yield
    finally:
        await running.stop(grace=None)


async def test_a_grpc_service_that_does_not_serve_is_out_until_it_does(
    tmp_path: Path,
) -> None:
    """It is asked for by the name that the policy says."""
    world = make_world(tmp_path / "mesh", ["", "", ""], Protocol.HTTP2)
    world.write({"type": "GRPC", "grpc": {"service": "shop.Web"}}, app_protocol="grpc")
    servers = [GrpcServer(str(each.address).encode()) for each in world.backends]
    async with AsyncExitStack() as stack:
        for backend, server in zip(world.backends, servers, strict=True):
            await stack.enter_async_context(serve_grpc(backend.address, server))
        running = await stack.enter_async_context(run(tmp_path, world))
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(
                str(running.clients[""].target.listener),
                options=[("grpc.default_authority", "web.shop")],
            )
        )
        who = channel.unary_unary("/shop.Web/Who")

        async def served() -> set[bytes]:
            try:
                return {await who(b"") for _ in range(12)}
            except grpc.aio.AioRpcError:
                return set()

        async def all_serve() -> bool:
            return await served() == {each.name for each in servers}

        async def first_is_out() -> bool:
            return await served() == {each.name for each in servers[1:]}

        await until(all_serve, PATIENCE)
        servers[0].health = NOT_SERVING
        await until(first_is_out, PATIENCE)
        servers[0].health = SERVING
        await until(all_serve, PATIENCE)

    assert set(servers[0].asked) == {b"\x0a\x08shop.Web"}
