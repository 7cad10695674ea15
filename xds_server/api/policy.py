"""TrafficPolicy (traffic.xds-server.dev/v1alpha1): every field a user may write.

Plain data after validation: frozen, hashable, defaults filled in. The block named like
`LoadBalancer.type` is always present after validation, the others never.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Final

from pydantic import Field, ValidationError
from pydantic_core import PydanticCustomError

from xds_server.api.adaptive_concurrency import AdaptiveConcurrency, MinRTT
from xds_server.api.admission_control import AdmissionControl
from xds_server.api.algorithm import (
    AddressFrom,
    HashAlgorithm,
    HashFunction,
    IPHash,
    LeastRequest,
    LoadBalancerType,
    Maglev,
    RingHash,
    Selection,
    SelectionMethod,
    Weighted,
)
from xds_server.api.circuit_breaker import (
    CircuitBreaker,
    EndpointLimits,
    RetryBudget,
)
from xds_server.api.combination import HINT, clash_of, combination_rules
from xds_server.api.connection import (
    Connection,
    Http2Connection,
    Http2Keepalive,
    ProxyProtocol,
    SpokenProtocol,
    TcpKeepalive,
)
from xds_server.api.envoy_patch import EnvoyPatch
from xds_server.api.field import Choice, DnsLabel, DnsName, Labels
from xds_server.api.hash_key import (
    FIRST_FORWARDED,
    HashCookie,
    HashHeader,
    HashKey,
    HashQueryParameter,
    Regex,
    SameSite,
    SourceIP,
)
from xds_server.api.health_check import (
    CheckMethod,
    Codec,
    GrpcCheck,
    HealthCheck,
    HealthCheckType,
    HttpCheck,
    TcpCheck,
    status_range,
)
from xds_server.api.load_balancer import (
    LoadBalancer,
    SlowStart,
    default_load_balancer,
)
from xds_server.api.locality import (
    ClientPlace,
    Failover,
    ForceLocalZone,
    LoadAware,
    Locality,
    LocalityBasis,
    LocalityRule,
    LocalityShare,
    LocalityType,
    Unlisted,
    WeightedLocality,
    ZoneAware,
)
from xds_server.api.model import DOCUMENT, Model, faults_of
from xds_server.api.outlier_detection import (
    FailurePercentage,
    OutlierDetection,
    SuccessRate,
)
from xds_server.api.overload import Overload
from xds_server.api.override_host import OverrideHeader, OverrideHost
from xds_server.api.performance import (
    PerformanceBalance,
    PerformanceBased,
    PerformanceSource,
)
from xds_server.api.problem import Fault, FieldPath, Severity
from xds_server.api.rate_limit import RateLimit
from xds_server.api.retry import Backoff, Retry, RetryCondition
from xds_server.api.schema import FORBIDDEN, Rule, form
from xds_server.api.session import (
    Session,
    SessionCookie,
    SessionHeader,
    SessionType,
)
from xds_server.api.stale_endpoints import StaleEndpoints
from xds_server.api.tls import (
    CertificateAuthority,
    ClientCertificate,
    Tls,
    TlsMode,
    TlsVersion,
)
from xds_server.api.weights import (
    ResourceRequest,
    WeightGroup,
    WeightRule,
    Weights,
)
from xds_server.api.wording import got

__all__ = [
    "API_VERSION",
    "FIRST_FORWARDED",
    "AdaptiveConcurrency",
    "AddressFrom",
    "AdmissionControl",
    "Backoff",
    "CertificateAuthority",
    "CheckMethod",
    "CircuitBreaker",
    "ClientCertificate",
    "ClientPlace",
    "ClientSelector",
    "Codec",
    "Connection",
    "EndpointLimits",
    "EnvoyPatch",
    "Failover",
    "FailurePercentage",
    "ForceLocalZone",
    "GrpcCheck",
    "HashAlgorithm",
    "HashCookie",
    "HashFunction",
    "HashHeader",
    "HashKey",
    "HashQueryParameter",
    "HealthCheck",
    "HealthCheckType",
    "Http2Connection",
    "Http2Keepalive",
    "HttpCheck",
    "IPHash",
    "LeastRequest",
    "LoadAware",
    "LoadBalancer",
    "LoadBalancerType",
    "Locality",
    "LocalityBasis",
    "LocalityRule",
    "LocalityShare",
    "LocalityType",
    "Maglev",
    "MinRTT",
    "Model",
    "OutlierDetection",
    "Overload",
    "OverrideHeader",
    "OverrideHost",
    "PerformanceBalance",
    "PerformanceBased",
    "PerformanceSource",
    "PolicyMetadata",
    "PolicySpec",
    "ProxyProtocol",
    "RateLimit",
    "Regex",
    "ResourceRequest",
    "Retry",
    "RetryBudget",
    "RetryCondition",
    "RingHash",
    "SameSite",
    "Selection",
    "SelectionMethod",
    "Session",
    "SessionCookie",
    "SessionHeader",
    "SessionType",
    "SlowStart",
    "SourceIP",
    "SpokenProtocol",
    "StaleEndpoints",
    "SuccessRate",
    "TargetRef",
    "TcpCheck",
    "TcpKeepalive",
    "Tls",
    "TlsMode",
    "TlsVersion",
    "TrafficPolicy",
    "Unlisted",
    "WeightGroup",
    "WeightRule",
    "Weighted",
    "WeightedLocality",
    "Weights",
    "ZoneAware",
    "default_load_balancer",
    "notices",
    "parse_load_balancer_type",
    "status_range",
    "validate_policy",
]

API_VERSION: Final = "traffic.xds-server.dev/v1alpha1"


class TargetKind(Choice):
    """What a policy may be attached to."""

    SERVICE = "Service"
    NAMESPACE = "Namespace"


_NO_SECTION: Final = "a Namespace has no ports"


class TargetRef(Model):
    """What a policy is for: a Service of its namespace, a port of it, or all Services.

    `section_name` is the port's name, or its number where it has none.
    """

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="self.kind != 'Namespace' || !has(self.sectionName)",
            message=_NO_SECTION,
            at="sectionName",
            reason=FORBIDDEN,
        ),
    )

    group: Annotated[str, form(enum=[""])] = ""
    """Of the target: only the core group."""
    kind: TargetKind
    """Of the target: `Service`, or `Namespace`: every Service of the policy's own one;
    of the root namespace it is every Service of the mesh."""
    name: DnsLabel
    """A Service of the policy's namespace, or that namespace itself."""
    section_name: DnsLabel | None = None
    """One port, by its name, or by its number where it has none; left out: all ports.
    """

    def value_faults(self) -> Iterable[Fault]:
        """Refuse what cannot be a target."""
        if self.group:
            hint = 'Services are of the core group: group: ""'
            message = f'must be "" (got "{self.group}")'
            yield Fault(path=("group",), message=message, hint=hint)
        if self.kind is TargetKind.NAMESPACE and self.section_name is not None:
            message = f"{_NO_SECTION}{got(self.section_name)}"
            hint = "leave it out, or name a Service"
            yield Fault(path=("sectionName",), message=message, hint=hint)

    @classmethod
    def _unusable_fields(cls, value: Mapping[str, object]) -> Iterator[Fault]:
        """Say of a target in another namespace why there can be none."""
        for fault in super()._unusable_fields(value):
            if fault.path == ("namespace",):
                found = got(value["namespace"])
                message = f"a policy cannot reach into another namespace{found}"
                yield replace(fault, message=message, hint=_ELSEWHERE)
            else:
                yield fault


_ELSEWHERE: Final = (
    "leave it out: targets are in the namespace of the policy, which may be that of "
    "the Service"
)


_ANYBODY: Final = "needs namespaces, matchLabels or both"


class ClientSelector(Model):
    """Whose traffic the policy is for: clients by their namespaces and labels."""

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(holds="has(self.namespaces) || has(self.matchLabels)", message=_ANYBODY),
    )

    namespaces: Annotated[
        tuple[DnsLabel, ...] | None, form(**{"x-kubernetes-list-type": "set"})
    ] = Field(default=None, min_length=1, max_length=16)
    """Clients in one of these namespaces; left out: in any."""
    match_labels: Labels | None = None
    """Clients with all of these labels: `node.metadata.labels` of their bootstrap; left
    out: with any."""

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Ask who is meant: a policy for everybody has no selector."""
        if given.keys().isdisjoint({"namespaces", "matchLabels"}):
            yield Fault(path=(), message=f"{_ANYBODY} (got none)")

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a namespace that is named twice."""
        seen: set[str] = set()
        for position, each in enumerate(self.namespaces or ()):
            if each in seen:
                message = f"named twice (got {each} again)"
                yield Fault(path=("namespaces", position), message=message)
            seen.add(each)


class PolicySpec(Model):
    """What is attached to what."""

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="self.targetRefs.all(one, self.targetRefs.exists_one(other, "
            "one.kind == other.kind && one.name == other.name && "
            "(has(one.sectionName) ? one.sectionName : '') == "
            "(has(other.sectionName) ? other.sectionName : '')))",
            message="named twice",
            at="targetRefs",
        ),
        *combination_rules(),
    )

    target_refs: tuple[TargetRef, ...] = Field(min_length=1, max_length=16)
    """What the policy is for."""
    client_selector: ClientSelector | None = None
    """Whose traffic it is for; left out: everybody's."""
    load_balancer: LoadBalancer | None = None
    """How requests (of TCP: connections) are spread."""
    locality: Locality | None = None
    """Which endpoints are used by where they run; left out: what the Service's
    `trafficDistribution` says."""
    health_check: HealthCheck | None = None
    """How each Envoy finds out which endpoints answer; left out: none is asked."""
    outlier_detection: OutlierDetection | None = None
    """How each Envoy takes out endpoints that answer badly; left out: it does not."""
    panic_threshold: float | None = Field(default=None, ge=0, le=100)
    """Where less than this percentage of endpoints is healthy, health does not count,
    and all get traffic; `0`: health always counts; left out: 50."""
    circuit_breaker: CircuitBreaker | None = None
    """How much each Envoy sends at once; left out: as with `{}`."""
    retry: Retry | None = None
    """Which requests each Envoy sends again where they fail; left out: none."""
    connection: Connection | None = None
    """How each Envoy keeps its connections to endpoints; left out: as with `{}`."""
    session: Session | None = None
    """How a client stays with the endpoint that answered it first; left out: it does
    not."""
    override_host: OverrideHost | None = None
    """How callers may choose an endpoint themselves; left out: they may not."""
    rate_limit: RateLimit | None = None
    """How many requests each Envoy lets through; left out: all."""
    admission_control: AdmissionControl | None = None
    """How each Envoy refuses requests while many fail; left out: it does not."""
    adaptive_concurrency: AdaptiveConcurrency | None = None
    """How each Envoy sends fewer requests at once while answers take long; left out: it
    does not."""
    tls: Tls | None = None
    """Whether connections to endpoints are encrypted, and who is trusted; left out:
    they are not."""
    overload: Overload | None = None
    """How much of the traffic each Envoy turns away; left out: nothing."""
    stale_endpoints: StaleEndpoints | None = None
    """How long each Envoy uses endpoints without hearing of them; left out: for good.
    """
    envoy_patch: EnvoyPatch | None = None
    """What is changed in what Envoys are sent, in Envoy's own words; the last resort.
    """

    @property
    def sections(self) -> tuple[str, ...]:
        """The sections that are there, as users write them."""
        return tuple(
            alias
            for name, alias in self.known_sections().items()
            if getattr(self, name) is not None
        )

    @classmethod
    def known_sections(cls) -> Mapping[str, str]:
        """Give all sections that are built, and how users write them."""
        return {
            name: field.alias or name
            for name, field in cls.model_fields.items()
            if name not in ("target_refs", "client_selector")
        }

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a target that is named twice, and sections that do not fit."""
        seen: set[TargetRef] = set()
        for position, target in enumerate(self.target_refs):
            if target in seen:
                message = f'named twice (got {target.kind} "{target.name}" again)'
                yield Fault(path=("targetRefs", position), message=message)
            seen.add(target)
        if self.locality is not None and self.load_balancer is not None:
            clash = clash_of(self.load_balancer, self.locality)
            if clash is not None:
                yield Fault(path=("locality", "type"), message=clash, hint=HINT)


class PolicyMetadata(Model):
    """The policy's identity."""

    passed_over = frozenset(
        {
            "annotations",
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "finalizers",
            "generateName",
            "generation",
            "labels",
            "managedFields",
            "ownerReferences",
            "resourceVersion",
            "selfLink",
            "uid",
        }
    )

    namespace: DnsLabel = "default"
    """Where the Services are that it targets, but for the root namespace's."""
    name: DnsName
    """Tells policies apart; of two that are as old, the first by `namespace/name`
    wins."""


class TrafficPolicy(Model):
    """How the traffic of some Services is handled."""

    passed_over = frozenset({"status"})

    api_version: str
    kind: str
    metadata: PolicyMetadata
    spec: PolicySpec

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a Namespace that is not the policy's own."""
        own = self.metadata.namespace
        for position, target in enumerate(self.spec.target_refs):
            if target.kind is TargetKind.NAMESPACE and target.name != own:
                yield Fault(
                    path=("spec", "targetRefs", position, "name"),
                    message=f"must be the policy's own namespace, {own}"
                    f"{got(target.name)}",
                    hint="a policy for another namespace has to be in it",
                )


def validate_policy(value: object) -> TrafficPolicy | list[Fault]:
    """Read what a user wrote; all its faults at once where there are any."""
    try:
        return TrafficPolicy.model_validate(value, context=DOCUMENT)
    except ValidationError as error:
        return faults_of(error)


def notices(policy: TrafficPolicy, value: object) -> Iterable[Fault]:
    """Say what was accepted but is better written otherwise."""
    load_balancer, known = policy.spec.load_balancer, PolicySpec.known_sections()
    if not policy.spec.sections:
        yield Fault(
            path=("spec",),
            message=f"sets nothing: has none of {', '.join(known.values())}",
            severity=Severity.WARNING,
        )
    if load_balancer and "type" not in load_balancer.model_fields_set:
        yield Fault(
            path=("spec", "loadBalancer", "type"),
            message=f"left out, which means {load_balancer.type}",
            hint=f"write type: {load_balancer.type}",
            severity=Severity.NOTICE,
        )
    yield from _respellings(policy, value, ())


def parse_load_balancer_type(text: str) -> LoadBalancerType | Fault:
    """Read any spelling of an algorithm's name, as in a Service's annotation."""
    try:
        return LoadBalancerType.parse(text)
    except PydanticCustomError as error:
        return Fault(path=(), **(error.context or {}))


def _respellings(model: Model, value: object, path: FieldPath) -> Iterator[Fault]:
    """Name the canonical spelling of every choice that was written otherwise."""
    if not isinstance(value, dict):
        return
    for name, field in type(model).model_fields.items():
        key = field.alias or name
        meant, written = getattr(model, name), value.get(key)
        if written is None:
            continue
        if isinstance(meant, Choice) and meant != written:
            yield Fault(
                path=(*path, key),
                message=f"{written} is read as {meant}",
                hint=f"write {meant}",
                severity=Severity.NOTICE,
            )
        elif isinstance(meant, Model):
            yield from _respellings(meant, written, (*path, key))
        elif isinstance(meant, tuple) and isinstance(written, list):
            for position, (part, item) in enumerate(zip(meant, written, strict=True)):
                if isinstance(part, Model):
                    yield from _respellings(part, item, (*path, key, position))
