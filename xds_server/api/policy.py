"""TrafficPolicy (traffic.xds-server.dev/v1alpha1): every field a user may write.

Plain data after validation: frozen, hashable, defaults filled in. The block named like
`LoadBalancer.type` is always present after validation, the others never.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, ValidationError
from pydantic_core import PydanticCustomError

from xds_server.api.algorithm import (
    AddressFrom,
    HashAlgorithm,
    HashFunction,
    IPHash,
    LeastRequest,
    LoadBalancerType,
    Maglev,
    PerformanceBased,
    PerformanceSource,
    RingHash,
    Selection,
    SelectionMethod,
    Weighted,
)
from xds_server.api.field import Choice, DnsLabel, DnsName
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
from xds_server.api.load_balancer import (
    LoadBalancer,
    SlowStart,
    default_load_balancer,
)
from xds_server.api.model import DOCUMENT, Model, faults_of
from xds_server.api.problem import Fault, FieldPath, Severity
from xds_server.api.schema import Rule, form
from xds_server.api.weights import (
    ResourceRequest,
    WeightGroup,
    WeightRule,
    Weights,
)

__all__ = [
    "API_VERSION",
    "FIRST_FORWARDED",
    "AddressFrom",
    "HashAlgorithm",
    "HashCookie",
    "HashFunction",
    "HashHeader",
    "HashKey",
    "HashQueryParameter",
    "IPHash",
    "LeastRequest",
    "LoadBalancer",
    "LoadBalancerType",
    "Maglev",
    "Model",
    "PerformanceBased",
    "PerformanceSource",
    "PolicyMetadata",
    "PolicySpec",
    "Regex",
    "ResourceRequest",
    "RingHash",
    "SameSite",
    "Selection",
    "SelectionMethod",
    "SlowStart",
    "SourceIP",
    "TargetRef",
    "TrafficPolicy",
    "WeightGroup",
    "WeightRule",
    "Weighted",
    "Weights",
    "default_load_balancer",
    "notices",
    "parse_load_balancer_type",
    "validate_policy",
]

API_VERSION: Final = "traffic.xds-server.dev/v1alpha1"


class TargetKind(Choice):
    """What a policy may be attached to."""

    SERVICE = "Service"
    NAMESPACE = "Namespace"

    @classmethod
    def built(cls) -> tuple[Self, ...]:
        """Give all but those that come later."""
        return (cls.SERVICE,)


class TargetRef(Model):
    """What a policy is for: a Service of its namespace, or one port of it.

    `section_name` is the port's name, or its number where it has none.
    """

    group: Annotated[str, form(enum=[""])] = ""
    """Of the target: only the core group."""
    kind: TargetKind
    """Of the target: `Service`."""
    name: DnsLabel
    """A Service of the policy's namespace."""
    section_name: DnsLabel | None = None
    """One port, by its name, or by its number where it has none; left out: all ports.
    """

    def value_faults(self) -> Iterable[Fault]:
        """Refuse what cannot be a target, or not yet."""
        if self.group:
            hint = 'Services are of the core group: group: ""'
            message = f'must be "" (got "{self.group}")'
            yield Fault(path=("group",), message=message, hint=hint)
        if self.kind not in TargetKind.built():
            hint = "name the Services of the namespace one by one"
            message = f"{self.kind} is not supported yet"
            yield Fault(path=("kind",), message=message, hint=hint)


class PolicySpec(Model):
    """What is attached to what."""

    later = frozenset(
        {
            "adaptiveConcurrency",
            "admissionControl",
            "circuitBreaker",
            "clientSelector",
            "connection",
            "envoyPatch",
            "healthCheck",
            "locality",
            "outlierDetection",
            "overload",
            "overrideHost",
            "panicThreshold",
            "rateLimit",
            "retry",
            "session",
            "staleEndpoints",
            "tls",
        }
    )

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="self.targetRefs.all(one, self.targetRefs.exists_one(other, "
            "one.kind == other.kind && one.name == other.name && "
            "(has(one.sectionName) ? one.sectionName : '') == "
            "(has(other.sectionName) ? other.sectionName : '')))",
            message="named twice",
            at="targetRefs",
        ),
    )

    target_refs: tuple[TargetRef, ...] = Field(min_length=1, max_length=16)
    """What the policy is for."""
    load_balancer: LoadBalancer | None = None
    """How requests (of TCP: connections) are spread."""

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a target that is named twice."""
        seen: set[TargetRef] = set()
        for position, target in enumerate(self.target_refs):
            if target in seen:
                message = f'named twice (got Service "{target.name}" again)'
                yield Fault(path=("targetRefs", position), message=message)
            seen.add(target)


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
    """Where the Services are that it targets."""
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


def validate_policy(value: object) -> TrafficPolicy | list[Fault]:
    """Read what a user wrote; all its faults at once where there are any."""
    try:
        return TrafficPolicy.model_validate(value, context=DOCUMENT)
    except ValidationError as error:
        return faults_of(error)


def notices(policy: TrafficPolicy, value: object) -> Iterable[Fault]:
    """Say what was accepted but is better written otherwise."""
    load_balancer = policy.spec.load_balancer
    if load_balancer is None:
        yield Fault(
            path=("spec",),
            message="sets nothing: loadBalancer is left out",
            severity=Severity.WARNING,
        )
    elif "type" not in load_balancer.model_fields_set:
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
