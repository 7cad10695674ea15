"""A real Envoy encrypts what it sends to endpoints, and trusts whom a policy says.

The certificates are real, and their files are where the Envoy is; the server never
reads them. Who is renewed there is seen by what the endpoints are shown.
"""

import asyncio
import json
import ssl
from pathlib import Path

import pytest

from tests.integration.envoy.office import Office, asked_names
from tests.integration.envoy.resilience import World, run_world
from tests.integration.envoy.world import LOOPBACK, Json, until
from xds_server.lab.backend import Address

pytestmark = pytest.mark.envoy

OWN_NAME = "web.shop.svc"
"""What endpoints are asked to be where a policy says nothing."""


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(folder=tmp_path / "certificates")
    office.renew("first.client")
    return office


def simple(office: Office, **more: object) -> Json:
    return {"tls": {"mode": "Simple", "ca": office.ca, **more}}


def mutual(office: Office, **more: object) -> Json:
    certificate = {"clientCertificate": office.client}
    return {"tls": {"mode": "Mutual", "ca": office.ca, **certificate, **more}}


async def is_served(world: World) -> bool:
    return (await world.ask()).status == 200


async def is_refused(world: World) -> bool:
    """Whether connections fail."""
    answer = await world.ask()
    return answer.status == 503 and answer.body.endswith("connection failure")


async def until_served(world: World) -> None:
    await until(lambda: is_served(world))


async def until_refused(world: World) -> None:
    await until(lambda: is_refused(world))


@pytest.mark.parametrize("mode", ["delta", "sotw"])
async def test_requests_are_encrypted(
    tmp_path: Path, office: Office, mode: str
) -> None:
    """The name that is asked for is that of the Service, as Kubernetes has it."""
    server = office.server(OWN_NAME)
    names = asked_names(server)
    async with run_world(
        tmp_path, simple(office), encryption=server, mode=mode
    ) as world:
        await world.until_used(0, 1, 2)

    assert set(names) == {OWN_NAME}


async def test_who_is_not_who_was_asked_for_is_refused(
    tmp_path: Path, office: Office
) -> None:
    """Until the policy says that this is fine."""
    server = office.server("other.example")
    names = asked_names(server)
    async with run_world(tmp_path, simple(office), encryption=server) as world:
        await until_refused(world)
        refusals = await world.stats("ssl.fail_verify_san")
        world.write(simple(office, subjectAltNames=["a.example", "other.example"]))
        await until_served(world)
        world.write(simple(office, subjectAltNames=["a.example"]))
        await until_refused(world)
        world.write(simple(office, sni="other.example"))
        await until_served(world)

    assert refusals > 0
    assert set(names) == {OWN_NAME, "other.example"}


async def test_who_is_vouched_for_by_another_is_refused(
    tmp_path: Path, office: Office
) -> None:
    """Until that one is trusted: the file is renewed, and the server says nothing."""
    stranger = Office(folder=tmp_path / "elsewhere")
    server = stranger.server(OWN_NAME)
    async with run_world(tmp_path, simple(office), encryption=server) as world:
        await until_refused(world)
        refusals = await world.stats("ssl.fail_verify_error")
        before = await versions(world)
        office.renew("first.client", authority=stranger.authority)
        await until_served(world)

        assert refusals > 0
        assert await versions(world) == before


async def test_nobody_is_refused_where_that_is_written_out(
    tmp_path: Path, office: Office
) -> None:
    stranger = Office(folder=tmp_path / "elsewhere")
    server = stranger.server("other.example")
    sections: Json = {"tls": {"mode": "Simple", "insecureSkipVerify": True}}
    async with run_world(tmp_path, sections, encryption=server) as world:
        await until_served(world)
        world.write(simple(office))
        await until_refused(world)
        world.write(sections)
        await until_served(world)


async def test_endpoints_see_who_the_client_is_and_who_it_becomes(
    tmp_path: Path, office: Office
) -> None:
    """A renewed certificate is shown on new connections, without any push."""
    server = office.server(OWN_NAME, asks=True)
    sections = mutual(office) | {"connection": {"maxRequestsPerConnection": 1}}
    async with run_world(tmp_path, sections, endpoints=1, encryption=server) as world:
        (endpoint,) = world.endpoints

        async def is_known_as(client: str) -> bool:
            await world.ask()
            return endpoint.connections[-1].client == client

        await until(lambda: is_known_as("first.client"))
        before = await versions(world)
        office.renew("second.client")
        await until(lambda: is_known_as("second.client"))

        assert await versions(world) == before


async def test_who_shows_no_certificate_is_refused(
    tmp_path: Path, office: Office
) -> None:
    """In TLS 1.3 it is told after the handshake, when a request is under way."""
    server = office.server(OWN_NAME, asks=True)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    async with run_world(tmp_path, simple(office), encryption=server) as world:
        await until_refused(world)
        world.write(mutual(office))
        await until_served(world)


@pytest.mark.parametrize(
    ("speaks", "expected"),
    [
        (("h2", "http/1.1"), b"PRI * HTTP/2.0"),
        (("h2",), b"PRI * HTTP/2.0"),
        (("http/1.1",), b"GET / HTTP/1.1"),
        ((), b"GET / HTTP/1.1"),
    ],
    ids=["both", "http2", "http1", "silent"],
)
async def test_the_best_that_endpoints_offer_is_spoken(
    tmp_path: Path, office: Office, speaks: tuple[str, ...], expected: bytes
) -> None:
    server = office.server(OWN_NAME, speaks=speaks)
    sections = simple(office) | {"connection": {"protocol": "Auto"}}
    async with run_world(tmp_path, sections, endpoints=1, encryption=server) as world:
        assert await first_line(world) == expected


@pytest.mark.parametrize(
    ("protocol", "offered", "expected"),
    [
        ("HTTP2", "h2", b"PRI * HTTP/2.0"),
        ("HTTP1", "http/1.1", b"GET / HTTP/1.1"),
    ],
)
async def test_what_is_spoken_is_offered_in_the_handshake(
    tmp_path: Path, office: Office, protocol: str, offered: str, expected: bytes
) -> None:
    """Many servers of HTTP/2 wait for that."""
    server = office.server(OWN_NAME, speaks=("h2", "http/1.1"))
    sections = simple(office) | {"connection": {"protocol": protocol}}
    async with run_world(tmp_path, sections, endpoints=1, encryption=server) as world:
        assert await first_line(world) == expected
        assert world.endpoints[0].connections[0].protocol == offered


@pytest.mark.parametrize(
    ("limits", "is_met"),
    [
        ({}, True),
        ({"minVersion": "TLSv1_3"}, False),
        ({"maxVersion": "TLSv1_2"}, True),
    ],
    ids=["default", "newer", "older"],
)
async def test_versions_are_those_of_the_policy(
    tmp_path: Path, office: Office, limits: Json, *, is_met: bool
) -> None:
    """Of a server that knows nothing newer than 1.2."""
    server = office.server(OWN_NAME)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    async with run_world(
        tmp_path, simple(office, **limits), encryption=server
    ) as world:
        await (until_served if is_met else until_refused)(world)


async def test_a_newer_version_is_taken_where_there_is_one(
    tmp_path: Path, office: Office
) -> None:
    server = office.server(OWN_NAME)
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    async with run_world(tmp_path, simple(office), encryption=server) as world:
        await until_served(world)
        world.write(simple(office, maxVersion="TLSv1_2"))
        await until_refused(world)


async def test_health_checks_are_encrypted_too(tmp_path: Path, office: Office) -> None:
    """By the same name: who passes them is used, and no other."""
    server = office.server(OWN_NAME, asks=True)
    names = asked_names(server)
    check: Json = {
        "type": "HTTP",
        "interval": "100ms",
        "timeout": "100ms",
        "unhealthyThreshold": 1,
        "http": {"path": "/"},
    }
    sections = mutual(office) | {"healthCheck": check, "panicThreshold": 0}
    async with run_world(tmp_path, sections, encryption=server) as world:
        await world.until_used(0, 1, 2)
        world.endpoints[0].check_status = 503
        await world.until_used(1, 2)

        assert all(each.checks for each in world.endpoints)
        assert set(names) == {OWN_NAME}


async def test_connections_of_tcp_are_encrypted_too(
    tmp_path: Path, office: Office
) -> None:
    server = office.server(OWN_NAME, asks=True)
    async with run_world(
        tmp_path, mutual(office), endpoints=1, encryption=server, app_protocol="tcp"
    ) as world:

        async def is_served() -> bool:
            reader, writer = await asyncio.open_connection(LOOPBACK, world.listen_port)
            line = await reader.readline()
            writer.close()
            return line.decode().strip() == world.endpoints[0].name

        await until(is_served)


async def test_a_policy_nearer_by_takes_encryption_away(
    tmp_path: Path, office: Office
) -> None:
    """From endpoints that do not understand anything else."""
    server = office.server(OWN_NAME)
    async with run_world(tmp_path, {}, encryption=server) as world:
        broad = {
            "apiVersion": "traffic.xds-server.dev/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": {"namespace": "shop", "name": "all"},
            "spec": {
                "targetRefs": [{"kind": "Namespace", "name": "shop"}],
                **simple(office),
            },
        }
        (world.folder / "all.yaml").write_text(json.dumps(broad))
        await until_served(world)
        world.write({"tls": {"mode": "Disable"}})

        async def is_lost() -> bool:
            return (await world.ask()).status == 503

        await until(is_lost)


async def test_a_file_that_is_not_there_is_told(tmp_path: Path, office: Office) -> None:
    """By the policy that names it, and by every Envoy that lacks it."""
    missing = office.folder / "missing.crt"
    tls: Json = {"tls": {"mode": "Simple", "ca": {"file": str(missing)}}}
    async with run_world(tmp_path, {}) as world:
        world.write(tls)

        async def is_told() -> bool:
            status = await world.server.status()
            (node,) = status.nodes
            rejected = [each for kind in node.types.values() for each in kind.rejected]
            return any(
                str(missing) in str(each) and "TrafficPolicy shop/web" in str(each)
                for each in rejected
            )

        await until(is_told)


async def versions(world: World) -> list[object]:
    """Return the versions of all that the Envoy has acknowledged."""
    (node,) = (await world.server.status()).nodes
    return [each.acknowledged_version for each in node.types.values()]


async def first_line(world: World) -> bytes:
    """Return the first line that the one endpoint is sent."""
    (endpoint,) = world.endpoints
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(world.ask())

        async def has_begun() -> bool:
            return any(each.first for each in endpoint.connections)

        await until(has_begun)
        for writer in endpoint.speakers.values():
            writer.transport.abort()
        await asking
    return next(each.first for each in endpoint.connections if each.first)


async def test_more_services_than_an_envoy_could_watch_files_for(
    tmp_path: Path, office: Office
) -> None:
    """All name the same file: with a secret for each of them this Envoy would end.

    It watches files with an inotify instance for each secret, and a user has 128 of
    them by default.
    """
    server = office.server(OWN_NAME)
    instances = Path("/proc/sys/fs/inotify/max_user_instances").read_text()
    names = [f"s{number}" for number in range(int(instances) + 1)]
    async with run_world(tmp_path, simple(office), encryption=server) as world:
        policy = {"targetRefs": [{"kind": "Namespace", "name": "many"}]}
        objects: list[Json] = [
            {
                "apiVersion": "traffic.xds-server.dev/v1alpha1",
                "kind": "TrafficPolicy",
                "metadata": {"namespace": "many", "name": "all"},
                "spec": {**policy, **simple(office, sni=OWN_NAME)},
            }
        ]
        for name in names:
            objects += plain_service(name, world.endpoints[0].address)
        text = "\n---\n".join(map(json.dumps, objects))
        (world.folder / "many.yaml").write_text(text)

        async def is_served() -> bool:
            headers = {"host": f"{names[-1]}.many"}
            return (await world.ask(headers=headers)).status == 200

        await until(is_served)

        assert len(watchers(world.client.envoy.child.process.pid)) < 10


def plain_service(name: str, address: Address) -> list[Json]:
    """Return a Service of one endpoint."""
    metadata = {"namespace": "many", "name": name}
    labels = {"kubernetes.io/service-name": name}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"name": "http", "port": 80}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": address.port}],
            "endpoints": [{"addresses": [address.ip]}],
        },
    ]


def watchers(process: int) -> list[Path]:
    """Return the inotify instances of a process."""
    files = Path(f"/proc/{process}/fd").iterdir()
    return [each for each in files if "inotify" in str(each.readlink())]
