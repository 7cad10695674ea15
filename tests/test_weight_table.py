"""What `xds-server status` and `xds-server top` show of computed weights."""

import asyncio
import io
from datetime import timedelta

import msgspec
import pytest
from aiohttp import web
from rich.console import Console, RenderableType

from tests.control.mesh import UNEQUAL, World, address, mesh, report
from xds_server.control.controller import Reason
from xds_server.mesh.index import Index
from xds_server.status import status_of
from xds_server.status_table import Endpoint, Status, StatusError, WeighedPort
from xds_server.top import picture, show_once, watch
from xds_server.weight_table import weight_table


def told(world: World | None) -> bytes:
    """Return what `/status` answers."""
    ports = world.loop.standings(world.now) if world else ()
    status = status_of(
        world.index if world else Index(),
        (),
        untranslated=(),
        weighed=ports,
        version="1",
        is_ready=True,
    )
    return msgspec.json.encode(status)


def status(world: World | None) -> Status:
    return msgspec.json.decode(told(world), type=Status)


def text_of(shown: RenderableType, width: int = 140) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(shown)
    return file.getvalue()


@pytest.fixture
def world() -> World:
    """Two slow servers and a fast one, after a period, 2 s ago."""
    world = World(*mesh(1, 2, 3))
    world.learn()
    world.loop.submit(report(UNEQUAL), world.now)
    world.now += 2
    return world


def test_each_endpoint_has_a_line_with_what_is_known_of_it(world: World) -> None:
    (port,) = status(world).weights
    lines = text_of(weight_table(port)).splitlines()
    (slow,) = (line.split() for line in lines if line.startswith(address(1)))
    (fast,) = (line.split() for line in lines if line.startswith(address(3)))

    title = "shop/web:80 of 1 client, reported 2 s ago, changed 2 s ago"
    assert lines[0].strip() == title
    assert fast[1:4] == ["20", "20", "ms"]
    assert slow[1:4] == ["20", "80", "ms"]
    assert fast[-1] == "faster"
    assert str(world.weights[address(3)]) in fast


def test_before_the_first_report_there_are_weights_alone() -> None:
    (port,) = status(World(*mesh(1, 2))).weights
    text = text_of(weight_table(port))

    assert "reported never" in text
    assert "50.0%" in text


def test_an_endpoint_takes_one_line_of_80_columns() -> None:
    """With numbers as long as they usually are, and an address of a Pod."""
    each = Endpoint(
        address="10.244.123.45:8080",
        weight=1000,
        share=0.123,
        answers_per_second=123.4,
        latency_seconds=0.123,
        error_ratio=0.012,
        load=1.23,
        error_factor=0.98,
        evidence_seconds_ago=12,
        reason=Reason.NO_EVIDENCE,
    )
    port = WeighedPort(
        namespace="shop",
        service="web",
        port=80,
        reporters=2,
        last_report_seconds_ago=1,
        last_push_seconds_ago=30,
        endpoints=[each],
    )
    (line,) = (
        line
        for line in text_of(weight_table(port), width=80).splitlines()
        if "10.244" in line
    )

    assert line.split() == [
        *("10.244.123.45:8080", "123", "123", "ms", "1.2%", "1.23", "0.98", "1000"),
        *("12.3%", "12", "s", "no", "evidence"),
    ]


def test_nothing_is_cut_where_a_terminal_is_narrow(world: World) -> None:
    (port,) = status(world).weights
    text = text_of(weight_table(port), width=60)

    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 60


def test_the_longest_bar_is_that_of_the_largest_share(world: World) -> None:
    lines = text_of(picture(status(world), "", bars=True)).splitlines()
    bars = {line.split()[0]: line.count("█") for line in lines if "█" in line}

    assert bars[address(3)] == 20
    assert bars[address(1)] == bars[address(2)] < 20


@pytest.mark.parametrize("service", ["", "web", "shop/web"])
def test_a_service_is_named_with_its_namespace_or_without(
    world: World, service: str
) -> None:
    assert address(1) in text_of(picture(status(world), service, bars=False))


def test_a_service_without_computed_weights_is_told(world: World) -> None:
    with pytest.raises(StatusError, match=r"for api; Services with some: shop/web$"):
        picture(status(world), "api", bars=False)


def test_where_nothing_is_weighed_it_is_said_what_to_write() -> None:
    assert "type: PerformanceBased" in text_of(picture(status(None), "", bars=False))


class Server:
    """Answers `/status` as a server does whose weights are those of *world*."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._runner: web.AppRunner | None = None
        self.asked = 0
        self.again = asyncio.Event()

    async def __aenter__(self) -> str:
        application = web.Application()
        application.add_routes([web.get("/status", self._answer)])
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.asked == 1:
            return web.Response(status=500)
        if self.asked == 3:
            self.again.set()
        return web.Response(body=told(self._world))


async def test_it_is_shown_again_and_again_also_after_a_failure(world: World) -> None:
    file, server = io.StringIO(), Server(world)
    console = Console(file=file, width=140, color_system=None)
    async with server as at, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(
            watch(console, at, "web", timedelta(milliseconds=10))
        )
        await server.again.wait()
        watching.cancel()
    text = file.getvalue()

    assert server.asked >= 3
    assert text.index("asking again") < text.index(address(3))


async def test_a_terminal_shows_the_last_picture(world: World) -> None:
    file, server = io.StringIO(), Server(world)
    console = Console(file=file, width=140, height=30, force_terminal=True)
    async with server as at, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(
            watch(console, at, "web", timedelta(milliseconds=10))
        )
        await server.again.wait()
        watching.cancel()
    _, screen, rest = file.getvalue().partition("\x1b[?1049h")

    assert screen
    assert address(3) in rest
    assert rest.rstrip().endswith("\x1b[?1049l")


async def test_it_is_shown_once(world: World) -> None:
    file, server = io.StringIO(), Server(world)
    server.asked = 1
    async with server as at:
        await show_once(Console(file=file, width=140), at, "")

    assert server.asked == 2
    assert address(3) in file.getvalue()
