"""What clients and servers notice of an Envoy in between: as little as can be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.translate.mesh_input import make_service, make_upstream
from tests.translate.static_bootstrap import static_bootstrap
from xds_server.lab.backend import Address
from xds_server.lab.envoy import find_envoy, run_envoy
from xds_server.lab.scenario import LOOPBACK, free_port
from xds_server.mesh.model import Audience, Discovery, Endpoint, Protocol, Service

pytestmark = pytest.mark.envoy


async def echo(request: web.Request) -> web.StreamResponse:
    """Answer with the request's path and headers, or with each WebSocket message."""
    if request.headers.get("upgrade") != "websocket":
        told = {name.lower(): value for name, value in request.headers.items()}
        head = {"server": "the server's own"}
        return web.json_response({"path": request.raw_path, **told}, headers=head)
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(f"echo {message.data}")
    return socket


@asynccontextmanager
async def serve(application: web.Application) -> AsyncIterator[int]:
    """Serve on loopback and yield the port."""
    runner = web.AppRunner(application, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """An Envoy before one server, which is there as HTTP, as a name, and as TCP."""

    session: aiohttp.ClientSession
    http: Address
    tcp: Address

    async def get(self, authority: str, path: str = "/") -> aiohttp.ClientResponse:
        url = f"http://{self.http}{path}"
        headers = {"host": authority}
        async with self.session.get(url, headers=headers) as response:
            await response.read()
            return response

    async def told(self, authority: str, path: str = "/") -> dict[str, str]:
        """Return what the server was told."""
        response = await self.get(authority, path)
        told: dict[str, str] = await response.json()
        return told


def services(port: int, listen_port: int) -> list[Service]:
    server = Endpoint(address=LOOPBACK, port=port)
    name = replace(server, address="localhost")
    return [
        make_service(make_upstream(server, service="web")),
        make_service(make_upstream(service="nobody")),
        make_service(make_upstream(name, service="name", discovery=Discovery.DNS)),
        make_service(
            make_upstream(
                server, service="tcp", protocol=Protocol.TCP, listen_port=listen_port
            )
        ),
    ]


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    application = web.Application()
    application.router.add_get("/{path:.*}", echo)
    admin, http, tcp = (Address(LOOPBACK, free_port()) for _ in range(3))
    audience = Audience(namespace="shop", listen_port=http.port)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(application))
        bootstrap = static_bootstrap(audience, services(port, tcp.port))
        bootstrap.admin.address.socket_address.port_value = admin.port
        path = tmp_path / "bootstrap.pb"
        path.write_bytes(bootstrap.SerializeToString())
        envoy = await stack.enter_async_context(run_envoy(find_envoy(), path, admin))
        await envoy.wait_for_listeners(frozenset([http, tcp]))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Sidecar(session=session, http=http, tcp=tcp)


async def test_a_service_answers_to_all_its_names(sidecar: Sidecar) -> None:
    hosts = ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local", "WEB"]
    statuses = [
        (await sidecar.get(host + port)).status
        for host in hosts
        for port in ("", ":80")
    ]

    assert statuses == [200] * 10


@pytest.mark.parametrize("authority", ["web.edge", "web.shop:81", "tcp.shop", "[::1]"])
async def test_any_other_authority_is_told_that_it_is_unknown(
    sidecar: Sidecar, authority: str
) -> None:
    response = await sidecar.get(authority)
    text = await response.text()

    assert response.status == 404
    assert text.startswith(f'xds-server: no Service is called "{authority}".\nhint: ')


async def test_the_request_arrives_as_it_was_sent(sidecar: Sidecar) -> None:
    told = await sidecar.told("web.shop", "/a//b%2Fc?q=%20")

    assert told["path"] == "/a//b%2Fc?q=%20"
    assert told["host"] == "web.shop"


async def test_the_answer_comes_from_the_server(sidecar: Sidecar) -> None:
    response = await sidecar.get("web.shop")

    assert response.headers["server"] == "the server's own"


async def test_a_server_outside_the_mesh_is_called_by_its_own_name(
    sidecar: Sidecar,
) -> None:
    told = await sidecar.told("name.shop")

    assert told["host"] == "localhost"
    assert told["x-forwarded-host"] == "name.shop"


async def test_a_websocket_goes_through(sidecar: Sidecar) -> None:
    url, headers = f"http://{sidecar.http}/", {"host": "web.shop"}
    async with sidecar.session.ws_connect(url, headers=headers) as socket:
        await socket.send_str("hello")
        answer = await socket.receive_str()

    assert answer == "echo hello"


async def test_nobody_there_is_a_503_at_once(sidecar: Sidecar) -> None:
    response = await sidecar.get("nobody.shop")

    assert response.status == 503


async def test_a_tcp_port_is_reached_on_its_listener(sidecar: Sidecar) -> None:
    reader, writer = await asyncio.open_connection(*sidecar.tcp)
    writer.write(b"GET /raw HTTP/1.0\r\nhost: as written\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert b'"path": "/raw"' in answer
    assert b'"host": "as written"' in answer
