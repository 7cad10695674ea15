"""Whom an endpoint is near to: what endpoints and clients are compared by.

What a Service, or a policy for it, prefers in, and where an endpoint runs; the values
of clients that it is near to out. And the value that a client has.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from xds_server.api import locality as api
from xds_server.mesh.site import Site
from xds_server.xds import Place

_DISTRIBUTIONS: Final = {
    "PreferSameNode": (api.NODE, api.ZONE),
    "PreferSameZone": (api.ZONE,),
    "PreferClose": (api.ZONE,),  # the older name
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What endpoints are to have in common with a client, the most important first.

    Hints of a slice are Kubernetes' answer to a Service's `trafficDistribution`, and
    tell of nearness where that prefers (`is_hinted`); policies go by where endpoints
    run.
    """

    order: tuple[str, ...] = ()
    is_hinted: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The keys of Pods' labels that count."""
        return tuple(
            each.removeprefix(api.LABEL)
            for each in self.order
            if each.startswith(api.LABEL)
        )


def preference_of(policy: api.Locality | None, distribution: str | None) -> Preference:
    """Return which endpoints a *policy*, or a Service's `trafficDistribution`, prefers.

    The policy takes the place of the other. A distribution that is not known prefers
    none: that it is not was said when it was read.
    """
    if policy is None:
        order = _DISTRIBUTIONS.get(distribution or "", ())
        return Preference(order=order, is_hinted=True)
    return Preference(order=policy.failover.order if policy.failover else ())


def near(
    site: Site, labels: Mapping[str, str], preference: Preference
) -> tuple[tuple[str, ...], ...]:
    """Return the values of the clients that an endpoint is near to.

    They are those of each part of *preference*; *labels* are its Pod's.
    """
    return tuple(_near(site, labels, preference))


def _near(
    site: Site, labels: Mapping[str, str], preference: Preference
) -> Iterator[tuple[str, ...]]:
    for each in preference.order:
        match each:
            case api.NODE:
                yield site.nodes if preference.is_hinted else _some(site.node)
            case api.ZONE:
                own = _some(site.locality.zone)
                yield site.zones if preference.is_hinted else own
            case api.REGION:
                yield _some(site.locality.region)
            case _:
                value = labels.get(each.removeprefix(api.LABEL))
                yield () if value is None else (value,)


def value_at(part: str, place: Place) -> str | None:
    """Return the value of a client at *place* of a *part* of a preference, if any."""
    match part:
        case api.NODE:
            return place.node or None
        case api.ZONE:
            return place.zone or None
        case api.REGION:
            return place.region or None
        case _:
            return dict(place.labels).get(part.removeprefix(api.LABEL))


def _some(name: str) -> tuple[str, ...]:
    return (name,) if name else ()
