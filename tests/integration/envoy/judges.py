"""Two Envoys that judge what is in a file: they have it all, and do not complain."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from tests.fuzz.meshes import ZONES, Mesh
from tests.fuzz.written import LABELS
from tests.integration.envoy.world import (
    LOOPBACK,
    Client,
    Server,
    run_client,
    run_server,
)
from xds_server.lab.backend import Address
from xds_server.lab.scenario import free_port
from xds_server.mesh.index import Index
from xds_server.mesh.model import Section
from xds_server.sources.files import read_once
from xds_server.translate.cluster import try_patch
from xds_server.translate.name import cluster_name

PATIENCE: Final = timedelta(seconds=90)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What Envoys have: clusters, accepted policies, and sections that are in force."""

    clusters: frozenset[str]
    policies: int
    sections: frozenset[Section]


@dataclass(frozen=True, kw_only=True)
class Judges:
    """Two Envoys, which follow the documents in a *file*."""

    file: Path
    server: Server
    clients: Sequence[Client]

    async def judge(self, batch: Sequence[Mesh]) -> Verdict:
        """Return what is in force of *batch*: the Envoys have it all.

        Raises:
            AssertionError: an Envoy refuses something, or complains.
        """
        manifests = [each for mesh in batch for each in mesh.manifests]
        written = self.file.with_suffix(".new")
        written.write_text("\n---\n".join(map(json.dumps, manifests)))
        written.rename(self.file)
        expected = resolve(self.file)
        for client in self.clients:

            async def has_all(client: Client = client) -> bool:
                await self._expect_no_complaint()
                return await clusters_of(client) == expected.clusters

            await client.envoy.child.wait_for(has_all, "every cluster", PATIENCE)
        await self.server.child.wait_for(self._is_settled, "every answer", PATIENCE)
        await self._expect_no_complaint()
        return expected

    async def _is_settled(self) -> bool:
        states = [
            state.state
            for node in (await self.server.status()).nodes
            for state in node.types.values()
        ]
        return set(states) == {"Acknowledged"}

    async def _expect_no_complaint(self) -> None:
        status = await self.server.status()
        refused = [
            f"{', '.join(each.owners)}: {each.message}"
            for node in status.nodes
            for state in node.types.values()
            for each in state.rejected
        ]
        untold = [
            each.message for each in status.problems if "cannot be sent" in each.message
        ]
        complaints = [*refused, *untold]
        for client in self.clients:
            complaints += client.envoy.child.log.read_text().splitlines()
        assert not complaints, "\n".join([*complaints, self.file.read_text()])


async def clusters_of(client: Client) -> frozenset[str]:
    """Return the names of the clusters that an Envoy has of us, and in force."""
    return frozenset(name for name in await client.envoy.hosts() if "/" in name)


def resolve(file: Path) -> Verdict:
    """Return what *file* asks for, and what of it is in force."""
    index = Index(try_out=try_patch)
    index.apply(read_once([file]).events)
    upstreams = [
        each
        for service in index.services.values()
        for upstream in service.upstreams
        for each in (upstream, *(variant.upstream for variant in upstream.variants))
    ]
    return Verdict(
        clusters=frozenset(map(cluster_name, upstreams)),
        policies=sum(each.accepted for each in index.statuses.values()),
        sections=frozenset(o.section for each in upstreams for o in each.origins),
    )


@asynccontextmanager
async def run_judges(home: Path) -> AsyncIterator[Judges]:
    """Run a server, and an Envoy of each mode, role, place and group of clients."""
    file = home / "mesh.yaml"
    file.write_text("")
    xds, admin = Address(LOOPBACK, free_port()), Address(LOOPBACK, free_port())
    label = f"version={LABELS['version'][0]}"
    async with (
        run_server([file], home / "server.log", xds=xds, admin=admin) as server,
        run_client(home, xds, "delta", zone=ZONES[0], label=label) as sidecar,
        run_client(home, xds, "sotw", role="gateway") as gateway,
    ):
        yield Judges(file=file, server=server, clients=(sidecar, gateway))
