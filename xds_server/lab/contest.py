"""Load balancers side by side: the same servers, the same load, at the same time.

Contenders (policies) and what the servers can do in; what clients of each had to wait,
and which server served whom, out. Each contender is a Service with servers of its own,
which are alike; one xds-server and one Envoy serve all, so what disturbs one disturbs
the others.
"""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from xds_server.lab.cache import Cache
from xds_server.lab.mesh_files import read_mesh
from xds_server.lab.open_loop import Answer, Figures, figures_of, send_steadily
from xds_server.lab.pace import Pace
from xds_server.lab.rig import Stand, run_rig
from xds_server.lab.traffic import Request

_NAMESPACE: Final = "contest"

Spec = Mapping[str, object]
Change = Callable[[Pace], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A policy by its `spec`, without `targetRefs`; `name` is a DNS label."""

    name: str
    spec: Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What one server can do: see `Pace`, and with a `cache_size` `Cache`."""

    service_time: float
    workers: int = 1
    error_share: float = 0.0
    cache_size: int = 0
    hit_speedup: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """How one contender did for a while; `shares` are those of the servers in order."""

    figures: Figures
    shares: tuple[float, ...]
    answers: tuple[Answer, ...]


class Contest:
    """A running contest: load it for a while, change servers, load it again."""

    def __init__(
        self,
        stands: Iterable[Stand],
        randomness: random.Random,
        rate: float,
        make_request: Callable[[], Request],
    ) -> None:
        self._stands = {stand.upstream.service: stand for stand in stands}
        self._randomness = randomness
        self._rate = rate
        self._make_request = make_request

    def change(self, position: int, change: Change) -> None:
        """Do *change* to the pace of the server at *position*, of every contender."""
        for stand in self._stands.values():
            pace = stand.backends[position].pace
            assert pace is not None  # noqa: S101 - each server has one
            change(pace)

    def servers(self, contender: str) -> tuple[str, ...]:
        """Return what the servers of a contender call themselves, in order."""
        return tuple(str(each.address) for each in self._stands[contender].backends)

    async def run(self, seconds: float) -> Mapping[str, Stretch]:
        """Load all contenders for so many *seconds*; return how each did."""
        async with asyncio.TaskGroup() as tasks:
            loads = {
                name: tasks.create_task(self._load(stand, seconds), name=name)
                for name, stand in self._stands.items()
            }
        return {name: load.result() for name, load in loads.items()}

    async def _load(self, stand: Stand, seconds: float) -> Stretch:
        answers = await send_steadily(
            stand.target, self._rate, seconds, self._randomness, self._make_request
        )
        figures = figures_of(answers)
        shares = (figures.shares.get(str(each.address), 0.0) for each in stand.backends)
        return Stretch(figures=figures, shares=tuple(shares), answers=tuple(answers))


@asynccontextmanager
async def run_contest(
    contenders: Sequence[Contender],
    servers: Sequence[Server],
    *,
    rate: float,
    seed: int,
    envoy: Path,
    make_request: Callable[[], Request] = Request,
) -> AsyncIterator[Contest]:
    """Start everything; *rate* is how many requests a second each contender gets.

    Raises:
        InvalidDocumentsError: A contender's policy is not valid.
        LabError: Something does not start.
    """
    randomness = random.Random(seed)  # noqa: S311 - reproducible
    with tempfile.TemporaryDirectory(prefix="xds-server-contest-") as folder:
        home = Path(folder)
        for number, contender in enumerate(contenders):
            objects = _objects(contender, number, len(servers))
            file = home / f"{contender.name}.yaml"
            file.write_text(yaml.safe_dump_all(objects))
        documents, services = await asyncio.to_thread(read_mesh, [home])
        upstreams = [upstream for each in services for upstream in each.upstreams]
        async with run_rig(documents, upstreams, envoy) as rig:
            for stand in rig.stands:
                for backend, server in zip(stand.backends, servers, strict=True):
                    backend.pace = _pace(server, randomness)
                    backend.cache = _cache(server)
            yield Contest(rig.stands, randomness, rate, make_request)


def _pace(server: Server, randomness: random.Random) -> Pace:
    return Pace(
        randomness=randomness,
        service_time=server.service_time,
        workers=server.workers,
        error_share=server.error_share,
    )


def _cache(server: Server) -> Cache | None:
    if not server.cache_size:
        return None
    return Cache(size=server.cache_size, speedup=server.hit_speedup)


def addresses_of(number: int, endpoints: int) -> tuple[str, ...]:
    """Return how the endpoints of a contender are called, in its policy, too.

    *number* is its position among all.
    """
    return tuple(f"10.9.{number}.{host + 1}" for host in range(endpoints))


def _objects(contender: Contender, number: int, endpoints: int) -> list[object]:
    """Return a contender as manifests; its endpoints have addresses of their own."""
    name = {"namespace": _NAMESPACE, "name": contender.name}
    target = {"kind": "Service", "name": contender.name}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": name,
            "spec": {"ports": [{"name": "http", "port": 80}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                **name,
                "labels": {"kubernetes.io/service-name": contender.name},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {"addresses": [each]} for each in addresses_of(number, endpoints)
            ],
        },
        {
            "apiVersion": "traffic.xds-server.dev/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": name,
            "spec": {"targetRefs": [target], **contender.spec},
        },
    ]
