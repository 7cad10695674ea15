"""Whose CPU is the load of an endpoint, where a policy says that it is.

A load balancer and backends with their Pods in; for each endpoint its Pod and what that
requests, and what the policy's user should know, out. What a Pod uses is not known
here: the metrics API tells the control loop. Paths are below `loadBalancer`.

Use counts for what a Pod requests, as an autoscaler counts it (HorizontalPodAutoscaler,
`averageUtilization`): that is set aside for the Pod on its Node, and a Pod with a limit
always has a request, too, while many have a request alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final

from xds_server.api.document import Document
from xds_server.api.kubernetes import Pod
from xds_server.api.performance import POD_CPU
from xds_server.api.policy import LoadBalancer
from xds_server.api.quantity import parse_quantity
from xds_server.mesh.backend import Backend
from xds_server.mesh.misfit import Misfit
from xds_server.mesh.model import PodCpu, Upstream
from xds_server.mesh.weight import FindPod

_METRICS: Final = ("performanceBased", "metrics")
_INSTEAD: Final = "leave out metrics: then Envoys measure how long answers take"
_REQUESTS: Final = "let the containers have resources.requests.cpu"


def with_pods(
    upstream: Upstream, backends: Sequence[Backend], find_pod: FindPod
) -> Upstream:
    """Return *upstream* with the Pods of its endpoints, where their CPU is the load.

    Its endpoints are those of *backends*, in their order.
    """
    if not _is_by_cpu(upstream.load_balancer):
        return upstream
    endpoints = (
        replace(endpoint, pod_cpu=_pod_cpu(backend, find_pod))
        for endpoint, backend in zip(upstream.endpoints, backends, strict=True)
    )
    return replace(upstream, endpoints=tuple(endpoints))


def fit_endpoints(
    load_balancer: LoadBalancer, backends: Sequence[Backend], service: str
) -> Iterator[Misfit]:
    """Yield what makes a load balancer unusable: no endpoint is a Pod.

    So it is where endpoints are written in files, and name none.
    """
    if not _is_by_cpu(load_balancer) or not backends:
        return
    if not any(backend.pod for backend in backends):
        yield Misfit(
            path=_METRICS,
            message=f"no endpoint of {service} is a Pod: there is no {POD_CPU}",
            hint=_INSTEAD,
        )


def fit_pods(
    load_balancer: LoadBalancer, backends: Sequence[Backend], find_pod: FindPod
) -> Iterator[Misfit]:
    """Yield that of some Pods nothing will be known, once for each reason."""
    if not _is_by_cpu(load_balancer):
        return
    pods = [(key, find_pod(key)) for key in (each.pod for each in backends) if key]
    unmeasured = [key for key, found in pods if found and not found.revision]
    silent = [key for key, found in pods if not found or not _requested(found)]
    for reason, keys, hint in (
        ("are in files, where nobody measures them", unmeasured, _INSTEAD),
        ("are not known to request CPU", silent, _REQUESTS),
    ):
        for first in keys[:1]:
            yield Misfit(
                path=_METRICS,
                message=f"{len(keys)} of {len(backends)} endpoints have no {POD_CPU}, "
                f"and keep the weight that they begin with: their Pods {reason} "
                f"({first.name} for one)",
                hint=hint,
            )


def _is_by_cpu(load_balancer: LoadBalancer) -> bool:
    block = load_balancer.performance_based
    return block is not None and block.is_by_cpu


def _pod_cpu(backend: Backend, find_pod: FindPod) -> PodCpu | None:
    """Return the Pod of *backend*, if an API server told of it and what it requests."""
    key = backend.pod
    document = find_pod(key) if key else None
    if key is None or document is None or document.revision is None:
        return None
    cores = _requested(document)
    return PodCpu(key.namespace, key.name, cores) if cores else None


def _requested(document: Document) -> float:
    """Return how many cores the containers of a Pod request together; 0 if unclear."""
    assert isinstance(document.body, Pod)  # noqa: S101 - narrows the union
    total = Fraction(0)
    for container in document.body.spec.containers:
        text = container.resources.requests.get("cpu", "0")
        quantity = parse_quantity(str(text))
        if quantity is None or quantity < 0:
            return 0.0
        total += quantity
    return float(total)
