"""Documents for tests of the mesh, as a decoder would hand them over."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from xds_server.api.document import Body, Document, Revision
from xds_server.api.kubernetes import (
    REGION,
    ZONE,
    Container,
    ContainerResources,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    Hint,
    Metadata,
    Node,
    ObjectReference,
    Pod,
    PodSpec,
    Service,
    ServicePort,
    ServiceSpec,
    SliceEndpoint,
)
from xds_server.api.model import Model
from xds_server.api.policy import (
    ClientSelector,
    LoadBalancer,
    PolicyMetadata,
    PolicySpec,
    TargetKind,
    TargetRef,
    TrafficPolicy,
)
from xds_server.api.problem import FieldPath, ObjectKey, Place

HTTP = ServicePort(port=80, name="http")
TCP = ServicePort(port=5432, name="postgres")


def document(body: Body, source: str = "test.yaml", line: int = 1) -> Document:
    """Return *body* as a document; the column tells the length of a path."""
    metadata = body.metadata

    def locate(path: FieldPath) -> Place:
        return Place(source, line, 1 + len(path))

    return Document(
        key=ObjectKey(type(body).__name__, metadata.namespace, metadata.name),
        body=body,
        locate=locate,
    )


def service(
    name: str = "web",
    *,
    ports: Sequence[ServicePort] = (HTTP,),
    annotations: Mapping[str, str] | None = None,
    spec: ServiceSpec | None = None,
    source: str = "test.yaml",
    namespace: str = "shop",
) -> Document:
    """Return a Service of the namespace `shop`, or another."""
    return document(
        Service(
            metadata=Metadata(
                name=name, namespace=namespace, annotations=dict(annotations or {})
            ),
            spec=spec or ServiceSpec(ports=tuple(ports)),
        ),
        source,
    )


def endpoint(
    address: str,
    *,
    pod: str | None = None,
    conditions: EndpointConditions | None = None,
    zone: str | None = None,
    node: str | None = None,
    for_zones: Sequence[str] = (),
    for_nodes: Sequence[str] = (),
) -> SliceEndpoint:
    """Return an endpoint of a slice, with a Pod behind it if one is named."""
    hints = EndpointHints(
        for_zones=tuple(Hint(name=each) for each in for_zones),
        for_nodes=tuple(Hint(name=each) for each in for_nodes),
    )
    return SliceEndpoint(
        addresses=(address,),
        conditions=conditions or EndpointConditions(),
        target_ref=ObjectReference(kind="Pod", name=pod) if pod else None,
        zone=zone,
        node_name=node,
        hints=hints if for_zones or for_nodes else None,
    )


def slice_of(
    endpoints: Sequence[SliceEndpoint | str],
    *,
    name: str = "web-1",
    service: str | None = "web",
    address_type: str = "IPv4",
    ports: Sequence[EndpointPort] = (EndpointPort(name="http", port=8080),),
) -> Document:
    """Return an EndpointSlice of a Service in the namespace `shop`."""
    labels = {"kubernetes.io/service-name": service} if service else {}
    return document(
        EndpointSlice(
            metadata=Metadata(name=name, namespace="shop", labels=labels),
            address_type=address_type,
            ports=tuple(ports),
            endpoints=tuple(
                endpoint(each) if isinstance(each, str) else each for each in endpoints
            ),
        )
    )


def node(name: str, *, region: str = "", zone: str = "") -> Document:
    """Return a Node in a *zone* of a *region*."""
    places = {REGION: region, ZONE: zone}
    labels = {key: value for key, value in places.items() if value}
    return document(Node(metadata=Metadata(name=name, labels=labels)))


def pod(
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    requests: Sequence[str] = (),
    revision: Revision | None = None,
) -> Document:
    """Return a Pod of the namespace `shop`, a container for each CPU request.

    It is in a file, unless it has a *revision* by an API server.
    """
    found = document(
        Pod(
            metadata=Metadata(
                name=name,
                namespace="shop",
                labels=dict(labels or {}),
                annotations=dict(annotations or {}),
            ),
            spec=PodSpec(
                containers=tuple(
                    Container(resources=ContainerResources(requests={"cpu": cpu}))
                    for cpu in requests
                )
            ),
        )
    )
    return replace(found, revision=revision)


def policy(
    name: str = "policy",
    load_balancer: LoadBalancer | None = None,
    *,
    targets: Sequence[str] = ("web",),
    source: str = "policy.yaml",
    namespace: str = "shop",
    clients: Mapping[str, str] | ClientSelector | None = None,
    **sections: Model | float,
) -> Document:
    """Return a policy for *targets*: each `service`, `service:section` or `*`.

    The last is its whole *namespace*. It has a load balancer, unless it has other
    *sections* alone. *clients* are those whose traffic it is for, or their labels.
    """
    if isinstance(clients, Mapping):
        clients = ClientSelector(match_labels=tuple(clients.items()))
    references = []
    for target in targets:
        if target == "*":
            references.append(TargetRef(kind=TargetKind.NAMESPACE, name=namespace))
            continue
        service_name, _, section = target.partition(":")
        references.append(
            TargetRef(
                kind=TargetKind.SERVICE, name=service_name, section_name=section or None
            )
        )
    return document(
        TrafficPolicy(
            api_version="traffic.xds-server.dev/v1alpha1",
            kind="TrafficPolicy",
            metadata=PolicyMetadata(namespace=namespace, name=name),
            spec=PolicySpec.model_validate(
                {
                    "target_refs": tuple(references),
                    "load_balancer": load_balancer
                    or (None if sections else LoadBalancer()),
                    "client_selector": clients,
                    **sections,
                }
            ),
        ),
        source,
    )
