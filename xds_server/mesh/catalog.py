"""All documents in force, and which Services each of them concerns.

Documents in, one at a time; out go the Services that must be resolved anew, and the
material for that. Every look-up is by key: nothing here walks over the mesh.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import TypeVar

from xds_server.api.document import Document
from xds_server.api.kubernetes import EndpointSlice, Service
from xds_server.api.policy import TrafficPolicy
from xds_server.api.problem import ObjectKey
from xds_server.mesh.annotation import LISTEN_PORT, listens_of
from xds_server.mesh.backend import pod_key
from xds_server.mesh.locality import node_key
from xds_server.mesh.port import balanced_ports
from xds_server.mesh.service import SERVICE_LABEL, Material, ServiceName

K = TypeVar("K")
V = TypeVar("V")


class Catalog:
    """The documents by key, and by the Services that they speak of."""

    def __init__(self) -> None:
        self._documents: dict[ObjectKey, Document] = {}
        self._about: defaultdict[ServiceName, set[ObjectKey]] = defaultdict(set)
        self._slices_with: dict[ObjectKey, tuple[ObjectKey, ...]] = {}
        self._slices_on: defaultdict[ObjectKey, set[ObjectKey]] = defaultdict(set)
        self._wanting: defaultdict[int, set[ServiceName]] = defaultdict(set)

    def get(self, key: ObjectKey) -> Document | None:
        """Return the document in force under *key*."""
        return self._documents.get(key)

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
        return concerned

    def material(self, name: ServiceName) -> Material | None:
        """Return all that is said of the Service *name*, or None if nothing is."""
        keys = self._about.get(name)
        if keys is None:
            return None
        documents = [self._documents[key] for key in keys]
        own = self._documents.get(ObjectKey("Service", *name))
        return Material(
            name=name,
            service=own,
            slices=tuple(d for d in documents if isinstance(d.body, EndpointSlice)),
            policies=tuple(d for d in documents if isinstance(d.body, TrafficPolicy)),
            find_pod=self.get,
            find_node=self.find_node,
            listener_of=lambda listen_port: min(self._wanting[listen_port]),
        )

    def _concerned(self, document: Document) -> set[ServiceName]:
        concerned = set(_spoken_of(document))
        for behind in (self._slices_with, self._slices_on):
            for key in behind.get(document.key, ()):
                concerned.update(_spoken_of(self._documents[key]))
        for listen_port in _listen_ports(document):
            concerned |= self._wanting.get(listen_port, set())
        return concerned


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
            if target.kind == "Service":
                yield key.namespace, target.name


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
