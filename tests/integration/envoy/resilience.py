"""A Service of servers that fail as a test wants, and an Envoy in front of it.

Sections of a policy in; answers, with who gave them, and what the servers saw of their
connections out. Turns are exact, so a round says of every endpoint whether it is used.
"""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiohttp

from tests.integration.envoy.announcement import gate
from tests.integration.envoy.world import (
    ENDING,
    LOOPBACK,
    Client,
    Json,
    Server,
    run_client,
    run_server,
    until,
)
from xds_server.lab.backend import Address
from xds_server.lab.scenario import free_port

_ROUND = 20
EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Answer:
    """What a client got: of an endpoint it is the body that says of which.

    The names of its `headers`, which tell no answers apart, are in lower case.
    """

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(kw_only=True, eq=False)
class Connection:
    """One connection to an endpoint, and the first line that came.

    Where it is encrypted, `client` is who the Envoy has shown to be, and `protocol`
    what it has offered to speak.
    """

    requests: int = 0
    first: bytes = b""
    is_open: bool = True
    client: str | None = None
    protocol: str | None = None


def client_of(writer: asyncio.StreamWriter) -> str | None:
    """Return the name in the certificate that a client has shown."""
    certificate = writer.get_extra_info("peercert") or {}
    return next((name for _, name in certificate.get("subjectAltName", ())), None)


def protocol_of(writer: asyncio.StreamWriter) -> str | None:
    """Return what was agreed upon in the handshake."""
    encryption: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    return encryption.selected_alpn_protocol() if encryption else None


@dataclass(kw_only=True, eq=False)
class Endpoint:
    """A server of HTTP/1.1 that answers with its name.

    It answers with its `statuses` in turn and its `headers`, once `gate` is open and it
    has worked for `seconds`. An Envoy's health checks are counted, and answered with a
    status of their own. On connections of TCP it says its name at once. Where they
    begin with a header of the PROXY protocol, it is among the `announcements`.
    """

    address: Address
    is_http: bool = True
    statuses: Sequence[int] = (200,)
    headers: dict[str, str] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    connections: list[Connection] = field(default_factory=list)
    announcements: list[bytes] = field(default_factory=list)
    speakers: dict[asyncio.Task[None], asyncio.StreamWriter] = field(
        default_factory=dict
    )
    check_status: int = 200
    seconds: float = 0
    at_once: int = 0
    most_at_once: int = 0
    arrived: int = 0
    checks: int = 0

    @property
    def name(self) -> str:
        """What it answers with."""
        return str(self.address)

    @property
    def open_connections(self) -> int:
        """How many are there now."""
        return sum(each.is_open for each in self.connections)

    async def speak(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer until the client goes."""
        if (task := asyncio.current_task()) is not None:
            self.speakers[task] = writer
        connection = Connection(client=client_of(writer), protocol=protocol_of(writer))
        self.connections.append(connection)
        if not self.is_http:
            writer.write(f"{self.name}\n".encode())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while self.is_http:
                head = await reader.readuntil(b"\r\n\r\n")
                connection.first = connection.first or head.split(b"\r\n")[0]
                writer.write(await self._answer(head, connection))
                await writer.drain()
            await reader.read()
        connection.is_open = False
        writer.close()

    async def _answer(self, head: bytes, connection: Connection) -> bytes:
        if b"envoy/hc" in head.lower():
            self.checks += 1
            told = f"HTTP/1.1 {self.check_status} told\r\ncontent-length: 0"
            return f"{told}\r\n\r\n".encode()
        status = self.statuses[self.arrived % len(self.statuses)]
        self.arrived += 1
        connection.requests += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        headers = {"content-length": str(len(self.name)), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {status} told\r\n{lines}\r\n{self.name}".encode()


@dataclass(kw_only=True)
class World:
    """A running server, an Envoy, and the endpoints behind it."""

    folder: Path
    endpoints: tuple[Endpoint, ...]
    server: Server
    client: Client
    session: aiohttp.ClientSession
    app_protocol: str
    listen_port: int

    def write(
        self,
        sections: Json,
        *,
        present: Collection[int] | None = None,
        ending: Collection[int] = (),
    ) -> None:
        """Give the policy these *sections*.

        The Service has the endpoints of the numbers *present* (None: all), of which
        some are *ending*.
        """
        text = manifests(
            sections,
            self.endpoints,
            app_protocol=self.app_protocol,
            listen=self.listen_port,
            present=present,
            ending=ending,
        )
        # Renamed into place: half a file would be a version, too.
        (new := self.folder / "mesh.new").write_text(text)
        new.rename(self.folder / "mesh.yaml")

    async def ask(
        self,
        path: str = "/",
        headers: Mapping[str, str] = EMPTY,
        client: Client | None = None,
    ) -> Answer:
        """Return what is answered to one request by *client*, which is one of two."""
        url = f"http://{(client or self.client).target.listener}{path}"
        headers = {"host": "web.shop", **headers}
        async with self.session.get(url, headers=headers) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, await answer.text(), found)

    def clock(self) -> float:
        """Return the time, in seconds from whenever."""
        return asyncio.get_running_loop().time()

    async def is_routed(self) -> bool:
        """Whether the Envoy knows the Service, without asking an endpoint."""
        url = f"http://{self.client.envoy.admin}/config_dump?resource=dynamic_route_configs"
        async with self.session.get(url) as answer:
            return "shop/web/81" in await answer.text()

    async def is_draining(self, endpoint: Endpoint) -> bool:
        """Whether the Envoy knows that *endpoint* drains."""
        url = f"http://{self.client.envoy.admin}/clusters?format=json"
        async with self.session.get(url) as answer:
            found = json.loads(await answer.text())["cluster_statuses"]
        return any(
            host["health_status"]["eds_health_status"] == "DRAINING"
            and host["address"]["socket_address"]["address"] == endpoint.address.ip
            for cluster in found
            for host in cluster.get("host_statuses", ())
        )

    async def answers(self, number: int) -> Counter[int]:
        """Return the statuses of *number* requests at once."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.ask()) for _ in range(number)]
        return Counter(task.result().status for task in tasks)

    async def until_used(self, *numbers: int) -> None:
        """Return when the endpoints of these *numbers* answer in equal parts."""
        expected = Counter({self.endpoints[each].name: _ROUND for each in numbers})

        async def holds() -> bool:
            answers = [await self.ask() for _ in range(_ROUND * len(numbers))]
            return Counter(each.body for each in answers) == expected

        await until(holds)

    async def stats(self, name: str, of: str = "shop") -> int:
        """Return a statistic of the Service's cluster, or *of* something else."""
        url = f"http://{self.client.envoy.admin}/stats?filter={name}$&format=json"
        async with self.session.get(url) as answer:
            found = json.loads(await answer.text())["stats"]
        return sum(each["value"] for each in found if of in each.get("name", ""))


def manifests(
    sections: Json,
    endpoints: Sequence[Endpoint],
    *,
    app_protocol: str,
    listen: int,
    present: Collection[int] | None = None,
    ending: Collection[int] = (),
) -> str:
    """Return the Service, with a policy that has *sections*.

    It has another port, so that what does not fit is no error.
    """
    port = endpoints[0].address.port
    objects: list[Json] = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "namespace": "shop",
                "name": "web",
                "annotations": {"traffic.xds-server.dev/listen-port": f"x={listen}"}
                if app_protocol == "tcp"
                else {},
            },
            "spec": {
                "ports": [
                    {"name": "x", "port": 80, "appProtocol": app_protocol},
                    {"name": "other", "port": 81, "appProtocol": "http"},
                ]
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": "shop",
                "name": "web-1",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "ports": [{"name": each, "port": port} for each in ("x", "other")],
            "endpoints": [
                {
                    "addresses": [each.address.ip],
                    "conditions": ENDING if number in ending else {},
                }
                for number, each in enumerate(endpoints)
                if present is None or number in present
            ],
        },
        {
            "apiVersion": "traffic.xds-server.dev/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"targetRefs": [{"kind": "Service", "name": "web"}], **sections},
        },
    ]
    return "\n---\n".join(map(json.dumps, objects))


@asynccontextmanager
async def listen(
    endpoint: Endpoint,
    encryption: ssl.SSLContext | None = None,
    *,
    is_announced: bool = False,
) -> AsyncIterator[None]:
    """Let *endpoint* accept connections until the context ends.

    Where a connection *is announced*, it has to begin with a header.
    """
    outside, inside = endpoint.address, endpoint.address
    if is_announced:
        inside = Address(LOOPBACK, free_port())
    server = await asyncio.start_server(endpoint.speak, *inside, ssl=encryption)
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(server)
            if is_announced:
                seen = endpoint.announcements
                await stack.enter_async_context(gate(outside, inside, seen))
            yield
    finally:
        endpoint.gate.set()
        for writer in endpoint.speakers.values():
            writer.transport.abort()
        await asyncio.gather(*endpoint.speakers)


@asynccontextmanager
async def run_world(
    home: Path,
    sections: Json,
    *,
    endpoints: int = 3,
    app_protocol: str = "http",
    silent: Sequence[int] = (),
    encryption: ssl.SSLContext | None = None,
    is_announced: bool = False,
    mode: str = "delta",
) -> AsyncIterator[World]:
    """Run everything with a policy of these *sections*; yield when Envoy listens.

    Endpoints of *silent* numbers do not listen. With *encryption* the others do so
    alone, and where traffic *is announced* they take it with a header alone. The Envoy
    speaks xDS in a *mode*.
    """
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    port, listen_port = free_port(), free_port()
    made = tuple(
        Endpoint(
            address=Address(f"127.0.11.{number + 1}", port),
            is_http=app_protocol != "tcp",
        )
        for number in range(endpoints)
    )
    (folder := home / "mesh").mkdir()
    (folder / "mesh.yaml").write_text(
        manifests(sections, made, app_protocol=app_protocol, listen=listen_port)
    )
    async with AsyncExitStack() as stack:
        for number, each in enumerate(made):
            each.gate.set()
            if number not in silent:
                await stack.enter_async_context(
                    listen(each, encryption, is_announced=is_announced)
                )
        connector = aiohttp.TCPConnector(limit=0)
        session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=15)
        )
        await stack.enter_async_context(session)
        server = await stack.enter_async_context(
            run_server([folder], home / "server.log", xds=xds, admin=admin)
        )
        client = await stack.enter_async_context(run_client(home, xds, mode))
        hosts = frozenset(each.address for each in made)
        await client.envoy.wait_for_hosts({"shop/web/80": hosts})
        world = World(
            folder=folder,
            endpoints=made,
            server=server,
            client=client,
            session=session,
            app_protocol=app_protocol,
            listen_port=listen_port,
        )
        if app_protocol == "tcp":
            at = frozenset([Address(LOOPBACK, listen_port)])
            await client.envoy.wait_for_listeners(at)
        await until(world.is_routed)
        yield world
