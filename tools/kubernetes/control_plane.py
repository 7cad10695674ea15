"""A real Kubernetes control plane on loopback: etcd, API server and controllers.

In: the programs that `make kubernetes` builds and an empty folder. Out: a kubeconfig
of an administrator, and each program, which a test may kill, pause and start again on
the same data and ports. No kubelet and no scheduler: nothing runs a Pod, so whoever
uses it says by the status subresource what became of it.
"""

import asyncio
import base64
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import yaml
from kubernetes.aio.client.exceptions import ApiException

from tools.kubernetes.client import Client, Json, connect
from xds_server.lab.process import Child, run_child
from xds_server.lab.scenario import free_port

START_TIMEOUT: Final = timedelta(seconds=60)
CONTROLLERS: Final = (
    "deployment-controller",  # Deployments to ReplicaSets
    "endpointslice-controller",  # Services and Pods to EndpointSlices
    "garbage-collector-controller",  # a Service's slices go with it
    "namespace-controller",  # what is in a namespace goes with it
    "replicaset-controller",  # ReplicaSets to Pods
    "serviceaccount-controller",  # a Pod needs its namespace's account
)
_HOST: Final = "127.0.0.1"
_WRITERS: Final = 20


class _Identity(msgspec.Struct, frozen=True):
    namespace: str
    name: str


class _Header(msgspec.Struct, frozen=True):
    revision: str


class _Answer(msgspec.Struct, frozen=True):
    header: _Header


class _Stored(msgspec.Struct, frozen=True):
    metadata: _Identity


@dataclass(kw_only=True)
class Program:
    """One program of the control plane; each run writes a log of its own."""

    command: Sequence[str | Path]
    folder: Path
    is_ready: Callable[[], Awaitable[bool]]
    runs: int = 0
    child: Child | None = None
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def name(self) -> str:
        """The program's file name."""
        return Path(self.command[0]).name

    @property
    def is_running(self) -> bool:
        """Whether the program was started and not ended since."""
        return self.child is not None and self.child.process.returncode is None

    async def start(self) -> None:
        """Start the program; return when it is ready."""
        self.runs += 1
        log = self.folder / f"{self.name}-{self.runs}.log"
        child = await self._running.enter_async_context(
            run_child(self.name, self.command, log)
        )
        self.child = child
        await child.wait_for(self.is_ready, "readiness", START_TIMEOUT)

    async def kill(self) -> None:
        """End the program at once, as a crash does."""
        if self.child is not None and self.is_running:
            self.child.process.kill()
            await self.child.process.wait()
        await self.stop()

    async def stop(self) -> None:
        """Ask the program to end, and wait until it has."""
        await self._running.aclose()

    def pause(self) -> None:
        """Let the program answer nothing, its connections open, until `resume`."""
        self._signal(signal.SIGSTOP)
        if self.child is not None and self.is_running:
            # The signal is on its way: its threads may still answer.
            os.waitid(os.P_PID, self.child.process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused program go on; one that runs is left as it is."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.child is not None and self.is_running:
            self.child.process.send_signal(number)


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """The running programs, in the order in which they start."""

    etcd: Program
    api_server: Program
    controllers: Program
    kubeconfig: Path
    etcd_address: str
    _etcd: aiohttp.ClientSession

    @property
    def programs(self) -> tuple[Program, ...]:
        """All programs; each needs those before it."""
        return (self.etcd, self.api_server, self.controllers)

    async def restore(self) -> None:
        """Start what was killed and resume what was paused.

        The controllers start anew: after an outage they come back in their own time,
        up to a minute later.
        """
        for program in self.programs:
            program.resume()
        await self.controllers.kill()
        for program in self.programs:
            if not program.is_running:
                await program.stop()
                await program.start()

    async def compact(self, revision: int) -> None:
        """Let etcd forget everything before *revision*: a resource version.

        The API server does so every five minutes. It answers from its own cache as
        long as that reaches back far enough: restart it to see `410 Gone`.
        """
        await self._ask_etcd(
            "compaction", {"revision": str(revision), "physical": True}
        )

    async def revision(self) -> int:
        """Return how far etcd is: the resource version of its last change."""
        answer = await self._ask_etcd("range", {"key": _base64("nothing")})
        return int(msgspec.json.decode(answer, type=_Answer).header.revision)

    async def store(self, folder: str, objects: Iterable[Json]) -> None:
        """Put *objects* straight into etcd, in JSON and as they are, in any order.

        That is ten times as fast as the API server. *folder* is where it keeps objects
        of their kind. Each is a transaction of its own, as it would be there: of one
        with several, a watch that goes on within it would miss the rest.
        """
        waiting = iter(objects)

        async def work() -> None:
            for each in waiting:
                metadata = msgspec.convert(each, _Stored).metadata
                key = f"/registry/{folder}/{metadata.namespace}/{metadata.name}"
                put = {"key": _base64(key), "value": _base64(json.dumps(each))}
                await self._ask_etcd("put", put)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_WRITERS):
                tasks.create_task(work())

    async def _ask_etcd(self, what: str, body: Json) -> bytes:
        url = f"{self.etcd_address}/v3/kv/{what}"
        async with self._etcd.post(url, json=body) as answer:
            answer.raise_for_status()
            return await answer.read()


@asynccontextmanager
async def run_control_plane(
    programs: Path, folder: Path
) -> AsyncIterator[ControlPlane]:
    """Run the *programs* on data in *folder*; yield when all are ready."""
    etcd_address = f"http://{_HOST}:{free_port()}"
    port = free_port()
    token = secrets.token_hex(16)
    kubeconfig = folder / "admin.kubeconfig"
    certificates = folder / "certificates"
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")

    async def api_server_is_ready() -> bool:
        certificate = certificates / "apiserver.crt"
        if not certificate.exists():
            return False
        write_kubeconfig(kubeconfig, f"https://{_HOST}:{port}", certificate, token)
        async with connect(kubeconfig) as client:
            return await is_ready(client)

    async def controllers_are_ready() -> bool:
        async with connect(kubeconfig) as client:
            path = "/api/v1/namespaces/default/serviceaccounts/default"
            return await client.exists(path)

    async with aiohttp.ClientSession() as etcd, AsyncExitStack() as stack:
        plane = ControlPlane(
            etcd=Program(
                command=[programs / "etcd", *_etcd_flags(folder, etcd_address)],
                folder=folder,
                is_ready=lambda: _etcd_is_ready(etcd_address),
            ),
            api_server=Program(
                command=[
                    programs / "kube-apiserver",
                    *_api_server_flags(folder, certificates, port, etcd_address),
                ],
                folder=folder,
                is_ready=api_server_is_ready,
            ),
            controllers=Program(
                command=[
                    programs / "kube-controller-manager",
                    *_controller_flags(kubeconfig),
                ],
                folder=folder,
                is_ready=controllers_are_ready,
            ),
            kubeconfig=kubeconfig,
            etcd_address=etcd_address,
            _etcd=etcd,
        )
        for program in plane.programs:
            stack.push_async_callback(program.stop)
            await program.start()
        yield plane


async def is_ready(client: Client) -> bool:
    """Whether the API server's `/readyz` says so."""
    try:
        return await client.get("/readyz") == b"ok"
    except (aiohttp.ClientError, ApiException):
        return False


def write_kubeconfig(file: Path, server: str, certificate: Path, token: str) -> None:
    """Write a kubeconfig of one context, which needs no other file."""
    authority = base64.b64encode(certificate.read_bytes()).decode()
    cluster = {"server": server, "certificate-authority-data": authority}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [
            {"name": "tests", "context": {"cluster": "tests", "user": "admin"}}
        ],
    }
    file.write_text(yaml.safe_dump(document))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def _etcd_is_ready(address: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{address}/readyz") as answer,
        ):
            return answer.status == HTTPStatus.OK
    except aiohttp.ClientConnectionError:
        return False


def _etcd_flags(folder: Path, address: str) -> list[str]:
    peer = f"http://{_HOST}:{free_port()}"
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={address}",
        f"--advertise-client-urls={address}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # nobody takes the power from a test
        "--log-level=warn",
    ]


def _api_server_flags(
    folder: Path, certificates: Path, port: int, etcd: str
) -> list[str]:
    # The API server makes its certificate and key when it first starts, before it
    # reads the keys that sign the tokens of service accounts.
    key = certificates / "apiserver.key"
    return [
        f"--etcd-servers={etcd}",
        f"--bind-address={_HOST}",
        f"--secure-port={port}",
        f"--cert-dir={certificates}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
        "--endpoint-reconciler-type=none",  # loopback may not be an endpoint
    ]


def _controller_flags(kubeconfig: Path) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]
