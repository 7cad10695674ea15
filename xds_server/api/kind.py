"""Which objects are read, and what each kind makes of its manifest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from typing import Final, TypeVar

import msgspec
import msgspec.inspect

from xds_server.api import kubernetes_rule as rule, policy
from xds_server.api.document import Body
from xds_server.api.kubernetes import (
    REGION,
    ZONE,
    EndpointSlice,
    Metadata,
    Node,
    Pod,
    Service,
)
from xds_server.api.manifest import Manifest, TypeMeta, Value
from xds_server.api.problem import Fault, ObjectKey, Severity
from xds_server.api.shape import mismatches, without_nulls
from xds_server.api.wording import written

_SIMILAR: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """An object we read: where it is defined, and how to read it.

    `read` gives no body where a fault is an error.
    """

    api_version: str
    read: Callable[[Manifest], tuple[Body | None, list[Fault]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a manifest: a body, unless a fault is an error.

    `is_ours` is False for objects that are none of our business; `key` is unset where
    the object does not say who it is.
    """

    faults: list[Fault]
    body: Body | None = None
    key: ObjectKey | None = None
    is_ours: bool = True


def judge(manifest: Manifest) -> Verdict:
    """Read one object as what it says it is."""
    value = manifest.value
    if not isinstance(value, dict):
        message = f"must be a mapping (got {written(value)})"
        hint = "an object begins with apiVersion: and kind:"
        return Verdict(faults=[Fault(path=(), message=message, hint=hint)])
    meta = manifest.type_meta
    if not isinstance(meta.kind, str):
        return Verdict(faults=[_not_text("kind", meta.kind, ", ".join(KINDS))])
    key = _key(meta.kind, value)
    kind = KINDS.get(meta.kind)
    if kind is None:
        return _stranger(meta.kind, meta, key)
    if not isinstance(meta.api_version, str):
        fault = _not_text("apiVersion", meta.api_version, kind.api_version)
        return Verdict(faults=[fault], key=key)
    if meta.api_version != kind.api_version:
        return _other_version(meta.kind, meta.api_version, kind, key)
    body, faults = kind.read(manifest)
    return Verdict(body=body, faults=faults, key=key)


def _key(kind: str, value: dict[str, Value]) -> ObjectKey | None:
    """Make out who an object is, however little of it is right."""
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(name, str) or not isinstance(namespace, str | None):
        return None
    return ObjectKey(kind, namespace or "default", name)


def _not_text(field: str, found: Value, expected: str) -> Fault:
    if found is None:
        hint = f"{field}: {expected}" if field == "apiVersion" else f"one of {expected}"
        return Fault(path=(field,), message="required", hint=hint)
    return Fault(path=(field,), message=f"must be a string (got {written(found)})")


def _stranger(kind: str, meta: TypeMeta, key: ObjectKey | None) -> Verdict:
    """Pass over a kind that is not ours, unless one of ours was meant."""
    base = kind.removesuffix("List")
    if kind != base and (not base or base in KINDS):
        fault = Fault(path=("items",), message="must be a list of objects")
        return Verdict(faults=[fault])
    group = _group(meta.api_version)
    ours = {
        name.casefold(): name
        for name, one in KINDS.items()
        if meta.api_version is None or group == _group(one.api_version)
    }
    close = get_close_matches(kind.casefold(), ours, n=1, cutoff=_SIMILAR)
    if close:
        meant = ours[close[0]]
        fault = Fault(
            path=("kind",),
            message=f"unknown kind {written(kind)}",
            hint=f"did you mean {meant}?",
        )
        return Verdict(faults=[fault], key=key and key._replace(kind=meant))
    return _ignored(kind, key)


def _other_version(
    name: str, api_version: str, kind: Kind, key: ObjectKey | None
) -> Verdict:
    """Refuse a version that we do not read, pass over the same name from elsewhere."""
    group, expected = _group(api_version), _group(kind.api_version)
    similarity = SequenceMatcher(None, group, expected).ratio()
    is_kubernetes = "." not in group or group.endswith(".k8s.io")
    if not is_kubernetes and similarity < _SIMILAR:
        return _ignored(f"{name} of {api_version}", key)
    fault = Fault(
        path=("apiVersion",),
        message=f"unknown version of {name} (got {written(api_version)})",
        hint=f"apiVersion: {kind.api_version}",
    )
    return Verdict(faults=[fault], key=key)


def _group(api_version: Value) -> str:
    """Give the API group; the core group, which has no name, by its version."""
    return str(api_version).partition("/")[0]


def _ignored(what: str, key: ObjectKey | None) -> Verdict:
    fault = Fault(
        path=("kind",),
        message=f"{what} is not read here: ignored",
        severity=Severity.NOTICE,
    )
    return Verdict(faults=[fault], key=key, is_ours=False)


def _read_policy(manifest: Manifest) -> tuple[Body | None, list[Fault]]:
    meta = manifest.type_meta
    value = manifest.value
    if isinstance(value, dict):
        value = {**value, "apiVersion": meta.api_version, "kind": meta.kind}
    found = policy.validate_policy(value)
    if isinstance(found, list):
        return None, found
    return found, list(policy.notices(found, value))


Struct = TypeVar("Struct", bound=Service | EndpointSlice | Pod | Node)


def _convert(manifest: Manifest, shape: type[Struct]) -> Struct | list[Fault]:
    """Read a Kubernetes object; nulls are dropped only where they are in the way."""
    try:
        return msgspec.convert(manifest.value, shape)
    except msgspec.ValidationError:
        value = without_nulls(manifest.value)
    faults = list(mismatches(value, msgspec.inspect.type_info(shape)))
    return faults or msgspec.convert(value, shape)


def _read_service(manifest: Manifest) -> tuple[Body | None, list[Fault]]:
    service = _convert(manifest, Service)
    if isinstance(service, list):
        return None, service
    # The name is one label of host names, and part of the names that Envoy knows.
    faults = list(rule.metadata_faults(service.metadata, dotted=False))
    faults += rule.service_faults(service)
    return service, faults


def _read_slice(manifest: Manifest) -> tuple[Body | None, list[Fault]]:
    found = _convert(manifest, EndpointSlice)
    if isinstance(found, list):
        return None, found
    endpoints, faults = rule.canonical_endpoints(found)
    faults += rule.metadata_faults(found.metadata)
    faults += rule.slice_faults(found)
    return msgspec.structs.replace(found, endpoints=endpoints), faults


def _read_pod(manifest: Manifest) -> tuple[Body | None, list[Fault]]:
    pod = _convert(manifest, Pod)
    if isinstance(pod, list):
        return None, pod
    return pod, list(rule.metadata_faults(pod.metadata))


def _read_node(manifest: Manifest) -> tuple[Body | None, list[Fault]]:
    node = _convert(manifest, Node)
    if isinstance(node, list):
        return None, node
    metadata = node.metadata
    kept = Metadata(
        name=metadata.name,
        namespace=metadata.namespace,
        labels={
            key: metadata.labels[key] for key in {REGION, ZONE} & metadata.labels.keys()
        },
    )
    return Node(metadata=kept), list(rule.metadata_faults(metadata))


KINDS: Final[Mapping[str, Kind]] = {
    "TrafficPolicy": Kind(api_version=policy.API_VERSION, read=_read_policy),
    "Service": Kind(api_version="v1", read=_read_service),
    "EndpointSlice": Kind(api_version="discovery.k8s.io/v1", read=_read_slice),
    "Pod": Kind(api_version="v1", read=_read_pod),
    "Node": Kind(api_version="v1", read=_read_node),
}
