"""From the mesh to the snapshot: what changed is translated and published, no more.

In: the names of Services that changed, and nodes that come and go. Out: updated tables.
All Envoys share the tables of clusters and assignments. What a request meets first, the
listeners and routes, differs by audience; an audience has tables while a node of it is
connected. gRPC clients name all that they want: their tables have that and no more.
Nodes in different places share tables too: what differs there, differs in itself.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Set as AbstractSet
from functools import cache, partial
from types import MappingProxyType

import structlog

from xds_server.api.problem import Problem
from xds_server.engine import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    SECRET,
    DemandTable,
    Node,
    NotReadyError,
    Resource,
    Snapshot,
    Table,
    Update,
    View,
)
from xds_server.mesh.audience import audience_of, place_of, service_of as own_service
from xds_server.mesh.index import Changes, Index
from xds_server.mesh.model import (
    Audience,
    Client,
    Locality,
    Service,
)
from xds_server.mesh.service import ServiceName
from xds_server.translate.check import TranslateError
from xds_server.translate.endpoint import build_local_assignment
from xds_server.translate.name import local_assignment_name
from xds_server.translate.proxyless import (
    build_unknown_listener,
    keys_of,
    service_of,
)
from xds_server.translate.route import routed
from xds_server.translate.service import (
    build_entrance,
    build_service,
    untranslatable,
)
from xds_server.xds import PUSH_ORDER, SHORT_NAMES

_SHARED = (CLUSTER, ENDPOINT, SECRET)
_OWN = (LISTENER, ROUTE)

Key = tuple[str, str]
"""The type URL and the name of a resource."""

Shape = tuple[Hashable, ...]
"""All of a Service that listeners and routes depend on."""

logger = structlog.get_logger(__name__)


class Publisher:
    """Keeps a `Snapshot` in step with the mesh; also the server's `ViewDirectory`.

    A Service that cannot be translated keeps the version of it that could, wherever it
    appears, and is nowhere if there never was one. All others are none the wiser.
    """

    def __init__(self, index: Index, snapshot: Snapshot) -> None:
        """Publish the Services of *index* to *snapshot*."""
        self._index = index
        self._snapshot = snapshot
        self._translated: dict[ServiceName, Service] = {}
        self._failures: dict[ServiceName, TranslateError] = {}
        self._shared = {type_url: Table(type_url) for type_url in _SHARED}
        self._names: dict[ServiceName, frozenset[Key]] = {}
        self._holders: Counter[Key] = Counter()
        self._shapes: dict[ServiceName, Shape] = {}
        self._views: dict[Audience, View] = {}
        self._demands: dict[Audience, _Demand] = {}
        self._streams: Counter[Audience] = Counter()
        self._own: Counter[ServiceName] = Counter()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why Services are not published as they are."""
        return tuple(
            untranslatable(self._index.document_of(name), error)
            for name, error in self._failures.items()
        )

    @property
    def failures(self) -> Mapping[ServiceName, TranslateError]:
        """Why the newest versions of Services are not published, live and read-only."""
        return MappingProxyType(self._failures)

    @property
    def shared(self) -> Mapping[str, Table]:
        """The tables of what all Envoys share, by type URL."""
        return MappingProxyType(self._shared)

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions of what all Envoys share, by the short names of the types."""
        return {SHORT_NAMES[each]: self._shared[each].version for each in _SHARED}

    def publish(self, changes: Changes) -> int:
        """Publish what *changes* names; return how many resources really changed."""
        if not changes.services and not changes.deleted:
            return 0
        names = changes.services | changes.deleted
        changed_own = (changes.services | changes.deleted) & self._own.keys()
        before = {n: self._translated[n] for n in names & self._translated.keys()}
        updates = [*self._update_services(changes), self._update_own(changed_own)]
        for demand in self._demands.values():
            updates += demand.update(names, before)
        if self._reshape(changes):
            for audience, view in self._views.items():
                if audience.client is Client.ENVOY:
                    updates += self._update_entrance(audience, view) or ()
        changed = self._snapshot.publish(updates)
        return sum(len(each.applied) + len(each.removed) for _, each in changed)

    def acquire(self, node: Node) -> View:
        """Return what *node* sees, and keep it up to date until it is released.

        Raises:
            NotReadyError: listeners and routes cannot be made for such a node. None at
                all would take away those that it has.
        """
        audience = self._audience(node)
        if audience not in self._views and audience.client is Client.GRPC:
            demand = self._demands[audience] = _Demand(self._translated, audience)
            self._views[audience] = demand.view
        if audience not in self._views:
            own = (Table(type_url) for type_url in _OWN)
            view = View((*self._shared.values(), *own))
            updates = self._update_entrance(audience, view)
            if updates is None:
                message = f"no listeners and routes for nodes like {node.id}"
                raise NotReadyError(message)
            self._snapshot.publish(updates)
            self._views[audience] = view
        self._belong(node, audience, 1)
        self._streams[audience] += 1
        place = place_of(
            node.metadata,
            audience.namespace,
            Locality(region=node.region, zone=node.zone),
            self._index.locality_of,
        )
        return self._views[audience].at(place)

    def release(self, node: Node) -> None:
        """Forget the audience of *node* if this was its last stream."""
        audience = self._audience(node)
        self._streams[audience] -= 1
        if not self._streams[audience]:
            del self._streams[audience]
            del self._views[audience]
            self._demands.pop(audience, None)
        self._belong(node, audience, -1)

    def tables(self) -> Iterator[Table]:
        """Yield all tables that are published: the shared ones, and each audience's."""
        yield from self._shared.values()
        for audience, view in self._views.items():
            own = _OWN if audience.client is Client.ENVOY else PUSH_ORDER
            yield from (view.table(type_url) for type_url in own)

    def _reshape(self, changes: Changes) -> bool:
        """Note the shapes of Services that changed; return whether one is another."""
        before = [self._shapes.pop(name, None) for name in changes.deleted]
        is_other = any(shape is not None for shape in before)
        for name in changes.services & self._translated.keys():
            upstreams = self._translated[name].upstreams
            shape = tuple(map(routed, upstreams))
            is_other |= self._shapes.get(name) != shape
            self._shapes[name] = shape
        return is_other

    def _audience(self, node: Node) -> Audience:
        audience, complaints = audience_of(
            node.metadata, node_id=node.id, user_agent=node.user_agent
        )
        for complaint in complaints:
            logger.warning("node metadata not usable", node=node.id, reason=complaint)
        return audience

    def _update_services(self, changes: Changes) -> Iterator[Update]:
        applied: dict[Key, Resource] = {}
        left: set[Key] = set()
        for name in changes.deleted:
            self._translated.pop(name, None)
            self._failures.pop(name, None)
            left |= self._hold(name, frozenset())
        for name in changes.services:
            resources = self._build_service(name)
            if resources is None:
                continue
            made = {(each.type_url, each.name): each for each in resources}
            applied |= made
            left |= self._hold(name, frozenset(made))
        deleted = [key for key in left if not self._holders[key]]
        for key in deleted:
            del self._holders[key]
        for type_url, table in self._shared.items():
            yield Update(
                table=table,
                applied=tuple(r for r in applied.values() if r.type_url == type_url),
                deleted=tuple(name for type_, name in deleted if type_ == type_url),
            )

    def _hold(self, name: ServiceName, keys: frozenset[Key]) -> AbstractSet[Key]:
        """Note that the Service *name* has the resources *keys*; return what it left.

        A secret may be that of several Services, and goes with the last of them.
        """
        before = self._names.pop(name, frozenset())
        if keys:
            self._names[name] = keys
        self._holders.update(keys - before)
        self._holders.subtract(before - keys)
        return before - keys

    def _belong(self, node: Node, audience: Audience, number: int) -> None:
        """Count a stream of a *node* that says to which Service its client belongs.

        Only the first that comes and the last that goes change what is published.
        """
        own = own_service(node.metadata, audience.namespace)
        if own is None or audience.client is not Client.ENVOY:
            return
        was_anybodys = own in self._own
        self._own[own] += number
        if was_anybodys is not bool(self._own[own]):
            self._snapshot.publish([self._update_own({own})])
            self._own += Counter()  # forgets those that are nobody's

    def _update_own(self, names: AbstractSet[ServiceName]) -> Update:
        """Return the update of the assignments of Services that clients belong to.

        They are there while a node says so, and empty where there is no such Service:
        an Envoy asks for it before it asks for clusters.
        """
        return Update(
            table=self._shared[ENDPOINT],
            applied=tuple(
                build_local_assignment(name, self._translated.get(name))
                for name in names
                if self._own[name]
            ),
            deleted=tuple(
                local_assignment_name(*name) for name in names if not self._own[name]
            ),
        )

    def _build_service(self, name: ServiceName) -> tuple[Resource, ...] | None:
        """Return the resources of a Service, None to leave those that are published."""
        service = self._index.services[name]
        try:
            resources = tuple(build_service(service))
        except TranslateError as error:
            logger.exception(
                "Service not translated, the last version stays", name=name
            )
            self._failures[name] = error
            return None
        self._failures.pop(name, None)
        self._translated[name] = service
        return resources

    def _log_hidden(self, audience: Audience) -> None:
        """Log the TCP ports that have no listener there: it would be the HTTP one's."""
        for namespace, service in self._translated:
            for upstream in self._translated[namespace, service].upstreams:
                if upstream.port.listen_port == audience.listen_port:
                    logger.warning(
                        "no TCP listener: its port is the node's HTTP port",
                        service=f"{namespace}/{service}:{upstream.port.number}",
                        audience=audience,
                    )

    def _update_entrance(self, audience: Audience, view: View) -> list[Update] | None:
        """Return the update of an audience's own tables, None to leave them as is."""
        try:
            resources = tuple(build_entrance(self._translated.values(), audience))
        except TranslateError:
            logger.exception("listeners and routes not translated", audience=audience)
            return None
        self._log_hidden(audience)
        return [
            Update.replacing(
                view.table(type_url),
                (each for each in resources if each.type_url == type_url),
            )
            for type_url in _OWN
        ]


class _Demand:
    """What gRPC clients of one audience have asked for, and see."""

    def __init__(
        self, services: Mapping[ServiceName, Service], audience: Audience
    ) -> None:
        self._services = services
        self._audience = audience
        self._tables = tuple(
            DemandTable(
                type_url,
                partial(self._make, type_url),
                build_unknown_listener if type_url == LISTENER else None,
            )
            for type_url in PUSH_ORDER
        )
        self.view = View(self._tables)

    def update(
        self, names: AbstractSet[ServiceName], before: Mapping[ServiceName, Service]
    ) -> Iterator[Update]:
        """Yield what brings the resources of the changed Services *names* up to date.

        *before* are those of them that were there, as they were.
        """
        build = cache(self._build)
        owners: dict[Key, ServiceName | None] = {
            key: None for service in before.values() for key in self._keys(service)
        }
        for owner in names & self._services.keys():
            owners.update(dict.fromkeys(self._keys(self._services[owner]), owner))
        for table in self._tables:
            type_url = table.type_url
            changed = frozenset(name for type_, name in owners if type_ == type_url)
            applied: list[Resource] = []
            deleted: list[str] = []
            for name in table.sift(changed):
                maker = owners[type_url, name]
                resources = build(maker) if maker else {}
                if resource := (resources or {}).get((type_url, name)):
                    applied.append(resource)
                elif resources is not None:
                    deleted.append(name)
            yield Update(table=table, applied=tuple(applied), deleted=tuple(deleted))

    def _make(self, type_url: str, name: str) -> Resource | None:
        key = type_url, name
        owner = service_of(type_url, name, self._audience.namespace)
        service = self._services.get(owner) if owner else None
        if owner is None or service is None or key not in self._keys(service):
            return None
        return (self._build(owner) or {}).get(key)

    def _keys(self, service: Service) -> Iterator[Key]:
        return keys_of(service, self._audience.namespace)

    def _build(self, name: ServiceName) -> Mapping[Key, Resource] | None:
        """Return the resources of a Service, None to leave those that are published."""
        service = self._services[name]
        try:
            resources = (
                *build_service(service, Client.GRPC),
                *build_entrance([service], self._audience),
            )
        except TranslateError:
            logger.exception("Service not translated for gRPC clients", name=name)
            return None
        return {(each.type_url, each.name): each for each in resources}
