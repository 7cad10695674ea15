"""One Service for each algorithm, made through the Kubernetes API.

All select the same Pods; each says by an annotation how its requests are to be spread,
and xds-server does the rest: no TrafficPolicy is needed. Run it again and nothing
changes; `--delete` takes away what it made and nothing else.

    python examples/service_per_algorithm.py --namespace xds-example --app server
    python examples/service_per_algorithm.py --namespace xds-example --delete
"""

import argparse
import json
import sys

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

ALGORITHMS = (
    "ROUND_ROBIN",
    "RANDOM",
    "WEIGHTED",  # by the Pods' annotation traffic.xds-server.dev/weight
    "LEAST_REQUEST",
    "RING_HASH",
    "MAGLEV",
    "IP_HASH",
    "PERFORMANCE_BASED",  # by how long answers take, which Envoys measure
)
MANAGER = "service-per-algorithm"
LABEL = "app.kubernetes.io/managed-by"


def service(name: str, app: str, algorithm: str) -> dict[str, object]:
    port = {"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "labels": {LABEL: MANAGER},
            "annotations": {"traffic.xds-server.dev/load-balancer": algorithm},
        },
        "spec": {"selector": {"app": app}, "ports": [port]},
    }


def apply(api: client.CoreV1Api, namespace: str, app: str) -> None:
    for algorithm in ALGORITHMS:
        name = f"{app}-{algorithm.lower().replace('_', '-')}"
        api.patch_namespaced_service(
            name,
            namespace,
            service(name, app, algorithm),
            field_manager=MANAGER,  # what others have set stays theirs
            field_validation="Strict",
            _content_type="application/apply-patch+yaml",
        )
        print(f"{name}: {algorithm}")


def delete(api: client.CoreV1Api, namespace: str) -> None:
    made = api.list_namespaced_service(namespace, label_selector=f"{LABEL}={MANAGER}")
    names = [each.metadata.name for each in made.items if each.metadata is not None]
    for name in filter(None, names):
        api.delete_namespaced_service(name, namespace)
        print(f"{name}: deleted")


def connect() -> client.CoreV1Api:
    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]  # has no types
    except config.ConfigException:
        config.load_kube_config()  # type: ignore[no-untyped-call]  # has no types
    return client.CoreV1Api()


def reason(error: Exception) -> str:
    if isinstance(error, config.ConfigException):
        return f"no cluster: {error}\n  hint: set KUBECONFIG, or run it in a Pod"
    if not isinstance(error, ApiException):
        return f"the API server cannot be reached: {error}"
    hints = {
        401: "the token or certificate of the kubeconfig is not valid there",
        403: "it takes the verbs create, patch, list and delete on services",
        404: "kubectl create namespace makes it",
        409: "another program has set this: choose another --app or --namespace",
    }
    hint = f"\n  hint: {hints[error.status]}" if error.status in hints else ""
    try:
        message = json.loads(error.body or "")["message"]
    except (KeyError, ValueError):  # it was something else that answered
        message = f"{error.status} {error.reason}"
    return f"{message}{hint}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a Service for each algorithm.")
    parser.add_argument("--namespace", default="default", help="where they are")
    parser.add_argument("--app", default="server", help="the label `app` of the Pods")
    parser.add_argument("--delete", action="store_true", help="delete what it made")
    arguments = parser.parse_args()
    try:
        api = connect()
        if arguments.delete:
            delete(api, arguments.namespace)
        else:
            apply(api, arguments.namespace, arguments.app)
    except (ApiException, config.ConfigException, HTTPError) as error:
        sys.exit(f"error: {reason(error)}")


if __name__ == "__main__":
    main()
