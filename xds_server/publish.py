"""From the mesh to the snapshot: what changed is translated and published, no more.

In: the names of Services that changed, and nodes that come and go. Out: updated tables.
All nodes share the tables of clusters and assignments. What a request meets first, the
listeners and routes, differs by audience; an audience has tables while a node of it is
connected.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import structlog

from xds_server.mesh.audience import audience_of
from xds_server.mesh.index import Changes
from xds_server.mesh.model import Audience, Discovery, Port, Service
from xds_server.mesh.service import ServiceName
from xds_server.serve.node import Node
from xds_server.snapshot.table import Table
from xds_server.snapshot.view import Snapshot, Update, View
from xds_server.translate.check import TranslateError
from xds_server.translate.service import build_entrance, build_service
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource

_SHARED = (CLUSTER, ENDPOINT)
_OWN = (LISTENER, ROUTE)

Shape = tuple[tuple[Port, Discovery], ...]
"""All of a Service that listeners and routes depend on."""

logger = structlog.get_logger(__name__)


class Publisher:
    """Keeps a `Snapshot` in step with the mesh; also the server's `ViewDirectory`."""

    def __init__(
        self, services: Mapping[ServiceName, Service], snapshot: Snapshot
    ) -> None:
        """Publish *services*, a live mapping, to *snapshot*."""
        self._services = services
        self._snapshot = snapshot
        self._shared = {type_url: Table(type_url) for type_url in _SHARED}
        self._names: dict[ServiceName, frozenset[tuple[str, str]]] = {}
        self._shapes: dict[ServiceName, Shape] = {}
        self._views: dict[Audience, View] = {}
        self._streams: Counter[Audience] = Counter()

    def publish(self, changes: Changes) -> int:
        """Publish what *changes* names; return how many resources really changed."""
        if not changes.services and not changes.deleted:
            return 0
        updates = list(self._update_services(changes))
        if self._reshape(changes):
            for audience, view in self._views.items():
                updates += self._update_entrance(audience, view)
        changed = self._snapshot.publish(updates)
        return sum(len(each.applied) + len(each.removed) for _, each in changed)

    def acquire(self, node: Node) -> View:
        """Return what *node* sees, and keep it up to date until it is released."""
        audience = self._audience(node)
        self._streams[audience] += 1
        view = self._views.get(audience)
        if view is None:
            own = (Table(type_url) for type_url in _OWN)
            view = self._views[audience] = View((*self._shared.values(), *own))
            self._snapshot.publish(self._update_entrance(audience, view))
        return view

    def release(self, node: Node) -> None:
        """Forget the audience of *node* if this was its last stream."""
        audience = self._audience(node)
        self._streams[audience] -= 1
        if not self._streams[audience]:
            del self._streams[audience]
            del self._views[audience]

    def tables(self) -> Iterator[Table]:
        """Yield all tables that are published: the shared ones, and each audience's."""
        yield from self._shared.values()
        for view in self._views.values():
            yield from (view.table(type_url) for type_url in _OWN)

    def _reshape(self, changes: Changes) -> bool:
        """Note the shapes of Services that changed; return whether one is another."""
        before = [self._shapes.pop(name, None) for name in changes.deleted]
        is_other = any(shape is not None for shape in before)
        for name in changes.services:
            upstreams = self._services[name].upstreams
            shape = tuple((each.port, each.discovery) for each in upstreams)
            is_other |= self._shapes.get(name) != shape
            self._shapes[name] = shape
        return is_other

    def _audience(self, node: Node) -> Audience:
        audience, complaints = audience_of(node.metadata, node_id=node.id)
        for complaint in complaints:
            logger.warning("node metadata not usable", node=node.id, reason=complaint)
        return audience

    def _update_services(self, changes: Changes) -> Iterator[Update]:
        applied: list[Resource] = []
        deleted: list[tuple[str, str]] = []
        for name in changes.deleted:
            deleted += self._names.pop(name, ())
        for name in changes.services:
            resources = self._build_service(name)
            if resources is None:
                continue
            applied += resources
            names = frozenset((each.type_url, each.name) for each in resources)
            deleted += self._names.get(name, frozenset()) - names
            self._names[name] = names
        for type_url, table in self._shared.items():
            yield Update(
                table=table,
                applied=tuple(each for each in applied if each.type_url == type_url),
                deleted=tuple(name for type_, name in deleted if type_ == type_url),
            )

    def _build_service(self, name: ServiceName) -> tuple[Resource, ...] | None:
        """Return the resources of a Service, None to leave those that are published."""
        try:
            return tuple(build_service(self._services[name]))
        except TranslateError:
            logger.exception(
                "Service not translated, the last version stays", name=name
            )
            return None

    def _update_entrance(self, audience: Audience, view: View) -> list[Update]:
        try:
            resources = tuple(build_entrance(self._services.values(), audience))
        except TranslateError:
            logger.exception("listeners and routes not translated", audience=audience)
            return []
        return [
            Update.replacing(
                view.table(type_url),
                (each for each in resources if each.type_url == type_url),
            )
            for type_url in _OWN
        ]
