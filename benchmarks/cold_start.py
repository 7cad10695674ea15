"""10,000 Services x 10 endpoints from files: when does a sidecar have everything?

Measured from the start of the process until a delta client has every cluster and every
assignment. Baseline: PyYAML's C loader (or msgspec for JSON) reading the same files and
doing nothing with them.
"""

import asyncio
import sys
import tempfile
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

from benchmarks.mesh_files import write_mesh
from benchmarks.result import Result
from xds_server.lab.process import run_child
from xds_server.lab.scenario import free_port
from xds_server.xds import CLUSTER, ENDPOINT

SERVICES = 10_000
ENDPOINTS = 10
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
            await child.wait_for(partial(_is_ready, admin), "readiness", PATIENCE)
            await _complete(xds)
            elapsed = perf_counter() - start
            peak = _peak_memory(child.process.pid)
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


async def _is_ready(admin: str) -> bool:
    """Whether the server says so: before, it ends every stream."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://{admin}/readyz") as answer:
                return answer.status == HTTPStatus.OK
        except aiohttp.ClientConnectionError:
            return False


async def _complete(address: str) -> None:
    """Return when one client of a ready server has all clusters and assignments."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        await _subscribe(channel.stream_stream(METHOD)())


async def _subscribe(call: grpc.aio.StreamStreamCall) -> None:
    lacking = {CLUSTER: SERVICES, ENDPOINT: SERVICES}
    for type_url in lacking:
        request = DeltaDiscoveryRequest(
            node=Node(id="benchmark"),
            type_url=type_url,
            resource_names_subscribe=["*"],
        )
        await call.write(request.SerializeToString())
    while any(lacking.values()):
        message = await call.read()
        if message is grpc.aio.EOF:
            reason = f"the stream ended: {await call.details()}"
            raise EOFError(reason)
        response = DeltaDiscoveryResponse.FromString(message)
        lacking[response.type_url] -= len(response.resources)
        answer = DeltaDiscoveryRequest(
            type_url=response.type_url, response_nonce=response.nonce
        )
        await call.write(answer.SerializeToString())
    call.cancel()


def _peak_memory(process: int) -> float:
    """Return the peak resident set of *process* in megabytes (proc(5), VmHWM)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
