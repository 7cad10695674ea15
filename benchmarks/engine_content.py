"""What our engine serves in the engine benchmarks: all that touches its API is here.

In: how much there is, and which resource changes. Out: a snapshot to serve, and what
each node sees in it.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.engine_resource import UNCHANGED, build_assignment, build_cluster
from xds_server.serve.grpc_server import XdsServer
from xds_server.serve.node import Node
from xds_server.snapshot.table import Table
from xds_server.snapshot.view import Snapshot, Update, View
from xds_server.xds import CLUSTER, ENDPOINT, Resource

OWN_EVERY: Final = 10
"""One in so many clusters a node has to itself, where nodes see different things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A new version of one resource."""

    type_url: str
    number: int
    stamp: int


class Content:
    """A snapshot, and the views of its nodes; also the server's `ViewDirectory`."""

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._clusters: dict[str, Table] = {}  # by owner; "" where all see the same
        self._assignments = Table(ENDPOINT)
        self._endpoints = 0

    @asynccontextmanager
    async def listening(self, address: str) -> AsyncIterator[str]:
        """Serve on *address* inside the block; yield the bound address."""
        server = XdsServer(snapshot=self._snapshot, directory=self)
        async with server.listening(address) as bound:
            yield bound

    def acquire(self, node: Node) -> View:
        """Return what *node* sees."""
        table = self._clusters.get(node.id) or self._clusters[""]
        return View((table, self._assignments))

    def release(self, node: Node) -> None:
        """Do nothing: what nodes see is kept."""

    def populate(self, *, clusters: int, endpoints: int, views: int) -> None:
        """Fill the snapshot, once, and declare it ready."""
        self._endpoints = endpoints
        owners = [f"node-{view}" for view in range(views)] or [""]
        self._clusters = {owner: Table(CLUSTER) for owner in owners}
        types = (CLUSTER, ENDPOINT) if endpoints else (CLUSTER,)
        self.apply(
            Change(type_url=type_url, number=number, stamp=UNCHANGED)
            for type_url in types
            for number in range(clusters)
        )
        self._snapshot.declare_ready()

    def apply(self, changes: Iterable[Change]) -> None:
        """Publish *changes* together."""
        clusters: dict[Table, list[Resource]] = {}
        assignments: list[Resource] = []
        for change in changes:
            if change.type_url == ENDPOINT:
                assignments.append(
                    build_assignment(
                        change.number, endpoints=self._endpoints, stamp=change.stamp
                    )
                )
                continue
            for table, cluster in self._build_clusters(change):
                clusters.setdefault(table, []).append(cluster)
        updates = [
            Update(table=table, applied=tuple(applied))
            for table, applied in clusters.items()
        ]
        if assignments:
            updates.append(Update(table=self._assignments, applied=tuple(assignments)))
        self._snapshot.publish(updates)

    def _build_clusters(self, change: Change) -> Iterator[tuple[Table, Resource]]:
        shared = build_cluster(change.number, stamp=change.stamp)
        for owner, table in self._clusters.items():
            if owner and change.number % OWN_EVERY == 0:
                yield (
                    table,
                    build_cluster(change.number, owner=owner, stamp=change.stamp),
                )
            else:
                yield table, shared
