"""Kubernetes objects as a test writes them: the least that the API server accepts.

In: what matters to a test. Out: JSON for `Client.create` and `Client.patch`.
"""

from collections.abc import Mapping, Sequence

from tools.kubernetes.client import Json

ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
SCHEDULER = "tests"
"""Nobody: a Pod of this scheduler stays where the test says, on any cluster."""


def service(
    name: str,
    *,
    selector: Mapping[str, str] | None = None,
    port: int = 80,
    target_port: int | str = 8080,
    annotations: Mapping[str, str] | None = None,
    spec: Json | None = None,
) -> Json:
    """Return a Service of one port, named `http`; *spec* adds and replaces fields."""
    ports = [{"name": "http", "port": port, "targetPort": target_port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"selector": selector or {"app": name}, "ports": ports, **(spec or {})},
    }


def pod(
    name: str,
    *,
    labels: Mapping[str, str],
    node: str | None = None,
    annotations: Mapping[str, str] | None = None,
    container: Json | None = None,
    spec: Json | None = None,
) -> Json:
    """Return a Pod of one container, which nothing will ever run."""
    base = {"name": "main", "image": "none", **(container or {})}
    placement = {"nodeName": node} if node else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": annotations or {},
        },
        "spec": {
            "schedulerName": SCHEDULER,
            "terminationGracePeriodSeconds": 0,
            "containers": [base],
            **placement,
            **(spec or {}),
        },
    }


def pod_status(addresses: Sequence[str], *, ready: bool) -> Json:
    """Return what a kubelet says of a running Pod: its addresses, ready or not."""
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
            "conditions": [condition],
        }
    }


def node(name: str, *, zone: str | None = None, region: str | None = None) -> Json:
    """Return a Node in a *zone* of a *region*."""
    places = {ZONE: zone, REGION: region}
    labels = {key: value for key, value in places.items() if value is not None}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
    }
