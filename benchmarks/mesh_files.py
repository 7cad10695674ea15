"""Writes a mesh of any size as manifests, for the benchmarks that read one."""

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

SERVICES_A_FILE = 500


def _service(number: int) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": f"web-{number}"},
        "spec": {
            "clusterIP": f"10.{96 + number // 65536}.{number // 256 % 256}.1",
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
        },
    }


def _endpoint_slice(number: int, endpoints: int) -> dict[str, object]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "shop",
            "name": f"web-{number}-x2f4b",
            "labels": {"kubernetes.io/service-name": f"web-{number}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [f"10.{number // 256}.{number % 256}.{host + 1}"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{host}",
                "zone": f"zone-{host % 3}",
                "targetRef": {
                    "kind": "Pod",
                    "namespace": "shop",
                    "name": f"web-{number}-{host}",
                },
            }
            for host in range(endpoints)
        ],
    }


def _objects(first: int, last: int, endpoints: int) -> Iterator[dict[str, object]]:
    for number in range(first, last):
        yield _service(number)
        yield _endpoint_slice(number, endpoints)


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
