"""A real Envoy asks endpoints that DNS finds to be who their names say."""

import json
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.integration.envoy.name_server import envoy_asking, serve_names
from tests.integration.envoy.office import Office, asked_names
from tests.integration.envoy.resilience import Endpoint, listen
from tests.integration.envoy.world import (
    LOOPBACK,
    Json,
    run_client,
    run_server,
    until,
)
from xds_server.lab.backend import Address
from xds_server.lab.scenario import free_port

pytestmark = pytest.mark.envoy

NAMES = ("one.test", "two.test")


def manifests(port: int, ca: Json) -> str:
    """Return a Service of endpoints with names, spoken with in TLS."""
    objects: list[Json] = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"ports": [{"name": "http", "port": 80}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": "shop",
                "name": "web-1",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "FQDN",
            "ports": [{"name": "http", "port": port}],
            "endpoints": [{"addresses": [name]} for name in NAMES],
        },
        {
            "apiVersion": "traffic.xds-server.dev/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {
                "targetRefs": [{"kind": "Service", "name": "web"}],
                "tls": {"mode": "Simple", "ca": ca},
            },
        },
    ]
    return "\n---\n".join(map(json.dumps, objects))


async def test_each_is_asked_to_be_who_its_name_says(tmp_path: Path) -> None:
    (office := Office(folder=tmp_path / "certificates")).renew("a.client")
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    port = free_port()
    (folder := tmp_path / "mesh").mkdir()
    (folder / "mesh.yaml").write_text(manifests(port, office.ca))
    servers: dict[str, tuple[Endpoint, ssl.SSLContext]] = {
        name: (Endpoint(address=Address(f"127.0.12.{n}", port)), office.server(name))
        for n, name in enumerate(NAMES, start=1)
    }
    asked = {name: asked_names(context) for name, (_, context) in servers.items()}
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        for endpoint, context in servers.values():
            endpoint.gate.set()
            await enter(listen(endpoint, context))
        names = await enter(
            serve_names({n: [each.address.ip] for n, (each, _) in servers.items()})
        )
        await enter(run_server([folder], tmp_path / "log", xds=xds, admin=admin))
        envoy = envoy_asking(names, tmp_path)
        client = await enter(run_client(tmp_path, xds, "delta", envoy=envoy))
        session = await enter(aiohttp.ClientSession())

        async def are_all_served() -> bool:
            url = f"http://{client.target.listener}/"
            async with session.get(url, headers={"host": "web.shop"}):
                pass
            return all(endpoint.arrived for endpoint, _ in servers.values())

        await until(are_all_served)

    assert {name: set(found) for name, found in asked.items()} == {
        name: {name} for name in NAMES
    }
