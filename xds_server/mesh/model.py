"""The resolved mesh: what the documents mean, before Envoy is mentioned.

Frozen values, compared before anything is published.
"""

from dataclasses import dataclass
from enum import StrEnum

from xds_server.api.policy import LoadBalancer
from xds_server.api.problem import ObjectKey


class Protocol(StrEnum):
    """What a port speaks: HTTP is balanced by request, TCP by connection."""

    HTTP1 = "http"
    HTTP2 = "http2"
    TCP = "tcp"


class Health(StrEnum):
    """May new traffic go there? Absent endpoints are not in the mesh at all."""

    HEALTHY = "healthy"
    DRAINING = "draining"


class Discovery(StrEnum):
    """How Envoy learns the addresses: from us, or from DNS by the names we give."""

    EDS = "eds"
    DNS = "dns"


class Proximity(StrEnum):
    """What an endpoint may have in common with a client."""

    NODE = "node"
    ZONE = "zone"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Locality:
    """Where an endpoint or a client runs; empty where unknown."""

    region: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server of an upstream.

    `address` is an IP address in canonical form, or a DNS name where the upstream's
    discovery is DNS. `weight` is None where the algorithm takes no weights; all
    endpoints of an upstream have one or none has. `zones` and `nodes` are those whose
    clients it is near to, where its upstream asks for that.
    """

    address: str
    port: int
    health: Health = Health.HEALTHY
    weight: int | None = None
    locality: Locality = Locality()
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One port of a Service. `listen_port` is where a TCP port's own listener is."""

    number: int
    name: str
    protocol: Protocol
    listen_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One port of one Service: what becomes an Envoy cluster and its assignment.

    `policies` names the objects that shaped it, for whoever has to trace a rejection.
    `failover` is what a client's first choice has in common with it, and what the next
    has: clients of different places are then told different things.
    """

    namespace: str
    service: str
    port: Port
    discovery: Discovery
    load_balancer: LoadBalancer
    endpoints: tuple[Endpoint, ...]
    policies: tuple[ObjectKey, ...] = ()
    failover: tuple[Proximity, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A named set of upstreams, one a port, in the order of port numbers."""

    namespace: str
    name: str
    upstreams: tuple[Upstream, ...]


class Role(StrEnum):
    """Where an Envoy stands: beside one client, or in front of the servers."""

    SIDECAR = "sidecar"
    GATEWAY = "gateway"


class Client(StrEnum):
    """What speaks xDS: an Envoy, or an application's own gRPC ("proxyless")."""

    ENVOY = "envoy"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Audience:
    """All that distinguishes what one node sees from what another sees.

    Nodes of equal audience share everything. `namespace` is where short Service names
    are looked up. The listen address and port are those of the outbound HTTP listener;
    TCP listeners use the same address. Role and listeners are an Envoy's: for gRPC they
    have their defaults.
    """

    client: Client = Client.ENVOY
    namespace: str = "default"
    role: Role = Role.SIDECAR
    listen_address: str = "127.0.0.1"
    listen_port: int = 15001
