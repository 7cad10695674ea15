"""One Service resolved: its documents joined into one frozen value.

The documents that speak of one Service in; the `Service` as the mesh sees it, what
became of the policies that target it, and what is wrong with it out. Pure: which
documents these are, and when to resolve anew, is the index's.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from xds_server.api.document import Document
from xds_server.api.kubernetes import ServicePort
from xds_server.api.kubernetes_rule import SERVICE_NAME as SERVICE_LABEL
from xds_server.api.problem import Problem
from xds_server.mesh.annotation import LISTEN_PORT, annotated_balancer, listens_of
from xds_server.mesh.attachment import Attachment, attach, attach_by_labels
from xds_server.mesh.backend import Backend, Backends, resolve_backends
from xds_server.mesh.finding import finding, warning
from xds_server.mesh.learned_weight import with_bases, with_learned
from xds_server.mesh.misfit import Fit, Misfit
from xds_server.mesh.model import (
    Audience,
    Discovery,
    Endpoint,
    Health,
    Port,
    Service,
    Upstream,
    Variant,
)
from xds_server.mesh.pod_cpu import with_pods
from xds_server.mesh.port import balanced_ports, protocol_of, service_of
from xds_server.mesh.preference import Preference, near, preference_of
from xds_server.mesh.section import EVERYBODY, Reference, rank
from xds_server.mesh.site import FindNode, Site
from xds_server.mesh.verdict import Verdict, judge
from xds_server.mesh.weight import FindPod, labels_of as labels_of_pod
from xds_server.xds import Labels

__all__ = [
    "SERVICE_LABEL",
    "Material",
    "Resolution",
    "ServiceName",
    "TryOut",
    "resolve_service",
    "take_as_it_is",
]

ServiceName = tuple[str, str]
"""Namespace and name."""

TryOut = Callable[[Upstream], Iterable[Misfit]]
"""Says what is wrong with the patch of an upstream, by places in its section."""


def take_as_it_is(_: Upstream) -> Iterable[Misfit]:
    """Return that nothing is known to be wrong."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """All documents that speak of one Service, present or not.

    `listener_of` tells which Service a listen port belongs to, where several want it.
    Policies of the *root_namespace* may be for the whole mesh. *try_out* tells what
    speaks against sending an upstream to an Envoy. `learned` are the weights that the
    control loop has found, by port number and then `IP:port`.
    """

    name: ServiceName
    service: Document | None
    slices: tuple[Document, ...]
    policies: tuple[Document, ...]
    find_pod: FindPod
    find_node: FindNode
    listener_of: Callable[[int], ServiceName]
    root_namespace: str
    try_out: TryOut
    learned: Mapping[int, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What the documents of one Service mean together."""

    service: Service | None = None
    verdicts: tuple[Verdict, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What there is of a Service, and what policies make of each of its ports.

    `attachments` are those of `ports`, in their order, by the labels of clients.
    `problems` are not those of policies.
    """

    references: tuple[Reference, ...]
    ports: tuple[Port, ...]
    backends: Backends
    attachments: tuple[Mapping[Labels, Attachment], ...]
    problems: tuple[Problem, ...]


def resolve_service(material: Material) -> Resolution:
    """Return what *material* means."""
    document = material.service
    if document is None:
        references = rank(material.policies, *material.name, material.root_namespace)
        references = tuple(each for each in references if not each.level.is_broad)
        verdicts, problems = judge(references, None, ())
        return Resolution(
            service=None,
            verdicts=verdicts,
            problems=(*problems, *_orphans(material)),
        )
    found = assess(material, document)
    upstreams = tuple(
        _upstream(material, document, by_labels, found.backends)
        for by_labels in found.attachments
    )
    verdicts, problems = judge(found.references, upstreams, found.attachments)
    return Resolution(
        service=Service(
            namespace=material.name[0], name=material.name[1], upstreams=upstreams
        ),
        verdicts=verdicts,
        problems=(*found.problems, *problems),
    )


def assess(material: Material, document: Document) -> Assessment:
    """Return what policies make of the Service of *document*, which is there."""
    references = rank(material.policies, *material.name, material.root_namespace)
    usable, port_problems = balanced_ports(document)
    ports, listen_problems = _ports(document, usable, material.listener_of)
    backends = _backends(document, usable, material)
    annotated = annotated_balancer(document)
    attachments = tuple(
        attach_by_labels(
            references,
            partial(
                attach,
                port,
                backends.by_port[port.number],
                annotated=annotated,
                find_pod=material.find_pod,
                discovery=backends.discovery,
                try_out=partial(_try_out, material, document, backends),
                is_only_port=len(ports) == 1,
            ),
        )
        for port in ports
    )
    return Assessment(
        references=references,
        ports=ports,
        backends=backends,
        attachments=attachments,
        problems=(
            *port_problems,
            *listen_problems,
            *backends.problems,
            *(p for each in attachments for p in each[EVERYBODY].problems),
        ),
    )


def _try_out(
    material: Material, document: Document, backends: Backends, attachment: Attachment
) -> Fit:
    upstream = _upstream_of(material, document, attachment, backends)
    return Fit(errors=tuple(material.try_out(upstream)))


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
    material: Material,
    document: Document,
    attachments: Mapping[Labels, Attachment],
    backends: Backends,
) -> Upstream:
    """Return the upstream of everybody, with its variants if any is another."""
    found = [
        _upstream_of(material, document, attachment, backends)
        for attachment in attachments.values()
    ]
    learned = material.learned.get(found[0].port.number)
    if learned:
        found = [*with_learned(found, learned)]
    by_labels = dict(zip(attachments, found, strict=True))
    upstream = by_labels.pop(EVERYBODY)
    if all(each == upstream for each in by_labels.values()):
        return upstream
    return replace(
        upstream,
        variants=tuple(
            Variant(labels=labels, upstream=each) for labels, each in by_labels.items()
        ),
    )


def _upstream_of(
    material: Material, document: Document, attachment: Attachment, backends: Backends
) -> Upstream:
    port = attachment.port
    preference = preference_of(
        attachment.sections.locality, service_of(document).spec.traffic_distribution
    )
    upstream = Upstream(
        namespace=material.name[0],
        service=material.name[1],
        port=port,
        discovery=backends.discovery,
        load_balancer=attachment.balance.load_balancer,
        endpoints=_endpoints(
            backends.by_port[port.number],
            attachment.balance.weighing.weights,
            preference,
            material.find_pod,
        ),
        sections=attachment.sections,
        origins=attachment.origins,
        failover=preference.order,
    )
    if not upstream.is_weighed:
        return upstream
    own = backends.by_port[port.number]
    return with_bases(with_pods(upstream, own, material.find_pod))


def _endpoints(
    backends: Sequence[Backend],
    weights: Sequence[int] | None,
    preference: Preference,
    find_pod: FindPod,
) -> tuple[Endpoint, ...]:
    """Join backends and weights, with whom *preference* makes them near to.

    Envoy refuses a weight of 0. Such an endpoint drains, and carries the smallest of
    the others' weights, which leaves their greatest common divisor as it is.
    """
    smallest = min(filter(None, weights or ()), default=1)
    near_to = _nearness(preference, find_pod)
    return tuple(
        Endpoint(
            address=backend.address,
            port=backend.port,
            health=Health.DRAINING if weight == 0 else backend.health,
            weight=smallest if weight == 0 else weight,
            locality=backend.site.locality,
            near=near_to(backend),
        )
        for backend, weight in zip(
            backends, weights or (None,) * len(backends), strict=True
        )
    )


def _nearness(
    preference: Preference, find_pod: FindPod
) -> Callable[[Backend], tuple[tuple[str, ...], ...]]:
    """Return what tells whom a backend is near to; many share a site."""
    at_site = cache(partial(near, labels={}, preference=preference))

    def near_to(backend: Backend) -> tuple[tuple[str, ...], ...]:
        pod = find_pod(backend.pod) if preference.labels and backend.pod else None
        if pod is None:
            return at_site(backend.site)
        return near(backend.site, labels_of_pod(pod), preference)

    return near_to
