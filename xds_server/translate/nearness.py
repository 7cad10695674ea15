"""Which endpoints of an upstream a client at some place is to use first.

An upstream and a place in; tiers of endpoints, the nearest first, and the few places
that differ, out. A client that does not say its place has one tier of all.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from xds_server.api.locality import LABEL, NODE, REGION, ZONE
from xds_server.api.policy import WeightedLocality
from xds_server.mesh.locality_weight import nearest
from xds_server.mesh.model import Endpoint, Locality, Upstream
from xds_server.mesh.preference import value_at
from xds_server.xds import NOWHERE, Forms, Labels, Place

ORDER: Final = attrgetter("locality.region", "locality.zone", "address", "port")
"""By what endpoints of an assignment are sorted."""

_DIGEST_BYTES: Final = 16


def tiers(
    endpoints: Iterable[Endpoint], failover: Sequence[str], place: Place
) -> Sequence[Sequence[Endpoint]]:
    """Return *endpoints* by how near to *place* they are, each tier in their order.

    The first tier are those that have the first of *failover* in common with it, the
    last have nothing. There are no empty ones. What is draining is in its tier, where
    an Envoy does not count it (measured on 1.40): it is not as if that had failed.
    """
    found: list[Sequence[Endpoint]] = []
    rest = list(endpoints)
    for position, part in enumerate(failover):
        value = value_at(part, place)
        near = [each for each in rest if value in each.near[position]]
        if near:
            found.append(near)
            rest = [each for each in rest if value not in each.near[position]]
    return [*found, rest] if rest else found


def seen_from(
    endpoints: Sequence[Endpoint], place: Place, upstream: Upstream
) -> Sequence[Endpoint]:
    """Return *endpoints* as a client at *place* has to be told of them.

    An Envoy that routes by zones or loads knows its own one by the region, too, and in
    silence knows none if it was told of another, or of none (measured on 1.40). Zones
    have one name in a cluster, so those in its zone are in the region that it says.
    """
    is_theirs = _knows_own_zone(upstream)
    return in_own_region(endpoints, place) if is_theirs else endpoints


def _knows_own_zone(upstream: Upstream) -> bool:
    """Whether an Envoy compares where it is with where endpoints are."""
    locality = upstream.sections.locality
    return locality is not None and bool(locality.zone_aware or locality.load_aware)


def in_own_region(endpoints: Sequence[Endpoint], place: Place) -> Sequence[Endpoint]:
    """Return *endpoints*, those in the zone of *place* in its region."""
    if _stranger(_regions(endpoints), place) == NOWHERE:
        return endpoints
    own = Locality(region=place.region, zone=place.zone)
    moved = (
        replace(each, locality=own) if each.locality.zone == place.zone else each
        for each in endpoints
    )
    return sorted(moved, key=ORDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forms:
    """What is built of an upstream for each place that matters to it."""

    body: Callable[[Place], bytes]
    fingerprint: bytes
    lens: Hashable
    nearest: Callable[[Place], Place]
    owners: Mapping[Labels, tuple[str, ...]] = field(default_factory=dict)


def forms_of(upstream: Upstream, build: Callable[[Place], bytes]) -> Forms | None:
    """Return what *build* makes of *upstream* in different places; None if no others.

    It is asked for the places that matter alone.
    """
    locality = upstream.sections.locality
    if locality is not None and locality.weighted is not None:
        return _by_rule(upstream, locality.weighted, build)
    if _knows_own_zone(upstream):
        return by_own_region(upstream.endpoints, build)
    return _by_nearness(upstream, build)


def _by_nearness(upstream: Upstream, build: Callable[[Place], bytes]) -> _Forms | None:
    """Return the forms for clients that some endpoints are near to, and not all."""
    parts = tuple(
        _Part(part, *_held([each.near[position] for each in upstream.endpoints]))
        for position, part in enumerate(upstream.failover)
    )
    if not any(each.by_some for each in parts):
        return None
    near = [(each.address, each.port, each.near) for each in upstream.endpoints]
    return _Forms(
        body=build,
        fingerprint=_fingerprint(upstream.failover, near),
        lens=parts,
        nearest=partial(_nearest, parts),
    )


class _Part(NamedTuple):
    """A part of a preference, and the values of it that endpoints are near to."""

    name: str
    by_some: frozenset[str]
    by_all: frozenset[str]


def _nearest(parts: Sequence[_Part], place: Place) -> Place:
    """Return *place* without what no endpoint has in common with it.

    What all have ends the comparison: whatever comes after tells nobody apart. Its
    region does not matter to its zone: the names of zones are unique in a cluster.
    """
    told: dict[str, str] = {}
    for part in parts:
        value = value_at(part.name, place)
        if value in part.by_all:
            break
        if value is not None and value in part.by_some:
            told[part.name] = value
    return Place(
        region=told.pop(REGION, ""),
        zone=told.pop(ZONE, ""),
        node=told.pop(NODE, ""),
        labels=frozenset(
            (part.removeprefix(LABEL), value) for part, value in told.items()
        ),
    )


def _by_rule(
    upstream: Upstream, weighted: WeightedLocality, build: Callable[[Place], bytes]
) -> _Forms | None:
    """Return the forms for clients of which rules ask where they are."""
    origins = tuple(each.from_ for each in weighted.rules)
    if not any(origins):
        return None
    told = [
        (each.address, each.port, each.health, each.weight, each.locality)
        for each in upstream.endpoints
    ]
    return _Forms(
        body=build,
        fingerprint=_fingerprint(weighted.model_dump_json(), told),
        lens=("rules", origins),
        nearest=partial(nearest, weighted),
    )


def by_own_region(
    endpoints: Iterable[Endpoint], build: Callable[[Place], bytes]
) -> Forms | None:
    """Return the forms for clients that say another region of a zone than endpoints."""
    regions = _regions(endpoints)
    if not regions:
        return None
    return _Forms(
        body=build,
        fingerprint=b"",
        lens=("regions", frozenset(regions.items())),
        nearest=partial(_stranger, regions),
    )


def _regions(endpoints: Iterable[Endpoint]) -> Mapping[str, frozenset[str]]:
    """Return the regions of each zone."""
    found: dict[str, frozenset[str]] = {}
    for region, zone in {(e.locality.region, e.locality.zone) for e in endpoints}:
        if zone:
            found[zone] = found.get(zone, frozenset()) | {region}
    return found


def _stranger(regions: Mapping[str, frozenset[str]], place: Place) -> Place:
    """Return the region and zone of *place*, if others put that zone elsewhere."""
    if place.region in regions.get(place.zone, {place.region}):
        return NOWHERE
    return Place(region=place.region, zone=place.zone)


def _held(named: Sequence[Sequence[str]]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the values that some of *named* hold and not all, and those of all."""
    some = frozenset().union(*named)
    of_all = frozenset(named[0]).intersection(*named[1:]) if named else frozenset()
    return some - of_all, of_all


def _fingerprint(rules: object, endpoints: object) -> bytes:
    """Return a hash of all that tells the places of an upstream apart.

    What it is besides is in what is built for no place.
    """
    told = msgspec.json.encode((rules, endpoints))
    return hashlib.blake2b(told, digest_size=_DIGEST_BYTES).digest()
