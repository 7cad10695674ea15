"""Build `envoy.config.endpoint.v3.ClusterLoadAssignment`: who serves one upstream.

An `Upstream` in, an encoded assignment out, authored with xds-protos alone: there are
many endpoints, and they change often. Whose clients are near to whom is in `nearness`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import groupby
from math import gcd
from operator import attrgetter
from typing import Final

from envoy.config.core.v3 import address_pb2, base_pb2, health_check_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from xds_server.mesh.locality_weight import weigh_localities
from xds_server.mesh.model import (
    Discovery,
    Endpoint,
    Health,
    Locality,
    Service,
    Upstream,
)
from xds_server.mesh.service import ServiceName
from xds_server.translate.check import (
    check_endpoints,
    check_identity,
    check_localities,
)
from xds_server.translate.fragment import encode
from xds_server.translate.health_check import host_of
from xds_server.translate.load_assignment_policy import (
    add_policy,
    mark_of,
    refresh_of,
)
from xds_server.translate.name import cluster_name, local_assignment_name
from xds_server.translate.nearness import (
    ORDER,
    by_own_region,
    forms_of,
    in_own_region,
    seen_from,
    tiers,
)
from xds_server.xds import ENDPOINT, NOWHERE, Place, Resource

_HEALTH_STATUS: Final = {
    Health.HEALTHY: health_check_pb2.HEALTHY,
    Health.DRAINING: health_check_pb2.DRAINING,
}
LOCALITY: Final = attrgetter("locality")
_NOWHERE: Final = Locality()
_KIN_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How the endpoints of an upstream are checked, where its cluster cannot say it.

    At another port than they serve at, and by their own names instead of one for all.
    """

    port: int | None = None
    by_own_name: bool = False


_AS_SERVED: Final = Checked()
_UNMARKED: Final = base_pb2.Metadata()


def build_load_assignment(upstream: Upstream) -> Resource:
    """Return the load assignment of *upstream*; without endpoints it is empty.

    The order of endpoints means nothing: equal sets make equal bytes.

    Raises:
        TranslateError: it must not be sent to an Envoy.
    """
    check_identity(upstream)
    check_endpoints(upstream)
    build = assignment_builder(upstream)
    assignment = build(NOWHERE)
    check_localities(upstream, assignment)
    return Resource(
        type_url=ENDPOINT,
        name=cluster_name(upstream),
        body=encode(assignment),
        refresh=refresh_of(upstream.sections.stale_endpoints),
        forms=forms_of(upstream, lambda place: encode(build(place))),
        kin=_kin_of(upstream) if upstream.is_weighed else b"",
        yields=upstream.awaits_weights,
    )


def _kin_of(upstream: Upstream) -> bytes:
    """Return a hash of all of an assignment but what the control loop has learned.

    A client that holds another one of the same hash has the same endpoints, and only
    their weights may be those of before.
    """
    bases = (replace(each, weight=each.base_weight) for each in upstream.endpoints)
    neutral = replace(upstream, endpoints=tuple(bases))
    build = assignment_builder(neutral)
    forms = forms_of(neutral, lambda place: encode(build(place)))
    hashed = blake2b(encode(build(NOWHERE)), digest_size=_KIN_BYTES)
    hashed.update(forms.fingerprint if forms else b"")
    return hashed.digest()


def build_local_assignment(name: ServiceName, service: Service | None) -> Resource:
    """Return who serves the Service *name*, and where they run; nobody if it is not.

    Those of its first port that has any stand for all. They are in no priorities, and
    all have one weight: what matters is how many of them are in which zone.
    """
    found = next(
        (
            each.endpoints
            for each in (service.upstreams if service else ())
            if each.discovery is Discovery.EDS and each.endpoints
        ),
        (),
    )
    plain = [replace(each, weight=None) for each in distinct(found)]
    cluster = local_assignment_name(*name)

    def build(place: Place) -> bytes:
        assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster)
        for locality, members in groupby(in_own_region(plain, place), LOCALITY):
            fill(_group(assignment, locality), members, divisor=1)
        return encode(assignment)

    return Resource(
        type_url=ENDPOINT,
        name=cluster,
        body=build(NOWHERE),
        owners=("Service " + "/".join(name),),
        forms=by_own_region(plain, build),
    )


def assignment_builder(
    upstream: Upstream,
) -> Callable[[Place], endpoint_pb2.ClusterLoadAssignment]:
    """Return what makes the assignment of *upstream* for a client at a place.

    It has a group for each locality in each priority, and each address once.
    """
    endpoints = distinct(upstream.endpoints)
    divisor = common_divisor(endpoints)
    name = cluster_name(upstream)
    check = upstream.sections.health_check
    checked = Checked(
        port=check.port if check else None,
        by_own_name=check is not None and host_of(upstream) is None,
    )

    mark = mark_of(upstream.sections.overload)

    def build(place: Place) -> endpoint_pb2.ClusterLoadAssignment:
        assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
        seen = seen_from(endpoints, place, upstream)
        weights = weights_at(upstream, place, seen)
        for priority, tier in enumerate(tiers(seen, upstream.failover, place)):
            for locality, members in groupby(tier, LOCALITY):
                if weights is not None and locality not in weights:
                    continue
                group = _group(assignment, locality, priority)
                if weights is not None:
                    group.load_balancing_weight.value = weights[locality]
                fill(group, members, divisor, checked, mark)
        add_policy(assignment, upstream)
        return assignment

    return build


def _group(
    assignment: endpoint_pb2.ClusterLoadAssignment,
    locality: Locality,
    priority: int = 0,
) -> endpoint_components_pb2.LocalityLbEndpoints:
    """Return a new group of *assignment*, in which nobody is yet."""
    group = assignment.endpoints.add(priority=priority)
    if locality != _NOWHERE:
        group.locality.region = locality.region
        group.locality.zone = locality.zone
    return group


def weights_at(
    upstream: Upstream, place: Place, endpoints: Collection[Endpoint]
) -> Mapping[Locality, int] | None:
    """Return the weights of the localities of *endpoints* for a client at *place*.

    None where localities have no weights; one that is not among them is left out.
    """
    locality = upstream.sections.locality
    if locality is None or locality.weighted is None:
        return None
    return weigh_localities(locality.weighted, place, endpoints)


def distinct(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Return *endpoints* in order of locality and address, the first of each address.

    Envoy too keeps the first of two equal addresses, with its weight; ours is the same
    one on every replica.
    """
    first: dict[tuple[str, int], Endpoint] = {}
    for endpoint in endpoints:
        first.setdefault((endpoint.address, endpoint.port), endpoint)
    return sorted(first.values(), key=ORDER)


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
    checked: Checked = _AS_SERVED,
    mark: base_pb2.Metadata = _UNMARKED,
) -> None:
    """Append *endpoints* to *group*; *checked* and *mark* are the same for all.

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
            found = templates[rest] = _template(endpoint, divisor, checked, mark)
        template, socket_address = found
        socket_address.address = endpoint.address
        if checked.by_own_name:
            template.endpoint.health_check_config.hostname = endpoint.address
        append(template)


_Template = tuple[endpoint_components_pb2.LbEndpoint, address_pb2.SocketAddress]


def _template(
    endpoint: Endpoint, divisor: int, checked: Checked, mark: base_pb2.Metadata
) -> _Template:
    """Return *endpoint* as a message, and the part of it that holds the address."""
    status = _HEALTH_STATUS[endpoint.health]
    template = endpoint_components_pb2.LbEndpoint(health_status=status)
    if endpoint.weight is not None:
        template.load_balancing_weight.value = max(1, endpoint.weight // divisor)
    socket_address = template.endpoint.address.socket_address
    socket_address.port_value = endpoint.port
    if checked.port is not None:
        template.endpoint.health_check_config.port_value = checked.port
    if mark.filter_metadata:
        template.metadata.CopyFrom(mark)
    return template, socket_address
