"""A mesh of any size: its Kubernetes objects, and manifests of them in files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

SERVICES_A_FILE = 500


NAMESPACE = "shop"


def service(number: int) -> dict[str, object]:
    """Return a Service `web-N` of one port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": NAMESPACE, "name": f"web-{number}"},
        "spec": {
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
        },
    }


def slice_name(number: int) -> str:
    """Return what the slice of `web-N` is called."""
    return f"web-{number}-x2f4b"


def endpoint_slice(
    number: int, endpoints: Sequence[dict[str, object]]
) -> dict[str, object]:
    """Return the slice of `web-N`."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": NAMESPACE,
            "name": slice_name(number),
            "labels": {"kubernetes.io/service-name": f"web-{number}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    }


def endpoint(number: int, host: int) -> dict[str, object]:
    """Return an endpoint of `web-N`, ready, in one of three zones."""
    return {
        "addresses": [f"10.{number // 256}.{number % 256}.{host + 1}"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": f"node-{host}",
        "zone": f"zone-{host % 3}",
        "targetRef": {
            "kind": "Pod",
            "namespace": NAMESPACE,
            "name": f"web-{number}-{host}",
        },
    }


def _objects(first: int, last: int, endpoints: int) -> Iterator[dict[str, object]]:
    for number in range(first, last):
        yield service(number)
        yield endpoint_slice(number, [endpoint(number, n) for n in range(endpoints)])


def write_mesh(folder: Path, *, services: int, endpoints: int, suffix: str) -> None:
    """Write *services* Services of *endpoints* endpoints each below *folder*.

    `suffix` is `yaml` (a stream of documents, block style as kubectl prints) or `json`
    (a List a file, as `kubectl get -o json` prints).
    """
    for first in range(0, services, SERVICES_A_FILE):
        last = min(first + SERVICES_A_FILE, services)
        objects = list(_objects(first, last, endpoints))
        if suffix == "json":
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        else:
            text = yaml.dump_all(objects, Dumper=yaml.CSafeDumper, sort_keys=False)
        (folder / f"mesh-{first:06}.{suffix}").write_text(text)
