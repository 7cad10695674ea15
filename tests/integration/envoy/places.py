"""A Service whose endpoints run in different places, and Envoys that do, too.

Sections of a policy in; who served what each Envoy asked for out. Backends answer with
their addresses; those of a place can be cut off, and come back.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.envoy.world import (
    LOOPBACK,
    Client,
    Json,
    Server,
    run_client,
    run_server,
    until,
)
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import AnswerError
from xds_server.mesh.model import Protocol

_EACH = 20


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where an endpoint runs, and the labels of its Pod."""

    zone: str = ""
    region: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def zones(names: str) -> list[Spot]:
    """Return a spot in the zone of each letter."""
    return [Spot(zone=name) for name in names]


@dataclass(kw_only=True)
class World:
    """A running server, backends at spots, and Envoys by the names of theirs."""

    home: Path
    backends: tuple[Backend, ...]
    spots: Sequence[Spot]
    server: Server
    stack: AsyncExitStack
    clients: dict[str, Client] = field(default_factory=dict)
    running: dict[str, AsyncExitStack] = field(default_factory=dict)

    async def add_client(self, name: str, *told: str, mode: str = "delta") -> Client:
        """Run an Envoy whose bootstrap is *told* these flags, until it is answered."""
        folder = self.home / name
        folder.mkdir()
        client = await self.stack.enter_async_context(
            run_client(folder, self.server.xds, mode, told=told)
        )
        await until(client.answers)
        self.clients[name] = client
        return client

    def write(
        self,
        sections: Json,
        *,
        only: Collection[int] | None = None,
        distribution: str | None = None,
        peers: Sequence[Spot] = (),
        **others: Json,
    ) -> None:
        """Write the Service, *only* with these endpoints, and a policy with *sections*.

        *peers* are where the endpoints of the Service `front` are, to which clients may
        belong. *others* are more policies' `spec`, by their names.
        """
        numbers = range(len(self.spots)) if only is None else only
        own: Json = {"targetRefs": [{"kind": "Service", "name": "web"}], **sections}
        objects = [
            *_service("web", distribution),
            self._slice(numbers),
            *(self._pod(number) for number in numbers),
            *(_node(f"n{each}", self.spots[each]) for each in numbers),
            *(_front(peers) if peers else ()),
            *(_policy(name, spec) for name, spec in {"web": own, **others}.items()),
        ]
        # Renamed into place: half a file would be a version, too.
        (new := self.home / "mesh.new").write_text(
            "\n---\n".join(map(json.dumps, objects))
        )
        new.rename(self.home / "mesh" / "mesh.yaml")

    def _slice(self, numbers: Collection[int]) -> Json:
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": "shop",
                "name": "web-1",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": self.backends[0].address.port}],
            "endpoints": [
                {
                    "addresses": [self.backends[number].address.ip],
                    "nodeName": f"n{number}",
                    "targetRef": {"kind": "Pod", "name": f"web-{number}"},
                }
                for number in numbers
            ],
        }

    def _pod(self, number: int) -> Json:
        labels = dict(self.spots[number].labels)
        metadata = {"namespace": "shop", "name": f"web-{number}", "labels": labels}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}

    def addresses(self, *numbers: int) -> frozenset[Address]:
        """Return those of some backends."""
        return frozenset(self.backends[each].address for each in numbers)

    async def shares(self, client: str, number: int) -> list[int]:
        """Return how many of *number* requests each backend served, by its number."""
        found = await self.clients[client].shares(number)
        return [found[str(backend.address)] for backend in self.backends]

    async def until_served(self, client: str, *numbers: int) -> None:
        """Return when the backends of these *numbers* serve *client* in equal parts."""
        names = [str(self.backends[each].address) for each in numbers]
        expected = Counter(dict.fromkeys(names, _EACH))

        async def holds() -> bool:
            try:
                return await self.clients[client].shares(_EACH * len(names)) == expected
            except AnswerError:
                return False

        await until(holds)

    async def kill(self, zone: str) -> None:
        """Let no backend of *zone* answer or accept anything any more."""
        await self.running.pop(zone).aclose()

    async def revive(self, zone: str) -> None:
        """Let the backends of *zone* listen."""
        self.running[zone] = stack = AsyncExitStack()
        await stack.enter_async_context(
            serve_backends(
                backend
                for backend, spot in zip(self.backends, self.spots, strict=True)
                if spot.zone == zone
            )
        )


def _node(name: str, spot: Spot) -> Json:
    prefix = "topology.kubernetes.io"
    places = {f"{prefix}/zone": spot.zone, f"{prefix}/region": spot.region}
    labels = {key: value for key, value in places.items() if value}
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


def _front(peers: Sequence[Spot]) -> list[Json]:
    """Return the Service `front`, of which nobody listens: it is only counted."""
    return [
        *_service("front", None),
        *(_node(f"f{number}", spot) for number, spot in enumerate(peers)),
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": "shop",
                "name": "front-1",
                "labels": {"kubernetes.io/service-name": "front"},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 80}],
            "endpoints": [
                {"addresses": [f"127.0.14.{number + 1}"], "nodeName": f"f{number}"}
                for number in range(len(peers))
            ],
        },
    ]


def _service(name: str, distribution: str | None) -> list[Json]:
    near = {"trafficDistribution": distribution} if distribution else {}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": "shop", "name": name},
            "spec": {"ports": [{"name": "http", "port": 80}], **near},
        }
    ]


def _policy(name: str, spec: Json) -> Json:
    return {
        "apiVersion": "traffic.xds-server.dev/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": {"namespace": "shop", "name": name},
        "spec": spec,
    }


@asynccontextmanager
async def run_world(
    home: Path, spots: Sequence[Spot], sections: Json
) -> AsyncIterator[World]:
    """Run the server, a backend at each of *spots*, and no Envoy yet."""
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    port = free_port()
    (folder := home / "mesh").mkdir()
    (folder / "empty.yaml").write_text("")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            run_server([folder], home / "server.log", xds=xds, admin=admin)
        )
        world = World(
            home=home,
            backends=tuple(
                Backend(
                    address=Address(f"127.0.13.{number + 1}", port),
                    protocol=Protocol.HTTP1,
                )
                for number in range(len(spots))
            ),
            spots=spots,
            server=server,
            stack=stack,
        )
        for zone in {spot.zone for spot in spots}:
            await world.revive(zone)
        world.write(sections)
        try:
            yield world
        finally:
            for each in world.running.values():
                await each.aclose()
