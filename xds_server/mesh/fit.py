"""Does a load balancer fit the port and the backends that it is to balance?

A load balancer, one port and its weighed backends in; what makes it unusable there, and
what its user should know, out. Each finding is a path below `loadBalancer` and a text:
who wrote it, and where, is known elsewhere.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from xds_server.api.policy import (
    AddressFrom,
    LoadBalancer,
    LoadBalancerType,
)
from xds_server.api.weights import WEIGHT_ANNOTATION
from xds_server.mesh.backend import Backend
from xds_server.mesh.misfit import Fit, Misfit
from xds_server.mesh.model import Discovery, Health, Port, Protocol, Role
from xds_server.mesh.performance import fit_performance, fit_without_http
from xds_server.mesh.pod_cpu import fit_endpoints, fit_pods
from xds_server.mesh.share import LARGEST_SUM
from xds_server.mesh.weight import FindPod, Weighing

_ENTRIES_EACH: Final = 100
"""Ring or table entries for each endpoint that keep the shares near the weights."""
_GATEWAY: Final = (
    "end users' addresses are seen only by a gateway in front of the servers"
)
_PODS: Final = "what Pods say is read from their manifests: give these, too"
_HASHED: Final = {LoadBalancerType.RING_HASH, LoadBalancerType.MAGLEV}


def fit(
    load_balancer: LoadBalancer,
    port: Port,
    backends: Sequence[Backend],
    weighing: Weighing,
    *,
    service: str,
    names_port: bool,
    discovery: Discovery = Discovery.EDS,
    find_pod: FindPod = lambda _: None,
) -> Fit:
    """Return what speaks against *load_balancer* at *port* of *service*.

    What cannot work on TCP is an error for a policy that names the port by
    `sectionName`, and a warning for one that has the port as one of several.
    """
    errors = [
        *_too_heavy(weighing),
        *fit_endpoints(load_balancer, backends, service),
    ]
    warnings = [
        *_shared_address(load_balancer),
        *_unequal(load_balancer, backends, weighing),
        *_too_small(load_balancer, backends, weighing),
        *_empty_groups(weighing),
        *_idle_rules(load_balancer, backends, weighing, service),
        *_stopped(weighing),
        *fit_performance(load_balancer, port, discovery),
        *fit_pods(load_balancer, backends, find_pod),
    ]
    on_tcp = _without_http(load_balancer) if port.protocol is Protocol.TCP else ()
    (errors if names_port else warnings).extend(on_tcp)
    return Fit(errors=tuple(errors), warnings=tuple(warnings))


def _too_heavy(weighing: Weighing) -> Iterator[Misfit]:
    total = sum(weighing.weights or ())
    if total > LARGEST_SUM:
        message = f"the weights of all endpoints must sum to <= {LARGEST_SUM}"
        yield Misfit(
            path=("weights",),
            message=f"{message} (got {total})",
            hint="divide all weights by the same number",
        )


def _without_http(load_balancer: LoadBalancer) -> Iterator[Misfit]:
    keys = load_balancer.hash_on
    if (
        load_balancer.type in _HASHED
        and keys
        and all(key.source_ip is None for key in keys)
    ):
        yield Misfit(
            path=("hashOn",),
            message="a TCP port needs a sourceIP entry: connections have no headers, "
            "cookies or queries",
            hint="add {sourceIP: {}}",
        )
    address = load_balancer.ip_hash
    if address and address.address_from is AddressFrom.X_FORWARDED_FOR:
        yield Misfit(
            path=("ipHash", "addressFrom"),
            message="a TCP port has no X-Forwarded-For header",
            hint="use addressFrom: Connection",
        )
    yield from fit_without_http(load_balancer)


def _shared_address(load_balancer: LoadBalancer) -> Iterator[Misfit]:
    address = load_balancer.ip_hash
    if address and address.address_from is AddressFrom.CONNECTION:
        yield Misfit(
            path=("type",),
            message="IPHash with addressFrom: Connection behind a sidecar: each client "
            "pod uses one endpoint",
            hint=_GATEWAY,
            role=Role.SIDECAR,
        )
    for position, key in enumerate(load_balancer.hash_on):
        if key.source_ip is not None:
            yield Misfit(
                path=("hashOn", position, "sourceIP"),
                message="sourceIP behind a sidecar: each client pod uses one endpoint",
                hint=_GATEWAY,
                role=Role.SIDECAR,
            )


def _unequal(
    load_balancer: LoadBalancer, backends: Sequence[Backend], weighing: Weighing
) -> Iterator[Misfit]:
    if load_balancer.type is not LoadBalancerType.LEAST_REQUEST:
        return
    if len(set(_positive(backends, weighing))) > 1:
        yield Misfit(
            path=("weights",),
            message="with unequal weights Envoy shares by weight / (active requests + "
            "1): choiceCount and selectionMethod have no effect",
        )


def _too_small(
    load_balancer: LoadBalancer, backends: Sequence[Backend], weighing: Weighing
) -> Iterator[Misfit]:
    needed = _ENTRIES_EACH * len(backends)
    ring, maglev = load_balancer.ring_hash, load_balancer.maglev
    if ring and ring.minimum_ring_size < needed:
        yield Misfit(
            path=("ringHash", "minimumRingSize"),
            message=f"small for {len(backends)} endpoints, the shares will be uneven "
            f"(got {ring.minimum_ring_size})",
            hint=f"use {needed} or more",
        )
    if maglev and maglev.table_size < needed:
        yield Misfit(
            path=("maglev", "tableSize"),
            message=f"small for {len(backends)} endpoints, the shares will be uneven "
            f"(got {maglev.table_size})",
            hint=f"use a prime number above {needed}",
        )
    weights = _positive(backends, weighing)
    if ring and weights and min(weights) * ring.maximum_ring_size < sum(weights):
        yield Misfit(
            path=("weights",),
            message="the smallest weight gets less than one of the ring's "
            f"{ring.maximum_ring_size} entries",
            hint="raise ringHash.maximumRingSize, or the weight",
        )


def _empty_groups(weighing: Weighing) -> Iterator[Misfit]:
    for position in weighing.empty_groups:
        yield Misfit(
            path=("weights", "groups", position),
            message="no healthy endpoint belongs to this group: the others have its "
            "share",
            hint=_PODS,
        )


def _idle_rules(
    load_balancer: LoadBalancer,
    backends: Sequence[Backend],
    weighing: Weighing,
    service: str,
) -> Iterator[Misfit]:
    weights = load_balancer.weights
    if weights is None or not backends:
        return
    if "rules" in weights.model_fields_set and weights.rules:
        for position in weighing.idle_rules:
            is_match = weights.rules[position].addresses is not None
            yield Misfit(
                path=("weights", "rules", position),
                message=f"no endpoint of {service} has its weight from this rule",
                hint=None if is_match else _PODS,
            )
    elif (
        load_balancer.type is LoadBalancerType.WEIGHTED
        and not weights.groups
        and len(weighing.idle_rules) == len(weights.rules)
    ):
        yield Misfit(
            path=("weights",),
            message=f"no endpoint of {service} has a weight of its own: all have the "
            f"default {weights.default}",
            hint=f"without rules a Pod's annotation {WEIGHT_ANNOTATION} is its weight; "
            + _PODS,
        )


def _stopped(weighing: Weighing) -> Iterator[Misfit]:
    if weighing.stops_all:
        yield Misfit(
            path=("weights",),
            message="all weights are 0: Envoy then sends to all endpoints alike",
            hint="give an endpoint a weight above 0",
        )


def _positive(backends: Sequence[Backend], weighing: Weighing) -> list[int]:
    pairs = zip(backends, weighing.weights or (), strict=False)
    return [w for b, w in pairs if w and b.health is Health.HEALTHY]
