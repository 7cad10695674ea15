"""All documents in force, and which Services each of them concerns.

Documents in, one at a time; out go the Services that must be resolved anew, and the
material for that. Every look-up is by key: nothing here walks over the mesh, but for a
policy that is for all of it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from xds_server.api.document import Document
from xds_server.api.kubernetes import EndpointSlice, Service
from xds_server.api.policy import TargetKind, TargetRef, TrafficPolicy
from xds_server.api.problem import ObjectKey
from xds_server.mesh.annotation import LISTEN_PORT, listens_of
from xds_server.mesh.backend import pod_key
from xds_server.mesh.event import Weighed
from xds_server.mesh.port import balanced_ports
from xds_server.mesh.section import clients_of
from xds_server.mesh.service import SERVICE_LABEL, Material, ServiceName, TryOut
from xds_server.mesh.site import node_key
from xds_server.xds import Labels

K = TypeVar("K")
V = TypeVar("V")


class Catalog:
    """The documents by key, and by the Services that they speak of."""

    def __init__(self, root_namespace: str, try_out: TryOut) -> None:
        """Start empty; policies of *root_namespace* may be for the whole mesh."""
        self._root_namespace = root_namespace
        self._try_out = try_out
        self._named: defaultdict[str, set[ServiceName]] = defaultdict(set)
        self._broad: defaultdict[str, set[ObjectKey]] = defaultdict(set)
        self._selectors = Counter[Labels]()
        self._documents: dict[ObjectKey, Document] = {}
        self._about: defaultdict[ServiceName, set[ObjectKey]] = defaultdict(set)
        self._slices_with: dict[ObjectKey, tuple[ObjectKey, ...]] = {}
        self._slices_on: defaultdict[ObjectKey, set[ObjectKey]] = defaultdict(set)
        self._wanting: defaultdict[int, set[ServiceName]] = defaultdict(set)
        self._learned: defaultdict[ServiceName, dict[int, Mapping[str, int]]]
        self._learned = defaultdict(dict)

    def get(self, key: ObjectKey) -> Document | None:
        """Return the document in force under *key*."""
        return self._documents.get(key)

    @property
    def selectors(self) -> Collection[Labels]:
        """The labels of clients that policies tell apart, live."""
        return self._selectors.keys()

    def find_node(self, name: str) -> Document | None:
        """Return the Node called *name*."""
        return self._documents.get(node_key(name))

    def put(self, document: Document) -> set[ServiceName]:
        """Let *document* be in force; return the Services that this concerns."""
        concerned = self.remove(document.key)
        self._documents[document.key] = document
        for name in _spoken_of(document):
            self._about[name].add(document.key)
        for pod in _pods(document):
            slices = self._slices_with.get(pod, ())
            self._slices_with[pod] = (*slices, document.key)
        for node in _nodes(document):
            self._slices_on[node].add(document.key)
        for listen_port in _listen_ports(document):
            self._wanting[listen_port].add(_name(document.key))
        namespace = document.key.namespace
        if isinstance(document.body, Service):
            self._named[namespace].add(_name(document.key))
        if _is_broad(document):
            self._broad[namespace].add(document.key)
        for labels in _selected(document):
            self._selectors[labels] += 1
        return concerned | self._concerned(document)

    def remove(self, key: ObjectKey) -> set[ServiceName]:
        """Let the document of *key* be gone; return the Services that this concerns."""
        document = self._documents.pop(key, None)
        if document is None:
            return set()
        concerned = self._concerned(document)
        for name in _spoken_of(document):
            _drop(self._about, name, key)
        for pod in _pods(document):
            slices = tuple(s for s in self._slices_with.pop(pod, ()) if s != key)
            if slices:
                self._slices_with[pod] = slices
        for node in _nodes(document):
            _drop(self._slices_on, node, key)
        for listen_port in _listen_ports(document):
            _drop(self._wanting, listen_port, _name(key))
        if isinstance(document.body, Service):
            _drop(self._named, key.namespace, _name(key))
        _drop(self._broad, key.namespace, key)
        for labels in _selected(document):
            self._selectors[labels] -= 1
            if not self._selectors[labels]:
                del self._selectors[labels]
        return concerned

    def weigh(self, event: Weighed) -> set[ServiceName]:
        """Let these weights be the newest; return the Services that this concerns.

        They outlive their Service, until the loop says that nothing is known any more.
        """
        learned = self._learned[event.service]
        before = learned.pop(event.port, {})
        if event.weights:
            learned[event.port] = dict(event.weights)
        if not learned:
            del self._learned[event.service]
        return set() if before == event.weights else {event.service}

    def material(self, name: ServiceName) -> Material | None:
        """Return all that is said of the Service *name*, or None if nothing is."""
        keys = self._about.get(name)
        if keys is None:
            return None
        broad = (self._broad.get(each, ()) for each in (name[0], self._root_namespace))
        documents = [self._documents[key] for key in keys.union(*broad)]
        own = self._documents.get(ObjectKey("Service", *name))
        return Material(
            name=name,
            service=own,
            slices=tuple(d for d in documents if isinstance(d.body, EndpointSlice)),
            policies=tuple(d for d in documents if isinstance(d.body, TrafficPolicy)),
            find_pod=self.get,
            find_node=self.find_node,
            listener_of=lambda listen_port: min(self._wanting[listen_port]),
            root_namespace=self._root_namespace,
            try_out=self._try_out,
            learned=dict(self._learned.get(name, {})),
        )

    def targeted(self, namespace: str, target: TargetRef) -> Collection[ServiceName]:
        """Return the Services that *target* of a policy in *namespace* is for."""
        if target.kind is TargetKind.NAMESPACE:
            return self._services_below(namespace)
        return ((namespace, target.name),)

    def _concerned(self, document: Document) -> set[ServiceName]:
        concerned = set(_spoken_of(document))
        if _is_broad(document):
            concerned |= self._services_below(document.key.namespace)
        for behind in (self._slices_with, self._slices_on):
            for key in behind.get(document.key, ()):
                concerned.update(_spoken_of(self._documents[key]))
        for listen_port in _listen_ports(document):
            concerned |= self._wanting.get(listen_port, set())
        return concerned

    def _services_below(self, namespace: str) -> set[ServiceName]:
        """Return the Services that a policy of *namespace* may be for."""
        if namespace == self._root_namespace:
            return {name for names in self._named.values() for name in names}
        return self._named.get(namespace, set())


def _name(key: ObjectKey) -> ServiceName:
    return key.namespace, key.name


def _spoken_of(document: Document) -> Iterator[ServiceName]:
    """Yield the Services that *document* is about by its own words.

    A slice without the label is filed under the empty name, where no Service can be.
    """
    key, body = document.key, document.body
    if isinstance(body, Service):
        yield _name(key)
    elif isinstance(body, EndpointSlice):
        yield key.namespace, body.metadata.labels.get(SERVICE_LABEL, "")
    elif isinstance(body, TrafficPolicy):
        for target in body.spec.target_refs:
            if target.kind is TargetKind.SERVICE:
                yield key.namespace, target.name


def _is_broad(document: Document) -> bool:
    """Whether it is a policy for whatever Services there are."""
    body = document.body
    return isinstance(body, TrafficPolicy) and any(
        target.kind is TargetKind.NAMESPACE for target in body.spec.target_refs
    )


def _selected(document: Document) -> Iterator[Labels]:
    """Yield the labels that a policy selects clients by."""
    if isinstance(document.body, TrafficPolicy):
        yield from filter(None, clients_of(document.body.spec))


def _pods(document: Document) -> Iterator[ObjectKey]:
    """Yield the Pods that a slice says are behind its endpoints."""
    if isinstance(document.body, EndpointSlice):
        for endpoint in document.body.endpoints:
            pod = pod_key(endpoint, document.key.namespace)
            if pod is not None:
                yield pod


def _nodes(document: Document) -> set[ObjectKey]:
    """Return the Nodes that a slice says its endpoints run on: many share a few."""
    if not isinstance(document.body, EndpointSlice):
        return set()
    names = {endpoint.node_name for endpoint in document.body.endpoints}
    return {node_key(name) for name in names if name}


def _listen_ports(document: Document) -> Iterator[int]:
    """Yield the listen ports that a Service asks for."""
    body = document.body
    if isinstance(body, Service) and LISTEN_PORT in body.metadata.annotations:
        ports, _ = balanced_ports(document)
        yield from listens_of(document, ports).by_port.values()


def _drop(table: defaultdict[K, set[V]], key: K, value: V) -> None:
    """Take *value* from a set of *table*, and leave no empty set behind."""
    values = table.get(key)
    if values is not None:
        values.discard(value)
        if not values:
            del table[key]
