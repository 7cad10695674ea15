"""Which endpoints of an upstream a client at some place is to use first.

An upstream and a place in; tiers of endpoints, the nearest first, and the few places
that differ, out. A client that does not say its place has one tier of all.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from xds_server.mesh.model import Endpoint, Proximity, Upstream
from xds_server.xds import Forms, Place

_DIGEST_BYTES: Final = 16


def tiers(
    endpoints: Iterable[Endpoint], failover: Sequence[Proximity], place: Place
) -> Sequence[Sequence[Endpoint]]:
    """Return *endpoints* by how near to *place* they are, each tier in their order.

    The first tier are those that have the first of *failover* in common with it, the
    last have nothing. There are no empty ones. What is draining is in its tier, where
    an Envoy does not count it (measured on 1.40): it is not as if that had failed.
    """
    found: list[Sequence[Endpoint]] = []
    rest = list(endpoints)
    for proximity in failover:
        is_node = proximity is Proximity.NODE
        name = place.node if is_node else place.zone
        named = [(each, each.nodes if is_node else each.zones) for each in rest]
        near = [each for each, names in named if name in names]
        if near:
            found.append(near)
            rest = [each for each, names in named if name not in names]
    return [*found, rest] if rest else found


def forms_of(upstream: Upstream, build: Callable[[Place], bytes]) -> Forms | None:
    """Return what *build* makes of *upstream* in different places; None if no others.

    It is asked for the places that matter alone.
    """
    if not upstream.failover:
        return None
    forms = _Forms(upstream, build)
    return forms if forms.is_needed else None


class _Forms:
    """What is built of an upstream for each place that matters to it."""

    def __init__(self, upstream: Upstream, build: Callable[[Place], bytes]) -> None:
        self.body = build
        self.fingerprint = _fingerprint(upstream)
        self._zones = _telling([each.zones for each in upstream.endpoints])
        self._nodes = _telling([each.nodes for each in upstream.endpoints])

    @property
    def is_needed(self) -> bool:
        """Whether there is a place that differs."""
        return bool(self._zones or self._nodes)

    def nearest(self, place: Place) -> Place:
        """Return *place* without what no endpoint has in common with it, or all have.

        Its region does not matter: the names of zones are unique in a cluster.
        """
        zone = place.zone if place.zone in self._zones else ""
        node = place.node if place.node in self._nodes else ""
        return Place(zone=zone, node=node)


def _telling(named: Sequence[Sequence[str]]) -> frozenset[str]:
    """Return the names that some of *named* hold, and not all."""
    some = frozenset().union(*named)
    return some.difference(
        frozenset(named[0]).intersection(*named[1:]) if named else ()
    )


def _fingerprint(upstream: Upstream) -> bytes:
    """Return a hash of all that tells the places of *upstream* apart.

    What the endpoints are besides is in what is built for no place.
    """
    near = [(e.address, e.port, e.zones, e.nodes) for e in upstream.endpoints]
    told = msgspec.json.encode((upstream.failover, near))
    return hashlib.blake2b(told, digest_size=_DIGEST_BYTES).digest()
