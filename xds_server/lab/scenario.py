"""The lab's copy of the documents: the same policies, the endpoints on loopback.

Documents in; manifests for the server to watch out, and which backend stands for which
endpoint. Rewritten are: addresses and ports of endpoints (also in the `addresses` of
weight rules), names that DNS would resolve (they become addresses), what HTTP ports
speak (HTTP/1.1, as the backends do), where endpoints report their load out of band,
where TCP ports listen (everywhere a free port, also where the Service asks for none),
and how often endpoints are checked (once a second at least); left out is what
`softening` says. All else is as the user wrote it.
"""

import os
import secrets
import socket
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from xds_server.api.document import Document
from xds_server.api.kubernetes import (
    EndpointPort,
    EndpointSlice,
    Metadata,
    Node,
    Pod,
    Service,
    SliceEndpoint,
)
from xds_server.api.manifest import Value
from xds_server.api.policy import TrafficPolicy
from xds_server.lab.backend import Address
from xds_server.lab.manifest import (
    kubernetes_manifest,
    move_addresses,
    read_policies,
    write_manifests,
)
from xds_server.lab.softening import soften
from xds_server.mesh.annotation import LISTEN_PORT
from xds_server.mesh.backend import canonical
from xds_server.mesh.model import Endpoint, Protocol
from xds_server.mesh.port import protocol_of, section_of
from xds_server.mesh.service import SERVICE_LABEL, ServiceName

_ADDRESSES_A_BLOCK: Final = 250
_NETWORKS: Final = 200
LOOPBACK: Final = "127.0.0.1"
_PORTS: Final = range(10_000, 32_000)
_MAX_CLAIMS: Final = 256
_claims: Final[deque[int]] = deque()


def free_port() -> int:
    """Return a TCP port that nobody listens on now, nor is about to.

    It is below those that the system gives to outgoing connections: one of them may be
    taken again before its server binds it. That another caller, of any process, is not
    given it meanwhile is the work of a UDP socket of the same number, which stays open
    until many more ports have been given.
    """
    while True:
        port = secrets.choice(_PORTS)
        claim = socket.socket(type=socket.SOCK_DGRAM)
        with socket.socket() as probe, suppress(OSError):
            claim.bind((LOOPBACK, port))
            probe.bind((LOOPBACK, port))
            _claims.append(claim.detach())  # open as long as the process, unless closed
            if len(_claims) > _MAX_CLAIMS:
                os.close(_claims.popleft())
            return port
        claim.close()


class Scenario:
    """Which backend stands for which endpoint, and the files that say so.

    Each address of a Service has a loopback address of its own, each port a free port.
    Processes use different networks, 127.1/16 to 127.200/16, as far as that goes.
    `report_port` is where all report their load out of band.
    """

    def __init__(self, documents: Iterable[Document], directory: Path) -> None:
        """Take all *documents*; files go to *directory*."""
        self._directory = directory
        self._services: dict[ServiceName, Service] = {}
        self._slices: dict[ServiceName, list[EndpointSlice]] = {}
        self._behind: list[Pod | Node] = []
        self._policies: list[Document] = []
        for document in documents:
            match document.body:
                case Service() as service:
                    name = (document.key.namespace, document.key.name)
                    self._services[name] = service
                case EndpointSlice() as slice_:
                    label = slice_.metadata.labels.get(SERVICE_LABEL, "")
                    name = (document.key.namespace, label)
                    self._slices.setdefault(name, []).append(slice_)
                case Pod() | Node() as behind:
                    self._behind.append(behind)
                case TrafficPolicy():
                    self._policies.append(document)
        self._network = f"127.{1 + os.getpid() % _NETWORKS}"
        self._addresses: dict[tuple[ServiceName, str], str] = {}
        self._ports: dict[tuple[ServiceName, int], int] = {}
        self._listeners: dict[tuple[ServiceName, int], int] = {}
        self.report_port = free_port()

    def stand_in(self, service: ServiceName, endpoint: Endpoint) -> Address:
        """Return where the backend of *endpoint* listens."""
        ip = self._address(service, endpoint.address)
        return Address(ip, self._port(service, endpoint.port))

    def listen_port(self, service: ServiceName, port: int) -> int:
        """Return where Envoy listens for the TCP *port* of *service*."""
        return self._listeners.setdefault((service, port), free_port())

    def write(self) -> None:
        """Write everything: a file for each Service, one for all the rest."""
        for service in self._services:
            self.write_service(service)
        policies = list(self._copied_policies())
        behind = map(kubernetes_manifest, self._behind)
        write_manifests(self._directory / "rest.yaml", [*behind, *policies])

    def write_service(
        self, name: ServiceName, keep: Collection[Address] | None = None
    ) -> None:
        """Write a Service with all its endpoints, or only those at *keep*."""
        service = self._services[name]
        kept = None if keep is None else {address.ip for address in keep}
        slices = [
            self._moved_slice(name, slice_, kept)
            for slice_ in self._slices_of(name, service)
        ]
        write_manifests(
            self._directory / f"{'.'.join(name)}.yaml",
            map(kubernetes_manifest, (self._moved_service(name, service), *slices)),
        )

    def _slices_of(
        self, name: ServiceName, service: Service
    ) -> Iterable[EndpointSlice]:
        """Return the slices of a Service; an external name makes one."""
        if service.spec.type != "ExternalName":
            slices = self._slices.get(name, ())
            by_address = [s for s in slices if s.address_type != "FQDN"]
            return by_address or slices  # as the mesh: addresses beat names
        labels = {SERVICE_LABEL: name[1]}
        metadata = Metadata(namespace=name[0], name=name[1], labels=labels)
        ports = (EndpointPort(name=p.name, port=p.port) for p in service.spec.ports)
        endpoint = SliceEndpoint(addresses=(service.spec.external_name or "",))
        return (
            EndpointSlice(
                metadata=metadata,
                address_type="FQDN",
                ports=tuple(ports),
                endpoints=(endpoint,),
            ),
        )

    def _moved_service(self, name: ServiceName, service: Service) -> Service:
        tcp = [p for p in service.spec.ports if protocol_of(p) is Protocol.TCP]
        ports = (
            p if p in tcp else replace(p, app_protocol="http")
            for p in service.spec.ports
        )
        listeners = (
            f"{section_of(port)}={self.listen_port(name, port.port)}"
            for port in tcp
            if port.protocol == "TCP"
        )
        annotations = {**service.metadata.annotations}
        annotations.pop(LISTEN_PORT, None)
        if text := ",".join(listeners):
            annotations[LISTEN_PORT] = text
        return replace(
            service,
            metadata=replace(service.metadata, annotations=annotations),
            spec=replace(
                service.spec, type="ClusterIP", external_name=None, ports=tuple(ports)
            ),
        )

    def _moved_slice(
        self, service: ServiceName, slice_: EndpointSlice, kept: set[str] | None
    ) -> EndpointSlice:
        address = partial(self._address, service)
        endpoints = (
            replace(endpoint, addresses=tuple(map(address, endpoint.addresses)))
            for endpoint in slice_.endpoints
        )
        ports = (
            replace(port, port=self._port(service, self._number(service, port)))
            for port in slice_.ports
        )
        return replace(
            slice_,
            address_type="IPv4",
            ports=tuple(ports),
            endpoints=tuple(
                endpoint
                for endpoint in endpoints
                if kept is None or not kept.isdisjoint(endpoint.addresses)
            ),
        )

    def _number(self, service: ServiceName, port: EndpointPort) -> int:
        """Return where an endpoint serves *port*: left out, as the Service has it."""
        if port.port is not None:
            return port.port
        named = (
            p for p in self._services[service].spec.ports if p.name == (port.name or "")
        )
        return next((p.port for p in named), 0)

    def _copied_policies(self) -> Iterator[Value]:
        """Yield the policies as they were written, but for addresses."""
        wanted = {document.key for document in self._policies}
        files = {document.locate(()).source for document in self._policies}
        for file in sorted(files):
            for key, policy in read_policies(Path(file)):
                if key in wanted:
                    move_addresses(policy, self._stand_ins)
                    soften(policy, self.report_port)
                    wanted.discard(key)
                    yield policy

    def _stand_ins(self, address: str) -> Iterator[str]:
        """Yield what stands for *address*, in all Services."""
        for (_, original), stand_in in self._addresses.items():
            if original == canonical(address):
                yield stand_in

    def _address(self, service: ServiceName, original: str) -> str:
        key = (service, canonical(original) or original.lower().rstrip("."))
        block, position = divmod(len(self._addresses), _ADDRESSES_A_BLOCK)
        fresh = f"{self._network}.{block}.{position + 1}"
        return self._addresses.setdefault(key, fresh)

    def _port(self, service: ServiceName, original: int) -> int:
        key = (service, original)
        if key not in self._ports:
            self._ports[key] = free_port()
        return self._ports[key]
