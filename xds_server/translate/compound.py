"""What a resource of many parts is for clients whose labels policies select.

Parts in, of which some are others for some clients; one resource out, whose forms are
joined when somebody asks for them. There may be as many as there are unions of labels
that clients have, of which few are seen; so each part is asked, and none is multiplied
by what tells another one's clients apart. What is one message for all is in
`selection`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xds_server.translate.fragment import merge
from xds_server.translate.selection import digest_of, labels_told, nearest_group
from xds_server.xds import Labels, Place, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A fragment, and what it is for *groups* of clients in its place."""

    body: bytes
    groups: Mapping[Labels, bytes] = field(default_factory=dict)

    def at(self, place: Place) -> bytes:
        """Return what clients at *place* are told."""
        near = nearest_group(place.labels, frozenset(self.groups))
        return self.groups.get(near.labels, self.body)


def join(type_url: str, name: str, parts: Sequence[Part]) -> Resource:
    """Return the resource of *parts*, in their order; without forms if all see one."""
    return Resource(
        type_url=type_url,
        name=name,
        body=merge(*(each.body for each in parts)),
        forms=Compound(parts) if any(each.groups for each in parts) else None,
    )


class Compound:
    """The forms of a resource of *parts*."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._labels = frozenset(labels for each in parts for labels in each.groups)
        self.lens = self._labels
        self.owners: Mapping[Labels, tuple[str, ...]] = {}
        self.fingerprint = _fingerprint(parts)

    def nearest(self, place: Place) -> Place:
        """Return those of the labels that matter to some part."""
        return nearest_group(place.labels, self._labels)

    def body(self, place: Place) -> bytes:
        """Return what is sent there."""
        return merge(
            *(each.at(place) if each.groups else each.body for each in self._parts)
        )


def _fingerprint(parts: Sequence[Part]) -> bytes:
    """Return a hash of all that groups are told, of who they are, and where it is."""
    told: list[bytes] = []
    for position, part in enumerate(parts):
        for labels in sorted(part.groups, key=sorted):
            told += [str(position).encode(), *labels_told(labels), part.groups[labels]]
    return digest_of(told)
