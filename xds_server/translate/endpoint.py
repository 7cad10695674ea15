"""Build `envoy.config.endpoint.v3.ClusterLoadAssignment`: who serves one upstream.

An `Upstream` in, an encoded assignment out, authored with xds-protos alone: there are
many endpoints, and they change often. Whose clients are near to whom is in `nearness`.
"""

from collections.abc import Callable, Iterable
from itertools import groupby
from math import gcd
from operator import attrgetter
from typing import Final

from envoy.config.core.v3 import address_pb2, health_check_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from xds_server.mesh.model import Endpoint, Health, Upstream
from xds_server.translate.check import check_endpoints, check_identity
from xds_server.translate.fragment import encode
from xds_server.translate.name import cluster_name
from xds_server.translate.nearness import forms_of, tiers
from xds_server.xds import ENDPOINT, NOWHERE, Place, Resource

_HEALTH_STATUS: Final = {
    Health.HEALTHY: health_check_pb2.HEALTHY,
    Health.DRAINING: health_check_pb2.DRAINING,
}
LOCALITY: Final = attrgetter("locality.region", "locality.zone")
_ORDER: Final = attrgetter("locality.region", "locality.zone", "address", "port")


def build_load_assignment(upstream: Upstream) -> Resource:
    """Return the load assignment of *upstream*; without endpoints it is empty.

    The order of endpoints means nothing: equal sets make equal bytes.

    Raises:
        TranslateError: it must not be sent to an Envoy.
    """
    check_identity(upstream)
    check_endpoints(upstream)
    build = _builder(upstream)
    return Resource(
        type_url=ENDPOINT,
        name=cluster_name(upstream),
        body=encode(build(NOWHERE)),
        forms=forms_of(upstream, lambda place: encode(build(place))),
    )


def load_assignment(upstream: Upstream) -> endpoint_pb2.ClusterLoadAssignment:
    """Return the endpoints of *upstream*, one group a locality, each address once."""
    return _builder(upstream)(NOWHERE)


def _builder(
    upstream: Upstream,
) -> Callable[[Place], endpoint_pb2.ClusterLoadAssignment]:
    """Return what makes the assignment of *upstream* for a client at a place.

    It has a group for each locality in each priority.
    """
    endpoints = distinct(upstream.endpoints)
    divisor = common_divisor(endpoints)
    name = cluster_name(upstream)

    def build(place: Place) -> endpoint_pb2.ClusterLoadAssignment:
        assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
        for priority, tier in enumerate(tiers(endpoints, upstream.failover, place)):
            for (region, zone), members in groupby(tier, LOCALITY):
                group = assignment.endpoints.add(priority=priority)
                if region or zone:
                    group.locality.region = region
                    group.locality.zone = zone
                fill(group, members, divisor)
        return assignment

    return build


def distinct(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Return *endpoints* in order of locality and address, the first of each address.

    Envoy too keeps the first of two equal addresses, with its weight; ours is the same
    one on every replica.
    """
    first: dict[tuple[str, int], Endpoint] = {}
    for endpoint in endpoints:
        first.setdefault((endpoint.address, endpoint.port), endpoint)
    return sorted(first.values(), key=_ORDER)


def common_divisor(endpoints: Iterable[Endpoint]) -> int:
    """Return what all weights can be divided by without changing any share.

    Smaller weights make smaller rings and shorter schedules. Draining endpoints have no
    share, so theirs do not count.
    """
    weights = (e.weight or 0 for e in endpoints if e.health is not Health.DRAINING)
    return gcd(*weights) or 1


def fill(
    group: endpoint_components_pb2.LocalityLbEndpoints,
    endpoints: Iterable[Endpoint],
    divisor: int,
) -> None:
    """Append *endpoints* to *group*.

    Most differ in nothing but their address. So a message is made for each distinct
    rest, given one address after the other, and `append` copies it, in C: a third of
    the time that new messages take.
    """
    templates: dict[tuple[int, bool, int | None], _Template] = {}
    append = group.lb_endpoints.append
    for endpoint in endpoints:
        rest = (endpoint.port, endpoint.health is Health.DRAINING, endpoint.weight)
        found = templates.get(rest)
        if found is None:
            found = templates[rest] = _template(endpoint, divisor)
        template, socket_address = found
        socket_address.address = endpoint.address
        append(template)


_Template = tuple[endpoint_components_pb2.LbEndpoint, address_pb2.SocketAddress]


def _template(endpoint: Endpoint, divisor: int) -> _Template:
    """Return *endpoint* as a message, and the part of it that holds the address."""
    status = _HEALTH_STATUS[endpoint.health]
    template = endpoint_components_pb2.LbEndpoint(health_status=status)
    if endpoint.weight is not None:
        template.load_balancing_weight.value = max(1, endpoint.weight // divisor)
    socket_address = template.endpoint.address.socket_address
    socket_address.port_value = endpoint.port
    return template, socket_address
