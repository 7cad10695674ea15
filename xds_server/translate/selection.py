"""What a resource is for clients whose labels a policy selects.

A resource and what it is for clients with some labels in; one resource out, with a form
for each group of clients that is told something else. Forms by place stay, inside.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

from xds_server.mesh.selector import group_of
from xds_server.xds import NOWHERE, Labels, Place, Resource

_DIGEST_BYTES: Final = 16
_LENGTH_BYTES: Final = 8


class Selected:
    """The forms of *resource*, which is what clients get that are in none of *groups*.

    *groups* say what all others get; each has that of the same name and type.
    """

    def __init__(self, resource: Resource, groups: Mapping[Labels, Resource]) -> None:
        self._resource = resource
        self._groups = groups
        self._labels = frozenset(groups)
        inside = {labels: each.forms for labels, each in groups.items()}
        self._inside = {labels: forms for labels, forms in inside.items() if forms}
        self.lens = (
            self._labels,
            resource.forms and resource.forms.lens,
            frozenset((labels, forms.lens) for labels, forms in self._inside.items()),
        )
        self.owners = {labels: each.owners for labels, each in groups.items()}
        self.fingerprint = _fingerprint(resource, groups)

    def nearest(self, place: Place) -> Place:
        """Return the labels of the group, and what matters of the place inside it.

        That may be more labels. They do not change the group: the client has them all.
        """
        near = nearest_group(place.labels, self._labels)
        is_all = near == NOWHERE
        forms = self._resource.forms if is_all else self._inside.get(near.labels)
        if forms is None:
            return near
        inside = forms.nearest(place)
        return inside._replace(labels=inside.labels | near.labels)

    def body(self, place: Place) -> bytes:
        """Return what is sent there."""
        group = nearest_group(place.labels, self._labels).labels
        found = self._groups.get(group, self._resource)
        near = found.forms.nearest(place) if found.forms else NOWHERE
        if found.forms is None or near == NOWHERE:
            return found.body
        return found.forms.body(near)


@lru_cache(maxsize=4096)
def nearest_group(labels: Labels, groups: frozenset[Labels]) -> Place:
    """Return where a client with *labels* stands, if no place matters.

    A full state asks it of every resource, and most have the same groups.
    """
    return Place(labels=group_of(labels, groups))


def select(resource: Resource, groups: Mapping[Labels, Resource]) -> Resource:
    """Return *resource* with the forms that it has for *groups* of clients.

    Without any it is itself: what differs may be in other resources. Whose word it is
    counts too, for whoever has to trace what a client holds. All are sent again as
    often as those that need it most.
    """
    if all(_is_same(resource, each) for each in groups.values()):
        return resource
    all_of_it = (resource, *groups.values())
    return replace(
        resource,
        refresh=min((each.refresh for each in all_of_it if each.refresh), default=None),
        forms=Selected(resource, groups),
    )


def _is_same(one: Resource, other: Resource) -> bool:
    is_told_alike = one.body == other.body and _inside(one) == _inside(other)
    return is_told_alike and one.owners == other.owners


def _inside(resource: Resource) -> bytes:
    return b"" if resource.forms is None else resource.forms.fingerprint


def _fingerprint(resource: Resource, groups: Mapping[Labels, Resource]) -> bytes:
    """Return a hash of all that the groups are told, and of who they are."""
    parts = [_inside(resource)]
    for labels in sorted(groups, key=sorted):
        parts += labels_told(labels)
        parts += [groups[labels].body, _inside(groups[labels])]
    return digest_of(parts)


def labels_told(labels: Labels) -> Iterator[bytes]:
    """Yield who clients are that have *labels*: so many, and each, in one order."""
    yield str(len(labels)).encode()
    for pair in sorted(labels):
        yield from (text.encode() for text in pair)


def digest_of(parts: Iterable[bytes]) -> bytes:
    """Return a hash of *parts*, and of where each ends."""
    hashed = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        hashed.update(len(part).to_bytes(_LENGTH_BYTES, "little"))
        hashed.update(part)
    return hashed.digest()
