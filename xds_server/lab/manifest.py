"""Manifests as the lab's server reads them: YAML files of plain values.

Typed objects or policies as written in; files out, each replaced at once, so that the
watching server never sees half of one.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import yaml

from xds_server.api import yaml_syntax
from xds_server.api.kubernetes import EndpointSlice, Node, Pod, Service
from xds_server.api.manifest import Manifest, Value
from xds_server.api.problem import ObjectKey

_API_VERSIONS: Final[dict[type, str]] = {
    EndpointSlice: "discovery.k8s.io/v1",
    Node: "v1",
    Pod: "v1",
    Service: "v1",
}
POLICY_KIND: Final = "TrafficPolicy"


def kubernetes_manifest(body: Service | EndpointSlice | Pod | Node) -> Value:
    """Return *body* as `kubectl get` would print it, in the fields that we read."""
    value: dict[str, Value] = {
        "apiVersion": _API_VERSIONS[type(body)],
        "kind": type(body).__name__,
    }
    value |= msgspec.to_builtins(body)
    return value


def read_policies(file: Path) -> Iterator[tuple[ObjectKey, Value]]:
    """Yield the policies of a file that was read before, as they are written there."""
    for manifest in yaml_syntax.read(file.read_text("utf-8"), source=str(file)):
        if isinstance(manifest, Manifest) and manifest.type_meta.kind == POLICY_KIND:
            metadata = _member(manifest.value, "metadata")
            namespace = _member(metadata, "namespace") or "default"
            name = _member(metadata, "name")
            yield ObjectKey(POLICY_KIND, str(namespace), str(name)), manifest.value


def move_addresses(policy: Value, move: Callable[[str], Iterable[str]]) -> None:
    """Replace the addresses that weight rules of *policy* name by what *move* tells."""
    load_balancer = _member(_member(policy, "spec"), "loadBalancer")
    rules = _member(_member(load_balancer, "weights"), "rules")
    for rule in rules if isinstance(rules, list) else ():
        addresses = _member(rule, "addresses")
        if isinstance(rule, dict) and isinstance(addresses, list):
            rule["addresses"] = [
                moved for address in addresses for moved in move(str(address))
            ]


def write_manifests(file: Path, manifests: Iterable[Value]) -> None:
    """Write *manifests* to *file*, all at once."""
    text = yaml.safe_dump_all(manifests, sort_keys=False)
    draft = file.with_suffix(".draft")
    draft.write_text(text, "utf-8")
    draft.replace(file)


def _member(value: Value, key: str) -> Value:
    return value.get(key) if isinstance(value, dict) else None
