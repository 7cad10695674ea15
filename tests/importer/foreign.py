"""Objects of other projects, and what becomes of them."""

from collections.abc import Iterator, Mapping

from xds_server.api.manifest import Value
from xds_server.api.passage import Origin
from xds_server.api.problem import FieldPath, ObjectKey
from xds_server.api.shape import without_nulls
from xds_server.importer.gateway import import_gateway
from xds_server.importer.imported import Imported
from xds_server.importer.istio import import_istio
from xds_server.importer.source import Foreign, mapping

API_VERSIONS = {
    "DestinationRule": ("networking.istio.io", "v1"),
    "VirtualService": ("networking.istio.io", "v1"),
    "BackendTrafficPolicy": ("gateway.envoyproxy.io", "v1alpha1"),
    "Gateway": ("gateway.networking.k8s.io", "v1"),
    "HTTPRoute": ("gateway.networking.k8s.io", "v1"),
    "TCPRoute": ("gateway.networking.k8s.io", "v1alpha2"),
    "Service": ("", "v1"),
}


def foreign(
    kind: str, spec: Value, *, name: str = "cart", namespace: str = "shop"
) -> Foreign:
    group, version = API_VERSIONS[kind]
    return Foreign(
        key=ObjectKey(kind, namespace, name),
        group=group,
        version=version,
        value=mapping(without_nulls({"spec": spec})),
        passage=Origin("file.yaml"),
    )


def rule(spec: Mapping[str, Value], **where: str) -> Foreign:
    """A DestinationRule for cart, unless it says another host."""
    return foreign("DestinationRule", {"host": "cart", **spec}, **where)


def traffic(policy: Mapping[str, Value]) -> Foreign:
    return rule({"trafficPolicy": dict(policy)})


def istio(*objects: Foreign) -> Imported:
    return import_istio(objects, root="istio-system", root_namespace="xds-system")


def gateway(*objects: Foreign, services: tuple[tuple[str, str], ...] = ()) -> Imported:
    return import_gateway(objects, services=services)


def backend(spec: Mapping[str, Value]) -> Imported:
    """Import a BackendTrafficPolicy for the Service shop/cart."""
    target: Value = {
        "group": "gateway.networking.k8s.io",
        "kind": "HTTPRoute",
        "name": "r",
    }
    whole: Value = {"targetRefs": [target], **spec}
    policy = foreign("BackendTrafficPolicy", whole)
    return gateway(policy, services=(("shop", "cart"),))


def specs(imported: Imported) -> list[Mapping[str, Value]]:
    """The specs of what came out, without what they are for."""
    found: list[Mapping[str, Value]] = []
    for policy, _ in imported.policies:
        spec = dict(mapping(policy["spec"]))
        del spec["targetRefs"]
        found.append(spec)
    return found


def messages(imported: Imported) -> list[str]:
    return [f"{one.path}: {one.message}" for one in imported.problems]


def leaves(value: Value, path: FieldPath = ()) -> Iterator[FieldPath]:
    """Yield the paths of all scalars."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from leaves(child, (*path, key))
    elif isinstance(value, list):
        for position, child in enumerate(value):
            yield from leaves(child, (*path, position))
    elif value is not None:
        yield path
