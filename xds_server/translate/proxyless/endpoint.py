"""Build `envoy.config.endpoint.v3.ClusterLoadAssignment` for gRPC clients.

An `Upstream` in, an encoded assignment out. It is not an Envoy's: gRPC passes over a
locality without a weight and refuses one without a name (measured on grpcio 1.85), and
has no weights of endpoints outside of rings.

Where the policy has weights, the endpoints of one weight are a locality, whose weight
is theirs together. Drawing localities and taking turns inside of each gives every
endpoint its share. A locality for each endpoint would too, and the draws would be
independent. But of 1,000 of them a client takes a second of processor time to learn of
one change, with 0.09 s for one locality, and it keeps those that are gone for 15
minutes.

Weights of localities that a policy has are divided among these. A ring multiplies the
weight of a locality with that of each endpoint, so there it is divided by their sum.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import groupby

from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.endpoint.v3.endpoint_components_pb2 import (
    LocalityLbEndpoints as _Group,
)

from xds_server.api.policy import LoadBalancerType
from xds_server.mesh.model import Endpoint, Health, Locality, Upstream
from xds_server.mesh.proxyless import adapt
from xds_server.mesh.share import divide
from xds_server.translate.check import check_endpoints, check_identity
from xds_server.translate.endpoint import (
    LOCALITY,
    common_divisor,
    distinct,
    fill,
    weights_at,
)
from xds_server.translate.fragment import encode
from xds_server.translate.load_assignment_policy import add_drops
from xds_server.translate.name import cluster_name
from xds_server.translate.nearness import forms_of, tiers
from xds_server.translate.proxyless.load_balancing import is_drawn
from xds_server.xds import ENDPOINT, NOWHERE, Place, Resource


def build_load_assignment(upstream: Upstream) -> Resource:
    """Return the load assignment of *upstream*; without endpoints it is empty.

    Draining endpoints are left out, which is how gRPC reads them: a locality of nothing
    else would be an empty one.

    Raises:
        TranslateError: it must not be sent.
    """
    check_identity(upstream)
    check_endpoints(upstream)
    build = partial(_load_assignment, upstream)
    return Resource(
        type_url=ENDPOINT,
        name=cluster_name(upstream),
        body=build(NOWHERE),
        forms=forms_of(upstream, build),
    )


def _load_assignment(upstream: Upstream, place: Place) -> bytes:
    """Return the endpoints of *upstream* as a client at *place* is to use them."""
    assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster_name(upstream))
    endpoints = [
        endpoint
        for endpoint in distinct(upstream.endpoints)
        if endpoint.health is not Health.DRAINING
    ]
    divisor = common_divisor(endpoints)
    nearest = adapt(upstream.load_balancer).load_balancer
    groups_of = _by_weight if is_drawn(nearest) else _together
    weights = weights_at(upstream, place, endpoints)
    for priority, tier in enumerate(tiers(endpoints, upstream.failover, place)):
        groups: Iterable[_Group] = groups_of(tier, divisor)
        if weights is not None:
            is_ring = nearest.type is LoadBalancerType.RING_HASH
            groups = _shared(groups, weights, is_ring=is_ring)
        for group in groups:
            group.priority = priority
            assignment.endpoints.append(group)
    if upstream.sections.overload is not None:
        add_drops(assignment, upstream.sections.overload)
    return encode(assignment)


def _shared(
    groups: Iterable[_Group], weights: Mapping[Locality, int], *, is_ring: bool
) -> Iterator[_Group]:
    """Yield those of *groups* whose localities have *weights*, with a part of these."""
    positions = {locality: position for position, locality in enumerate(weights)}
    found = [(_locality(each), each) for each in groups]
    kept = [(positions[where], each) for where, each in found if where in positions]
    shares = [float(weight) for weight in weights.values()]
    if is_ring:
        for position, group in kept:
            hosts = group.lb_endpoints
            shares[position] /= sum(e.load_balancing_weight.value or 1 for e in hosts)
    parts = divide([(p, each.load_balancing_weight.value) for p, each in kept], shares)
    for (_, group), part in zip(kept, parts, strict=True):
        group.load_balancing_weight.value = part
        yield group


def _locality(group: _Group) -> Locality:
    return Locality(region=group.locality.region, zone=group.locality.zone)


def _together(endpoints: Iterable[Endpoint], divisor: int) -> Iterator[_Group]:
    """Yield a group a locality, all of one weight.

    A ring multiplies the weights of localities and endpoints; so these count alone.
    """
    for locality, members in groupby(endpoints, LOCALITY):
        group = _group(locality.region, locality.zone)
        group.load_balancing_weight.value = 1
        fill(group, members, divisor)
        yield group


def _by_weight(endpoints: Iterable[Endpoint], divisor: int) -> Iterator[_Group]:
    """Yield a group for each weight in a locality; its weight is that of its members.

    A weight as it was written names its group, so that a client keeps the group when
    members come and go.
    """
    by_weight: defaultdict[tuple[str, str, int], list[Endpoint]] = defaultdict(list)
    for endpoint in endpoints:
        weight = endpoint.weight or divisor
        place = endpoint.locality
        by_weight[place.region, place.zone, weight].append(endpoint)
    for region, zone, weight in sorted(by_weight):
        members = by_weight[region, zone, weight]
        group = _group(region, zone)
        group.locality.sub_zone = f"weight {weight}"
        group.load_balancing_weight.value = weight // divisor * len(members)
        fill(group, (replace(each, weight=None) for each in members), divisor)
        yield group


def _group(region: str, zone: str) -> _Group:
    group = _Group()
    group.locality.SetInParent()  # though it may be empty
    group.locality.region = region
    group.locality.zone = zone
    return group
