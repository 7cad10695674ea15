"""The Kubernetes objects we read, as msgspec structs: only the fields that matter.

Unknown fields are passed over: Kubernetes adds some with each release.
"""

from typing import Final

import msgspec

REGION: Final = "topology.kubernetes.io/region"
ZONE: Final = "topology.kubernetes.io/zone"


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What all objects share: frozen, camelCase outside, unknown fields ignored."""


class Metadata(Struct, frozen=True):
    """An object's identity and what others wrote on it."""

    name: str
    namespace: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class ServicePort(Struct, frozen=True):
    """One port of a Service; `target_port` is the Pod's, by number or name."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    target_port: int | str | None = None


class ServiceSpec(Struct, frozen=True):
    """What a Service is; a `cluster_ip` of `None` (the text) makes it headless.

    The first of `ip_families` is that of its own address.
    """

    type: str = "ClusterIP"
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    external_name: str | None = None
    ports: tuple[ServicePort, ...] = ()
    publish_not_ready_addresses: bool = False
    ip_families: tuple[str, ...] = ()
    traffic_distribution: str | None = None


class Service(Struct, frozen=True):
    """A name for servers (v1)."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()


class EndpointPort(Struct, frozen=True):
    """One port of all endpoints of a slice; no `port` means all ports."""

    name: str | None = None
    port: int | None = None
    protocol: str = "TCP"
    app_protocol: str | None = None


class EndpointConditions(Struct, frozen=True):
    """Unset conditions mean: ready yes, serving as ready, terminating no."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ObjectReference(Struct, frozen=True):
    """The object behind an endpoint, mostly a Pod."""

    kind: str = ""
    namespace: str = ""
    name: str = ""


class Hint(Struct, frozen=True):
    """A zone, or a node, whose clients an endpoint is meant for."""

    name: str


class EndpointHints(Struct, frozen=True):
    """Whose clients an endpoint is meant for; a list that is left out says nothing."""

    for_zones: tuple[Hint, ...] = ()
    for_nodes: tuple[Hint, ...] = ()


class SliceEndpoint(Struct, frozen=True):
    """One server. Several addresses are several names of the same server."""

    addresses: tuple[str, ...]
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None
    target_ref: ObjectReference | None = None


class EndpointSlice(Struct, frozen=True):
    """Some of the servers of a Service (discovery.k8s.io/v1).

    Addresses are canonical after validation: IP addresses as the RFCs write them, DNS
    names in lower case.
    """

    metadata: Metadata
    address_type: str
    ports: tuple[EndpointPort, ...] = ()
    endpoints: tuple[SliceEndpoint, ...] = ()


class ContainerResources(Struct, frozen=True):
    """What a container asks for, as Kubernetes quantities."""

    requests: dict[str, str | int | float] = {}


class Container(Struct, frozen=True):
    """One container of a Pod."""

    resources: ContainerResources = ContainerResources()


class PodSpec(Struct, frozen=True):
    """What a Pod runs."""

    containers: tuple[Container, ...] = ()


class Pod(Struct, frozen=True):
    """What stands behind an endpoint: its labels and annotations weigh it (v1)."""

    metadata: Metadata
    spec: PodSpec = PodSpec()


class Node(Struct, frozen=True):
    """A machine: its labels say in which zone of which region it stands (v1).

    It keeps these labels alone: what else is written on Nodes changes all the time. A
    Node is in no namespace; here that is `default`.
    """

    metadata: Metadata
