"""Which clients know the parts of zones, without which Envoy routes by none.

What connected Envoys say of themselves, and the Services that there are, in; what a
policy that asks for zones does not do for them, in words, out. Envoy itself is silent:
it has to know its zone and the Service that it stands beside, and find itself there.
"""

from collections.abc import Iterable, Mapping

from xds_server.mesh.model import Section, Service, Upstream
from xds_server.mesh.remark import remark
from xds_server.mesh.service import ServiceName
from xds_server.mesh.status import PolicyStatus


def knows_zones(
    own: ServiceName | None, zone: str, services: Mapping[ServiceName, Service]
) -> bool:
    """Whether a client of the Service *own* in *zone* is one of those known there."""
    service = services.get(own) if own else None
    zones = {
        endpoint.locality.zone
        for upstream in (service.upstreams if service else ())
        for endpoint in upstream.endpoints
    }
    return bool(zone) and zone in zones


def are_wanted(services: Mapping[ServiceName, Service]) -> bool:
    """Whether a policy asks for zones anywhere."""
    return any(
        _is_zone_aware(each)
        for service in services.values()
        for upstream in service.upstreams
        for each in (upstream, *(variant.upstream for variant in upstream.variants))
    )


def tell_strangers(
    status: PolicyStatus,
    services: Mapping[ServiceName, Service],
    *,
    strangers: int,
    number: int,
) -> PolicyStatus:
    """Return *status* with what *strangers* of a *number* of Envoys go without."""
    who = f"{strangers} of {number} Envoys"
    return remark(status, services, who, _unzoned)


def _unzoned(section: Section, upstream: Upstream) -> Iterable[str]:
    if section is Section.LOCALITY and _is_zone_aware(upstream):
        yield (
            "zones do not count for them: their bootstraps have no --zone, or no "
            "--service that has endpoints there (locality)"
        )


def _is_zone_aware(upstream: Upstream) -> bool:
    locality = upstream.sections.locality
    return locality is not None and locality.zone_aware is not None
