"""A resource that is another one in some zones, for tests that know no mesh."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass

from xds_server.xds import ENDPOINT, Labels, Place, Resource


@dataclass(frozen=True, kw_only=True)
class ByZone:
    """What a resource called *name* is in *zones*: its name, the zone and a version."""

    name: str
    zones: Collection[str]
    version: int = 1

    @property
    def owners(self) -> Mapping[Labels, tuple[str, ...]]:
        """None of its own: it is made of what the resource is made of."""
        return {}

    @property
    def lens(self) -> Hashable:
        """The zones, in no order."""
        return frozenset(self.zones)

    @property
    def fingerprint(self) -> bytes:
        """A text of all that there is: short enough to be its own hash."""
        return f"{sorted(self.zones)}|{self.version}".encode()

    def nearest(self, place: Place) -> Place:
        """Return the zone, where it is one of them."""
        return Place(zone=place.zone if place.zone in self.zones else "")

    def body(self, place: Place) -> bytes:
        """Return what is sent there."""
        return f"{self.name}@{place.zone}|{self.version}".encode()


def by_zone(
    name: str, *zones: str, version: int = 1, type_url: str = ENDPOINT
) -> Resource:
    """Return a resource that is another one in each of *zones*."""
    return Resource(
        type_url=type_url,
        name=name,
        body=f"{name}|{version}".encode(),
        forms=ByZone(name=name, zones=frozenset(zones), version=version),
    )
