"""A real Envoy tells endpoints whose connection it passes on, as a policy says.

The endpoints read what comes first on each connection, before anything else, and close
those that begin otherwise: whoever is answered was announced.
"""

import asyncio
import socket
import struct
from pathlib import Path

import aiohttp
import pytest

from tests.integration.envoy.announcement import SIGNATURE
from tests.integration.envoy.office import Office
from tests.integration.envoy.resilience import World, run_world
from tests.integration.envoy.world import LOOPBACK, Json, until
from xds_server.lab.backend import Address

pytestmark = pytest.mark.envoy

TCP_OVER_IPV4 = b"\x21\x11"
"""Version 2, a connection that is passed on; of TCP over IPv4 (section 2.2)."""
LOCAL = b"\x20\x00"
"""Version 2, a connection of the proxy's own, without addresses."""


def announced(version: str, **more: object) -> Json:
    return {"connection": {"proxyProtocol": version}, **more}


def header(version: str, client: Address, server: Address) -> bytes:
    """Return what the specification has for a connection."""
    if version == "V1":
        line = f"PROXY TCP4 {client.ip} {server.ip} {client.port} {server.port}\r\n"
        return line.encode()
    ends = socket.inet_aton(client.ip) + socket.inet_aton(server.ip)
    body = ends + struct.pack("!HH", client.port, server.port)
    return SIGNATURE + TCP_OVER_IPV4 + struct.pack("!H", len(body)) + body


async def ask(world: World, port: int) -> int:
    """Return what is answered to a client whose own *port* is known."""
    connector = aiohttp.TCPConnector(local_addr=(LOOPBACK, port))
    url = f"http://{world.client.target.listener}/"
    # Nobody is to believe this: the address is the connection's.
    headers = {"host": "web.shop", "x-forwarded-for": "192.0.2.7"}
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, headers=headers) as first,
        session.get(url, headers=headers) as second,
    ):
        assert first.status == second.status
        return first.status


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("version", ["V1", "V2"])
async def test_connections_begin_with_the_clients_address(
    tmp_path: Path, version: str, *, encrypted: bool
) -> None:
    """Each of two clients has its own, whose requests share one."""
    office = Office(folder=tmp_path / "certificates")
    office.renew("gateway.client")
    tls: Json = {"tls": {"mode": "Simple", "ca": office.ca}}
    async with run_world(
        tmp_path,
        announced(version, **(tls if encrypted else {})),
        endpoints=1,
        encryption=office.server("web.shop.svc") if encrypted else None,
        is_announced=True,
    ) as world:
        (endpoint,) = world.endpoints
        listener = world.client.target.listener
        clients = [Address(LOOPBACK, port) for port in own_ports(2)]
        statuses = [await ask(world, client.port) for client in clients]

        assert statuses == [200, 200]
        assert endpoint.announcements == [
            header(version, client, listener) for client in clients
        ]
        assert [each.first for each in endpoint.connections] == [b"GET / HTTP/1.1"] * 2


def own_ports(number: int) -> list[int]:
    """Return ports of loopback that nobody has."""
    bound = [socket.socket() for _ in range(number)]
    for each in bound:
        each.bind((LOOPBACK, 0))
    ports = [int(each.getsockname()[1]) for each in bound]
    for each in bound:
        each.close()
    return ports


@pytest.mark.parametrize("version", ["V1", "V2"])
async def test_connections_of_tcp_begin_so_too(tmp_path: Path, version: str) -> None:
    """Also where it is the endpoint that speaks first."""
    async with run_world(
        tmp_path,
        announced(version),
        endpoints=1,
        app_protocol="tcp",
        is_announced=True,
    ) as world:
        (endpoint,) = world.endpoints
        reader, writer = await asyncio.open_connection(LOOPBACK, world.listen_port)
        async with asyncio.timeout(60):
            greeting = await reader.readline()
        client = Address(*writer.get_extra_info("sockname"))
        writer.close()

        assert greeting == f"{endpoint.name}\n".encode()
        assert endpoint.announcements == [
            header(version, client, Address(LOOPBACK, world.listen_port))
        ]


CHECK: Json = {"interval": "200ms", "timeout": "150ms", "jitterPercent": 0}
HTTP: Json = {"type": "HTTP", "http": {"path": "/ready"}, **CHECK}
REQUEST = b"GET /ready HTTP/1.1\r\nuser-agent: Envoy/HC\r\n\r\n"
BYTES: Json = {"send": REQUEST.hex(), "receive": [b"HTTP/1.1 200".hex()]}
TCP: Json = {"type": "TCP", "tcp": BYTES, **CHECK}


@pytest.mark.parametrize("check", [HTTP, TCP], ids=["http", "tcp"])
@pytest.mark.parametrize("version", ["V1", "V2"])
async def test_checks_are_announced_as_the_envoys_own(
    tmp_path: Path, version: str, check: Json
) -> None:
    async with run_world(
        tmp_path,
        announced(version, healthCheck=check),
        endpoints=1,
        is_announced=True,
    ) as world:
        (endpoint,) = world.endpoints

        async def is_checked() -> bool:
            return await world.stats("health_check.success") > 2

        await until(is_checked)
        first = endpoint.announcements[0]

        assert await world.stats("health_check.failure") == 0
        if version == "V2":
            assert first == SIGNATURE + LOCAL + b"\x00\x00"
        else:
            ip = endpoint.address.ip.encode()
            assert first.startswith(b"PROXY TCP4 127.0.0.1 %b " % ip)


async def test_what_is_not_announced_any_more_is_not(tmp_path: Path) -> None:
    """Until a policy wants it again: what is open goes on as it began."""
    async with run_world(
        tmp_path, announced("V1"), endpoints=1, is_announced=True
    ) as world:

        async def answers(status: int) -> bool:
            async with aiohttp.ClientSession() as session:
                url = f"http://{world.client.target.listener}/"
                async with session.get(url, headers={"host": "web.shop"}) as answer:
                    return answer.status == status

        await until(lambda: answers(200))
        world.write({})
        await until(lambda: answers(503))
        world.write(announced("V2"))
        await until(lambda: answers(200))
        (endpoint,) = world.endpoints

        assert endpoint.announcements[0].startswith(b"PROXY TCP4 ")
        assert endpoint.announcements[-1].startswith(SIGNATURE)
