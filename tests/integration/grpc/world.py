"""A running server with a real gRPC client and real gRPC backends.

Documents in, in the folder of a `Mesh` that the server follows; who answered each call,
and what the server says of itself, out. Backends answer with their own address.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types
from typer.testing import CliRunner
from xds.data.orca.v3 import orca_load_report_pb2

from tests.integration.envoy.world import (
    LOOPBACK,
    Json,
    Mesh,
    Server,
    run_server,
    until,
)
from xds_server.cli import cli
from xds_server.lab.backend import Address, Backend
from xds_server.lab.scenario import free_port
from xds_server.mesh.model import Protocol

CALLER = Path(__file__).with_name("caller.py")
WEB = "xds:///web.shop:80"
LOAD_TRAILER = "endpoint-load-metrics-bin"
"""Where gRPC looks for a load report (gRFC A51)."""

Metadata = tuple[tuple[str, str], ...]


class Who(grpc.GenericRpcHandler):  # type: ignore[misc]  # ships no types
    """Answers every call with the address of its backend, and reports its load."""

    def __init__(self, backend: Backend) -> None:
        self._answer = str(backend.address).encode()
        self._trailer: tuple[tuple[str, bytes], ...] = ()
        if backend.load:
            report = orca_load_report_pb2.OrcaLoadReport(
                rps_fractional=backend.load["rps_fractional"],
                cpu_utilization=backend.load["cpu_utilization"],
            )
            self._trailer = ((LOAD_TRAILER, report.SerializeToString()),)

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return how any method is handled."""
        return grpc.unary_unary_rpc_method_handler(self._who)

    async def _who(self, _: bytes, call: grpc.aio.ServicerContext) -> bytes:
        call.set_trailing_metadata(self._trailer)
        return self._answer


@asynccontextmanager
async def run_backend(backend: Backend) -> AsyncIterator[None]:
    """Serve *backend* until the context ends."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Who(backend),))
    server.add_insecure_port(str(backend.address))
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


@dataclass(kw_only=True)
class Caller:
    """A client process; it answers one order after the other.

    Who stops waiting leaves an answer unread, which is nobody else's.
    """

    process: asyncio.subprocess.Process
    unread: int = 0

    async def call(
        self,
        metadata: Iterable[Metadata],
        *,
        target: str = WEB,
        timeout: timedelta = timedelta(seconds=10),  # noqa: ASYNC109 - of each call
        is_fresh: bool = False,
    ) -> list[str]:
        """Return who answered a call with each of *metadata*, or the call's error."""
        order = {
            "target": target,
            "metadata": tuple(metadata),
            "timeout": timeout.total_seconds(),
            "is_fresh": is_fresh,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.unread += 1
        line = b""
        while self.unread:
            line = await self.process.stdout.readline()
            self.unread -= 1
        answers: list[str] = json.loads(line)
        return answers

    async def times(self, number: int, *, target: str = WEB) -> list[str]:
        """Return who answered each of *number* calls."""
        return await self.call([()] * number, target=target)


@asynccontextmanager
async def run_caller(
    home: Path, xds: Address, *, namespace: str = "default", zone: str = ""
) -> AsyncIterator[Caller]:
    """Run a client whose bootstrap is what `xds-server bootstrap` prints."""
    flags = ["--client", "grpc", "--node-id", "caller", "--namespace", namespace]
    flags += ["--zone", zone]
    printed = CliRunner().invoke(
        cli, ["bootstrap", *flags, "--xds-address", str(xds)], catch_exceptions=False
    )
    with (home / "caller.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(CALLER)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            limit=2**24,
            env={**os.environ, "GRPC_XDS_BOOTSTRAP_CONFIG": printed.stdout},
        )
    assert process.stdin is not None
    try:
        yield Caller(process=process)
    finally:
        process.stdin.close()
        await process.wait()


@dataclass(kw_only=True)
class World:
    """A mesh, the server that follows it, and a client; backends can be stopped."""

    home: Path
    mesh: Mesh
    server: Server
    caller: Caller
    backends: Mapping[str, AsyncExitStack] = field(default_factory=dict)

    async def stop_backend(self, name: str) -> None:
        """Stop the backend that answers with *name*."""
        await self.backends[name].aclose()

    async def serve(
        self, load_balancer: Json, sign: Callable[[list[str]], bool]
    ) -> None:
        """Write a policy; return when 50 calls show *sign*, which it alone can do."""
        self.mesh.write_policy(load_balancer)

        async def is_seen() -> bool:
            return sign(await self.caller.times(50))

        await until(is_seen)

    async def settle(self) -> None:
        """Return when each endpoint of the Service has answered."""
        seen: set[str] = set()

        async def are_all_seen() -> bool:
            seen.update(await self.caller.times(20))
            return seen.issuperset(self.mesh.names)

        await until(are_all_seen)

    async def accepted(self, kind: str) -> str | None:
        """Return the version of a type that the client has acknowledged."""
        nodes = (await self.server.status()).nodes
        return nodes[0].types[kind].acknowledged_version if nodes else None

    async def warnings(self) -> list[str]:
        """Return the messages of all `Warnings` conditions."""
        return [
            condition.message
            for policy in (await self.server.status()).policies
            for target in policy.targets
            for condition in target.conditions
            if condition.type == "Warnings"
        ]


@asynccontextmanager
async def run_world(
    home: Path,
    load_balancer: Json,
    *,
    loads: Sequence[Mapping[str, float]] = ({}, {}, {}),
    namespace: str = "default",
    zones: Sequence[str] = (),
    zone: str = "",
) -> AsyncIterator[World]:
    """Run everything: one backend for each of *loads*, its load reports.

    They are in *zones*, and the client, which has not called anything yet, in *zone*.
    """
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    port = free_port()
    backends = tuple(
        Backend(
            address=Address(f"127.0.9.{number}", port),
            protocol=Protocol.HTTP2,
            load=load,
        )
        for number, load in enumerate(loads, start=1)
    )
    (folder := home / "mesh").mkdir()
    mesh = Mesh(folder=folder, backends=backends, zones=zones)
    mesh.write_service()
    mesh.write_policy(load_balancer)
    async with AsyncExitStack() as stack:
        running = {str(backend.address): AsyncExitStack() for backend in backends}
        for backend, its in zip(backends, running.values(), strict=True):
            await stack.enter_async_context(its)
            await its.enter_async_context(run_backend(backend))
        server = await stack.enter_async_context(
            run_server([folder], home / "server.log", xds=xds, admin=admin)
        )
        caller = await stack.enter_async_context(
            run_caller(home, xds, namespace=namespace, zone=zone)
        )
        yield World(
            home=home, mesh=mesh, server=server, caller=caller, backends=running
        )
