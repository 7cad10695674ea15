"""10,000 Services x 10 endpoints from files: when does a sidecar have everything?

Measured from the start of the process until a delta client has every cluster and every
assignment. Baseline: PyYAML's C loader (or msgspec for JSON) reading the same files and
doing nothing with them.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from time import perf_counter

import aiohttp
import grpc.aio  # type: ignore[import-untyped]  # ships no types
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)

from benchmarks.mesh_files import NAMESPACE, write_mesh
from benchmarks.process_stat import usage_of
from benchmarks.result import Result
from xds_server.lab.process import run_child
from xds_server.lab.scenario import free_port
from xds_server.xds import CLUSTER, ENDPOINT

SERVICES = 10_000
ENDPOINTS = 10
OURS = f"{NAMESPACE}/"
"""What the names of the mesh begin with; an API server has a Service of its own."""
PATIENCE = timedelta(minutes=2)
METHOD = (
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
)
READ = {
    "yaml": "import pathlib, sys, yaml\n"
    "for f in pathlib.Path(sys.argv[1]).iterdir():\n"
    "    for _ in yaml.load_all(f.read_bytes(), Loader=yaml.CSafeLoader): pass",
    "json": "import pathlib, sys, msgspec\n"
    "for f in pathlib.Path(sys.argv[1]).iterdir(): msgspec.json.decode(f.read_bytes())",
}


async def measure() -> list[Result]:
    """Measure both formats."""
    return [result for suffix in READ for result in await _measure(suffix)]


async def _measure(suffix: str) -> list[Result]:
    with tempfile.TemporaryDirectory() as name:
        (manifests := Path(name) / "manifests").mkdir()
        write_mesh(manifests, services=SERVICES, endpoints=ENDPOINTS, suffix=suffix)
        start = perf_counter()
        reader = await asyncio.create_subprocess_exec(
            sys.executable, "-c", READ[suffix], str(manifests)
        )
        await reader.wait()
        baseline = perf_counter() - start
        xds, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        command = [
            *(sys.executable, "-m", "xds_server", "serve", str(manifests)),
            *("--xds-address", xds, "--admin-address", admin, "--log-level", "error"),
        ]
        start = perf_counter()
        async with run_child("xds-server", command, Path(name) / "log") as child:
            await child.wait_for(partial(is_ready, admin), "readiness", PATIENCE)
            async with complete(xds, SERVICES):
                elapsed = perf_counter() - start
            peak = usage_of(child.process.pid).peak / 1e6
    what = f"{SERVICES:,} Services x {ENDPOINTS} from {suffix.upper()}"
    return [
        Result(
            what=f"{what}: first complete answer",
            measured=f"{elapsed:.1f} s",
            aim="< 10 s",
            baseline=f"only reading the files: {baseline:.1f} s",
            ratio=elapsed / baseline,
        ),
        Result(what=f"{what}: peak RSS", measured=f"{peak:.0f} MB", aim="< 1 GB"),
    ]


async def is_ready(admin: str) -> bool:
    """Whether the server says so: before, it ends every stream."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://{admin}/readyz") as answer:
                return answer.status == HTTPStatus.OK
        except aiohttp.ClientConnectionError:
            return False


@asynccontextmanager
async def complete(address: str, services: int) -> AsyncIterator[None]:
    """Yield when one client of a ready server has all clusters and assignments."""
    async with follow(address, CLUSTER, ENDPOINT) as responses:
        lacking = {CLUSTER: services, ENDPOINT: services}
        async for response in responses:
            names = (each.name for each in response.resources)
            lacking[response.type_url] -= sum(each.startswith(OURS) for each in names)
            if not any(lacking.values()):
                break
        yield


@asynccontextmanager
async def follow(
    address: str, *types: str
) -> AsyncIterator[AsyncIterator[DeltaDiscoveryResponse]]:
    """Yield what a client is sent that asks for everything; it acknowledges all."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call = channel.stream_stream(METHOD)()
        for type_url in types:
            request = DeltaDiscoveryRequest(
                node=Node(id="benchmark"),
                type_url=type_url,
                resource_names_subscribe=["*"],
            )
            await call.write(request.SerializeToString())
        yield _responses(call)
        call.cancel()


async def _responses(
    call: grpc.aio.StreamStreamCall,
) -> AsyncIterator[DeltaDiscoveryResponse]:
    while True:
        message = await call.read()
        if message is grpc.aio.EOF:
            reason = f"the stream ended: {await call.details()}"
            raise EOFError(reason)
        response = DeltaDiscoveryResponse.FromString(message)
        answer = DeltaDiscoveryRequest(
            type_url=response.type_url, response_nonce=response.nonce
        )
        await call.write(answer.SerializeToString())
        yield response
