"""A policy file changes: when is it in effect in a connected Envoy?

Measured from the end of the write until Envoy's own admin interface shows the changed
cluster as active (warmed, and so in use). Baseline: the same change of a cluster in a
file that Envoy itself watches (path_config_source), with no control plane between.
"""

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import aiohttp
import yaml

from benchmarks.result import Result
from xds_server.lab.backend import Address
from xds_server.lab.envoy import find_envoy, run_envoy
from xds_server.lab.process import run_child
from xds_server.lab.scenario import free_port

RUNS = 20
TYPES = ("RoundRobin", "Random")
LOOPBACK = "127.0.0.1"
SERVICE = """
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  {namespace: shop, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [127.0.0.2]}, {addresses: [127.0.0.3]}]
"""
POLICY = """
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {{namespace: shop, name: web}}
spec:
  targetRefs: [{{kind: Service, name: web}}]
  loadBalancer: {{type: {}}}
"""


async def measure() -> list[Result]:
    """Measure the change through the server, and through a file alone."""
    with tempfile.TemporaryDirectory() as name:
        async with _through_server(Path(name) / "server") as (admin, change):
            ours = await _median(admin, change)
        async with _through_file(Path(name) / "file") as (admin, change):
            baseline = await _median(admin, change)
    return [
        Result(
            what=f"policy file changed, in effect in Envoy (median of {RUNS})",
            measured=f"{ours * 1000:.0f} ms",
            aim="< 300 ms",
            baseline=f"Envoy watching a file itself: {baseline * 1000:.0f} ms",
            ratio=ours / baseline,
        )
    ]


Change = Callable[[str], None]


@asynccontextmanager
async def _through_server(home: Path) -> AsyncIterator[tuple[Address, Change]]:
    (manifests := home / "manifests").mkdir(parents=True)
    (manifests / "service.yaml").write_text(SERVICE)

    def change(type_: str) -> None:
        (manifests / "policy.yaml").write_text(POLICY.format(type_))

    change(TYPES[0])
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    serve = [
        *(sys.executable, "-m", "xds_server", "serve", str(manifests)),
        *("--xds-address", str(xds), "--admin-address", f"{LOOPBACK}:{free_port()}"),
    ]
    bootstrap = home / "envoy.yaml"
    bootstrap.write_bytes(await print_bootstrap(xds, admin))
    async with (
        run_child("xds-server", serve, home / "server.log"),
        run_envoy(find_envoy(), bootstrap, admin),
    ):
        yield admin, change


async def print_bootstrap(xds: Address, admin: Address) -> bytes:
    """Return what the server prints for a sidecar."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "xds_server", "bootstrap", "--node-id", "benchmark"),
        *("--xds-address", str(xds), "--admin-address", str(admin)),
        *("--listen-port", str(free_port())),
        stdout=asyncio.subprocess.PIPE,
    )
    return (await process.communicate())[0]


@asynccontextmanager
async def _through_file(home: Path) -> AsyncIterator[tuple[Address, Change]]:
    home.mkdir()
    clusters = home / "clusters.json"

    def change(type_: str) -> None:
        name = {"RoundRobin": "round_robin", "Random": "random"}[type_]
        policy = {
            "name": name,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions"
                f".load_balancing_policies.{name}.v3.{type_}"
            },
        }
        cluster = {
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "shop/web/80",
            "load_assignment": {"cluster_name": "shop/web/80"},
            "load_balancing_policy": {"policies": [{"typed_extension_config": policy}]},
        }
        partial = home / "partial"
        partial.write_text(json.dumps({"resources": [cluster]}))
        partial.replace(clusters)  # Envoy takes moves alone as changes

    change(TYPES[0])
    admin = Address(LOOPBACK, free_port())
    socket = {"address": admin.ip, "port_value": admin.port}
    bootstrap = {
        "node": {"id": "benchmark", "cluster": "benchmark"},
        "admin": {"address": {"socket_address": socket}},
        "dynamic_resources": {
            "cds_config": {"path_config_source": {"path": str(clusters)}}
        },
    }
    file = home / "envoy.yaml"
    file.write_text(yaml.safe_dump(bootstrap))
    async with run_envoy(find_envoy(), file, admin):
        yield admin, change


async def _median(admin: Address, change: Change) -> float:
    """Return the median time in seconds of `RUNS` changes, each to the other type."""
    async with aiohttp.ClientSession() as session:
        await _until(session, admin, TYPES[0])
        times = []
        for run in range(RUNS):
            wanted = TYPES[(run + 1) % len(TYPES)]
            change(wanted)
            start = perf_counter()
            await _until(session, admin, wanted)
            times.append(perf_counter() - start)
    return statistics.median(times)


async def _until(session: aiohttp.ClientSession, admin: Address, type_: str) -> None:
    """Return when the cluster is active with the policy *type_*."""
    url = f"http://{admin}/config_dump?resource=dynamic_active_clusters"
    wanted = f".v3.{type_}".encode()
    async with asyncio.timeout(30):
        while True:
            try:
                async with session.get(url) as answer:
                    if wanted in await answer.read():
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
            else:
                await asyncio.sleep(0.002)
