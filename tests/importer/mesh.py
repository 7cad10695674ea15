"""A mesh for policies: the Services that they are for."""

from collections.abc import Iterable, Iterator

from xds_server.api.manifest import Value
from xds_server.importer.source import items, mapping, text


def services_of(policies: Iterable[Value]) -> list[Value]:
    """Give each target of *policies* a Service with an endpoint; all speak HTTP/2."""
    ports: dict[tuple[str, str], dict[str, int]] = {}
    for namespace, name, section in _targets(policies):
        of_service = ports.setdefault((namespace, name), {})
        number = int(section) if section.isdigit() else 9000 + len(of_service)
        of_service.setdefault(section or "main", number)
    return [each for key, those in ports.items() for each in _service(*key, those)]


def _targets(policies: Iterable[Value]) -> Iterator[tuple[str, str, str]]:
    for policy in map(mapping, policies):
        namespace = text(mapping(policy.get("metadata")).get("namespace"))
        for ref in map(mapping, items(mapping(policy.get("spec")).get("targetRefs"))):
            if ref["kind"] == "Service":
                yield namespace, text(ref["name"]), text(ref.get("sectionName"))
            else:
                yield namespace, "any", ""


def _service(namespace: str, name: str, ports: dict[str, int]) -> Iterator[Value]:
    h2c = "kubernetes.io/h2c"
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "ports": [
                {"name": port, "port": number, "appProtocol": h2c}
                for port, number in ports.items()
            ]
        },
    }
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": f"{name}-1",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": port, "port": 8080} for port in ports],
        "endpoints": [{"addresses": ["127.0.0.1"]}],
    }
