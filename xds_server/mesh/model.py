"""The resolved mesh: what the documents mean, before Envoy is mentioned.

Frozen values, compared before anything is published.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from xds_server.api.policy import (
    AdaptiveConcurrency,
    AdmissionControl,
    CircuitBreaker,
    Connection,
    EnvoyPatch,
    HealthCheck,
    LoadBalancer,
    Locality as LocalityPolicy,
    OutlierDetection,
    Overload,
    OverrideHost,
    PerformanceSource,
    RateLimit,
    Retry,
    Session,
    StaleEndpoints,
    Tls,
)
from xds_server.api.problem import ObjectKey
from xds_server.xds import Labels


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


class Section(StrEnum):
    """The parts of a policy that count each by itself, as users write them."""

    LOAD_BALANCER = "loadBalancer"
    LOCALITY = "locality"
    HEALTH_CHECK = "healthCheck"
    OUTLIER_DETECTION = "outlierDetection"
    PANIC_THRESHOLD = "panicThreshold"
    CIRCUIT_BREAKER = "circuitBreaker"
    RETRY = "retry"
    CONNECTION = "connection"
    SESSION = "session"
    OVERRIDE_HOST = "overrideHost"
    RATE_LIMIT = "rateLimit"
    ADMISSION_CONTROL = "admissionControl"
    ADAPTIVE_CONCURRENCY = "adaptiveConcurrency"
    TLS = "tls"
    OVERLOAD = "overload"
    STALE_ENDPOINTS = "staleEndpoints"
    ENVOY_PATCH = "envoyPatch"

    @property
    def field(self) -> str:
        """What it is called in a `PolicySpec` and in `Sections`."""
        return self.name.lower()


class Level(IntEnum):
    """How much a policy is for: the less, the stronger."""

    PORT = 0
    SERVICE = 1
    NAMESPACE = 2
    MESH = 3

    @property
    def is_broad(self) -> bool:
        """Whether it is for whatever Services there are, without naming one."""
        return self >= Level.NAMESPACE


class Origin(NamedTuple):
    """Who gave a section of an upstream: a policy, or the Service by its annotation."""

    section: Section
    key: ObjectKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """What policies say of an upstream beside how it is balanced, a field a section.

    None where no policy has a section that fits.
    """

    locality: LocalityPolicy | None = None
    health_check: HealthCheck | None = None
    outlier_detection: OutlierDetection | None = None
    panic_threshold: float | None = None
    circuit_breaker: CircuitBreaker | None = None
    retry: Retry | None = None
    connection: Connection | None = None
    session: Session | None = None
    override_host: OverrideHost | None = None
    rate_limit: RateLimit | None = None
    admission_control: AdmissionControl | None = None
    adaptive_concurrency: AdaptiveConcurrency | None = None
    tls: Tls | None = None
    overload: Overload | None = None
    stale_endpoints: StaleEndpoints | None = None
    envoy_patch: EnvoyPatch | None = None

    @property
    def present(self) -> tuple[Section, ...]:
        """Those that some policy gave; a field is named like its section."""
        return tuple(
            section
            for section in Section
            if getattr(self, section.field, None) is not None
        )

    @property
    def of_routes(self) -> "Sections":
        """Those of them that routes depend on."""
        found = (self.session, self.rate_limit, self.adaptive_concurrency)
        if found == (None,) * len(found):
            return NO_SECTIONS
        session, rate_limit, adaptive_concurrency = found
        return Sections(
            session=session,
            rate_limit=rate_limit,
            adaptive_concurrency=adaptive_concurrency,
        )


NO_SECTIONS: Final = Sections()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Locality:
    """Where an endpoint or a client runs; empty where unknown."""

    region: str = ""
    zone: str = ""


class PodCpu(NamedTuple):
    """A Pod whose CPU is the load of an endpoint, and how many cores it requests."""

    namespace: str
    name: str
    request: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server of an upstream.

    `address` is an IP address in canonical form, or a DNS name where the upstream's
    discovery is DNS. `weight` is None where the algorithm takes no weights; all
    endpoints of an upstream have one or none has. `base_weight` is what its policy
    gives an endpoint whose weight the control loop computes, and None elsewhere;
    `pod_cpu` is its Pod, where the loop goes by that. `near` are, for each part of its
    upstream's `failover`, the values of the clients that it is near to.
    """

    address: str
    port: int
    health: Health = Health.HEALTHY
    weight: int | None = None
    locality: Locality = Locality()
    near: tuple[tuple[str, ...], ...] = ()
    base_weight: int | None = None
    pod_cpu: PodCpu | None = None

    @property
    def authority(self) -> str:
        """Address and port in one text, as load reports name an endpoint."""
        if ":" in self.address:
            return f"[{self.address}]:{self.port}"
        return f"{self.address}:{self.port}"


def is_weighed(
    load_balancer: LoadBalancer, protocol: Protocol, discovery: Discovery
) -> bool:
    """Whether the control loop computes the weights of what is balanced so.

    Only answers to requests tell anything, and reports name endpoints by address.
    """
    block = load_balancer.performance_based
    return (
        block is not None
        and block.source is PerformanceSource.CONTROL_PLANE
        and protocol is not Protocol.TCP
        and discovery is Discovery.EDS
    )


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

    `origins` names the objects that shaped it, for whoever has to trace a rejection.
    `failover` is what a client's first choice has in common with it, and what the next
    has, as policies write it: clients of different places are then told different
    things. `variants` are what
    clients with some labels get in its place. It `awaits_weights` while the control
    loop, which is to compute them, has not said any: then all have their base weights.
    """

    namespace: str
    service: str
    port: Port
    discovery: Discovery
    load_balancer: LoadBalancer
    endpoints: tuple[Endpoint, ...]
    sections: Sections = NO_SECTIONS
    origins: tuple[Origin, ...] = ()
    failover: tuple[str, ...] = ()
    variants: "tuple[Variant, ...]" = ()
    awaits_weights: bool = False

    @property
    def policies(self) -> tuple[ObjectKey, ...]:
        """The objects that shaped it, each once."""
        return tuple(dict.fromkeys(origin.key for origin in self.origins))

    @property
    def is_weighed(self) -> bool:
        """Whether the control loop computes the weights of its endpoints."""
        return is_weighed(self.load_balancer, self.port.protocol, self.discovery)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What an upstream is for clients that have *labels*, and no other variant's."""

    labels: Labels
    upstream: Upstream


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
