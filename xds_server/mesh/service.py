"""One Service resolved: its documents joined into one frozen value.

The documents that speak of one Service in; the `Service` as the mesh sees it, what
became of the policies that target it, and what is wrong with it out. Pure: which
documents these are, and when to resolve anew, is the index's.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xds_server.api.document import Document
from xds_server.api.kubernetes import ServicePort
from xds_server.api.kubernetes_rule import SERVICE_NAME as SERVICE_LABEL
from xds_server.api.problem import ObjectKey, Problem
from xds_server.mesh.annotation import LISTEN_PORT, annotated_balancer, listens_of
from xds_server.mesh.attachment import Attachment, attach, rank
from xds_server.mesh.backend import Backend, Backends, resolve_backends
from xds_server.mesh.finding import finding, warning
from xds_server.mesh.locality import FindNode, Site, failover_of
from xds_server.mesh.model import (
    Audience,
    Discovery,
    Endpoint,
    Health,
    Port,
    Proximity,
    Service,
    Upstream,
)
from xds_server.mesh.port import balanced_ports, protocol_of, service_of
from xds_server.mesh.verdict import Verdict, judge
from xds_server.mesh.weight import FindPod

__all__ = [
    "SERVICE_LABEL",
    "Material",
    "Resolution",
    "ServiceName",
    "resolve_service",
]

ServiceName = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """All documents that speak of one Service, present or not.

    `listener_of` tells which Service a listen port belongs to, where several want it.
    """

    name: ServiceName
    service: Document | None
    slices: tuple[Document, ...]
    policies: tuple[Document, ...]
    find_pod: FindPod
    find_node: FindNode
    listener_of: Callable[[int], ServiceName]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What the documents of one Service mean together."""

    service: Service | None = None
    verdicts: tuple[Verdict, ...] = ()
    problems: tuple[Problem, ...] = ()


def resolve_service(material: Material) -> Resolution:
    """Return what *material* means."""
    document = material.service
    references = rank(material.policies, material.name[1])
    if document is None:
        verdicts, problems = judge(references, None, ())
        return Resolution(
            service=None,
            verdicts=verdicts,
            problems=(*problems, *_orphans(material)),
        )
    usable, port_problems = balanced_ports(document)
    ports, listen_problems = _ports(document, usable, material.listener_of)
    backends = _backends(document, usable, material)
    annotated = annotated_balancer(document)
    attachments = tuple(
        attach(
            port,
            backends.by_port[port.number],
            references,
            annotated,
            material.find_pod,
        )
        for port in ports
    )
    failover = failover_of(service_of(document).spec.traffic_distribution)
    if backends.discovery is not Discovery.EDS:
        failover = ()  # DNS says whom it likes
    upstreams = tuple(
        _upstream(material.name, port, backends, attachment, failover)
        for port, attachment in zip(ports, attachments, strict=True)
    )
    verdicts, problems = judge(references, upstreams, attachments)
    return Resolution(
        service=Service(
            namespace=material.name[0], name=material.name[1], upstreams=upstreams
        ),
        verdicts=verdicts,
        problems=(
            *port_problems,
            *listen_problems,
            *backends.problems,
            *(p for attachment in attachments for p in attachment.problems),
            *problems,
        ),
    )


def _orphans(material: Material) -> Iterator[Problem]:
    """Report slices of a Service that is not there.

    Slices without the label, filed under the empty name, were reported when decoded.
    """
    namespace, name = material.name
    if name:
        for slice_ in material.slices:
            yield warning(
                slice_,
                ("metadata", "labels", SERVICE_LABEL),
                f"there is no Service {namespace}/{name}",
            )


def _ports(
    document: Document,
    usable: Sequence[ServicePort],
    listener_of: Callable[[int], ServiceName],
) -> tuple[tuple[Port, ...], tuple[Problem, ...]]:
    listens = listens_of(document, usable)
    problems = list(listens.problems)
    name = (document.key.namespace, document.key.name)
    by_port: dict[int, int] = {}
    for number, listen_port in listens.by_port.items():
        owner = listener_of(listen_port)
        if listen_port == Audience().listen_port:
            holder = "the HTTP listener"
        elif owner != name:
            holder = f"Service {owner[0]}/{owner[1]}"
        else:
            by_port[number] = listen_port
            continue
        problems.append(
            finding(
                document,
                ("metadata", "annotations", LISTEN_PORT),
                f"listen port {listen_port} belongs to {holder}",
                hint="choose another port",
            )
        )
    ports = tuple(
        Port(
            number=port.port,
            name=port.name,
            protocol=protocol_of(port),
            listen_port=by_port.get(port.port),
        )
        for port in usable
    )
    problems += _unreachable(document, by_port)
    return ports, tuple(problems)


def _unreachable(document: Document, listening: Collection[int]) -> Iterator[Problem]:
    """Report a port that is TCP only for want of a word, and has no listener."""
    for position, port in enumerate(service_of(document).spec.ports):
        is_silent = not port.name and port.app_protocol is None
        if is_silent and port.protocol == "TCP" and port.port not in listening:
            yield warning(
                document,
                ("spec", "ports", position),
                f"port {port.port} is plain TCP, having neither a name nor an "
                "appProtocol, and no Envoy listens for it",
                hint=f"for HTTP add name: http; else the annotation {LISTEN_PORT}",
            )


def _backends(
    document: Document, ports: Sequence[ServicePort], material: Material
) -> Backends:
    spec = service_of(document).spec
    if spec.type != "ExternalName":
        return resolve_backends(
            ports,
            material.slices,
            material.find_node,
            publish_all=spec.publish_not_ready_addresses,
            families=spec.ip_families,
        )
    name = (spec.external_name or "").lower().rstrip(".")
    by_port: Mapping[int, tuple[Backend, ...]] = {
        port.port: (
            Backend(
                address=name,
                port=port.port,
                health=Health.HEALTHY,
                site=Site(),
                pod=None,
            ),
        )
        for port in ports
    }
    return Backends(discovery=Discovery.DNS, by_port=by_port)


def _upstream(
    name: ServiceName,
    port: Port,
    backends: Backends,
    attachment: Attachment,
    failover: tuple[Proximity, ...],
) -> Upstream:
    origin: tuple[ObjectKey, ...] = (attachment.origin,) if attachment.origin else ()
    servers = backends.by_port[port.number]
    return Upstream(
        namespace=name[0],
        service=name[1],
        port=port,
        discovery=backends.discovery,
        load_balancer=attachment.load_balancer,
        endpoints=_endpoints(servers, attachment.weighing.weights, failover),
        policies=origin,
        failover=failover,
    )


def _endpoints(
    backends: Sequence[Backend],
    weights: Sequence[int] | None,
    failover: Collection[Proximity],
) -> tuple[Endpoint, ...]:
    """Join backends and weights, with what *failover* asks of them.

    Envoy refuses a weight of 0. Such an endpoint drains, and carries the smallest of
    the others' weights, which leaves their greatest common divisor as it is.
    """
    smallest = min(filter(None, weights or ()), default=1)
    return tuple(
        Endpoint(
            address=backend.address,
            port=backend.port,
            health=Health.DRAINING if weight == 0 else backend.health,
            weight=smallest if weight == 0 else weight,
            locality=backend.site.locality,
            zones=backend.site.zones if Proximity.ZONE in failover else (),
            nodes=backend.site.nodes if Proximity.NODE in failover else (),
        )
        for backend, weight in zip(
            backends, weights or (None,) * len(backends), strict=True
        )
    )
