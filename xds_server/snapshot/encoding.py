"""One resource as bytes, made once: every response is a join of these.

In: a `Resource`. Out: its content hash and its encodings for both protocol variants.
Which resources go into which response is decided by who serves.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from weakref import WeakValueDictionary

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryResponse,
    DiscoveryResponse,
    Resource as DeltaResource,
)
from google.protobuf.any_pb2 import Any as AnyMessage

from xds_server.xds import NOWHERE, Labels, Place, Resource, owners_at

MOST_FORMS: Final = 16
"""So many forms of a resource are kept; more of them are encoded anew when asked for.

That is more than there are zones. Of machines there may be thousands.
"""

DIGEST_BITS: Final = 128
_VERSION_DIGITS: Final = 16
_LENGTH_BYTES: Final = 8
_AFTER_KIN: Final = "."

_Key = tuple[str, int, str, tuple[str, ...], "_Owners | None"]
_Owners = tuple[tuple[Labels, tuple[str, ...]], ...]

_encoded: Final = WeakValueDictionary[_Key, "EncodedResource"]()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class EncodedResource:
    """A resource ready to be sent.

    `sotw` and `delta` are whole encoded fields (`resources`, with its tag and length)
    of a DiscoveryResponse and a DeltaDiscoveryResponse. Encoded fields may be joined in
    any order, so joining is all that is left to do for a response. They do not tell the
    `ttl`: few clients know of it.

    The first is part of the second, at `body_at`: `resource` has the same number in a
    Resource as `resources` in a DiscoveryResponse, and both hold an Any.

    What is another one in some places has `forms`; it is itself what is sent to
    nodes of which no place is known.
    """

    name: str
    aliases: tuple[str, ...]
    ttl: timedelta | None
    refresh: timedelta | None
    digest: int
    version: str
    delta: bytes
    body_at: "slice[int, int, None]"
    owners: tuple[str, ...] = ()
    forms: "EncodedForms | None" = None
    yields: bool = False

    @property
    def sotw(self) -> bytes:
        """The field of a DiscoveryResponse."""
        return self.delta[self.body_at]

    def nearest(self, place: Place) -> Place:
        """Return what nodes that are sent the same as those at *place* have in common.

        NOWHERE where that is this resource itself.
        """
        return NOWHERE if self.forms is None else self.forms.nearest(place)

    def owners_at(self, place: Place) -> tuple[str, ...]:
        """Return what is told of whose word shaped what a node at *place* is sent."""
        if self.forms is None or not self.forms.owners:
            return self.owners
        return owners_at(self.nearest(place), self.forms.owners, self.owners)

    def is_made_of(self, owner: str) -> bool:
        """Whether it was made of *owner*, in any of its forms."""
        if owner in self.owners:
            return True
        forms = self.forms.owners.values() if self.forms else ()
        return any(owner in each for each in forms)

    def yields_to(self, version: str) -> bool:
        """Whether a client that comes back with *version* may go on with that."""
        kin, end, _ = self.version.partition(_AFTER_KIN)
        return self.yields and version.startswith(kin + end)

    def at(self, place: Place) -> "EncodedResource":
        """Return what a node at *place* is sent."""
        near = self.nearest(place)
        if self.forms is None or near == NOWHERE:
            return self
        return self.forms.encoded(near)


def by_lens(resources: Iterable[EncodedResource]) -> tuple[EncodedResource, ...]:
    """Return one of *resources* for each way in which they see places.

    What they see of a place tells what all see of it.
    """
    found = {each.forms.lens: each for each in resources if each.forms is not None}
    return tuple(found.values())


class EncodedForms:
    """What *resource* is in places that matter to it, encoded when it is asked for."""

    def __init__(self, resource: Resource) -> None:
        assert resource.forms is not None  # noqa: S101 - narrows the union
        self.nearest = resource.forms.nearest
        self.lens = resource.forms.lens
        self.owners = resource.forms.owners
        self._resource = replace(resource, body=b"")  # which is kept as encoded
        self._encoded: dict[Place, EncodedResource] = {}

    def encoded(self, near: Place) -> EncodedResource:
        """Return the form at a `nearest` place."""
        found = self._encoded.get(near)
        if found is None:
            resource = self._resource.at(near)
            found = encode(resource, digest_of(resource))
            if len(self._encoded) >= MOST_FORMS:
                del self._encoded[next(iter(self._encoded))]
            self._encoded[near] = found
        return found


def digest_of(resource: Resource) -> int:
    """Return the content hash: BLAKE2b over the length-prefixed name and the body.

    What few resources have, aliases, times and forms, comes between the two, under hash
    functions of its own.
    """
    times = (resource.ttl, resource.refresh)
    is_plain = not (resource.aliases or resource.kin) and times == (None, None)
    forms = resource.forms
    hashed = hashlib.blake2b(
        digest_size=DIGEST_BITS // 8,
        person=b"" if is_plain else b"attributes",
        salt=b"" if forms is None else b"forms",
    )
    texts = [resource.name]
    if not is_plain:
        texts += [str(resource.ttl), str(len(resource.aliases)), *resource.aliases]
        texts += [str(resource.refresh)] if resource.refresh else []
        texts += [resource.kin.hex(), str(resource.yields)] if resource.kin else []
    parts = [text.encode() for text in texts]
    if forms is not None:
        parts.append(forms.fingerprint)
    for part in parts:
        hashed.update(len(part).to_bytes(_LENGTH_BYTES, "little"))
        hashed.update(part)
    hashed.update(resource.body)
    return int.from_bytes(hashed.digest(), "big")


def version_of(digest: int) -> str:
    """Return the version that clients see: the first 64 bits of *digest*, in hex."""
    return f"{digest:0{DIGEST_BITS // 4}x}"[:_VERSION_DIGITS]


def encode(resource: Resource, digest: int) -> EncodedResource:
    """Return *resource* as bytes; *digest* is its `digest_of`.

    Equal ones are one object, in however many tables they are: nodes that see different
    things see mostly the same.
    """
    owners = tuple(resource.forms.owners.items()) if resource.forms else None
    key = (resource.type_url, digest, resource.version, resource.owners, owners)
    encoded = _encoded.get(key)
    if encoded is None:
        encoded = _encoded[key] = _encode(resource, digest)
    return encoded


def made_of(resource: Resource, encoded: EncodedResource) -> EncodedResource:
    """Return *encoded*, of equal content, with the owners of *resource*."""
    before, now = encoded.forms, resource.forms
    is_same = before is None or now is None or before.owners == now.owners
    if is_same and encoded.owners == resource.owners:
        return encoded
    forms = EncodedForms(resource) if now else None
    return replace(encoded, owners=resource.owners, forms=forms)


def _encode(resource: Resource, digest: int) -> EncodedResource:
    body = AnyMessage(type_url=resource.type_url, value=resource.body)
    version = _told_version(resource, digest)
    wrapped = DeltaResource(
        name=resource.name, version=version, resource=body, aliases=resource.aliases
    )
    delta = DeltaDiscoveryResponse(resources=[wrapped]).SerializeToString()
    sotw = DiscoveryResponse(resources=[body]).SerializeToString()
    start = delta.index(sotw)
    return EncodedResource(
        name=resource.name,
        aliases=resource.aliases,
        ttl=resource.ttl,
        refresh=resource.refresh,
        owners=resource.owners,
        forms=EncodedForms(resource) if resource.forms else None,
        yields=resource.yields and bool(resource.kin),
        digest=digest,
        version=version,
        delta=delta,
        body_at=slice(start, start + len(sotw)),
    )


def _told_version(resource: Resource, digest: int) -> str:
    """Return the version that clients see, after that of all its kin."""
    version = resource.version or version_of(digest)
    if not resource.kin:
        return version
    kin = hashlib.blake2b(resource.kin, digest_size=DIGEST_BITS // 8).digest()
    return version_of(int.from_bytes(kin, "big")) + _AFTER_KIN + version


def sotw_field(resource: EncodedResource, *, tells_ttl: bool) -> bytes:
    """Return *resource* as a field of a DiscoveryResponse.

    A bare resource has no place for a time to live, so it is wrapped where the client
    is told that (discovery.proto, Resource).
    """
    if not tells_ttl or resource.ttl is None:
        return resource.sotw
    return _wrapped_field(_with_ttl(resource))


def delta_field(resource: EncodedResource, *, tells_ttl: bool) -> bytes:
    """Return *resource* as a field of a DeltaDiscoveryResponse."""
    if not tells_ttl or resource.ttl is None:
        return resource.delta
    return DeltaDiscoveryResponse(resources=[_with_ttl(resource)]).SerializeToString()


def heartbeat_field(resource: EncodedResource, *, tells_ttl: bool) -> bytes:
    """Return what keeps *resource* from expiring, as a field of a delta response.

    It is the resource without its body, which the client holds already, but for one
    that has to arrive whole.
    """
    if resource.refresh is not None:
        return delta_field(resource, tells_ttl=tells_ttl)
    message = _with_ttl(resource)
    message.ClearField("resource")
    return DeltaDiscoveryResponse(resources=[message]).SerializeToString()


def _with_ttl(resource: EncodedResource) -> DeltaResource:
    (message,) = DeltaDiscoveryResponse.FromString(resource.delta).resources
    if resource.ttl is not None:
        message.ttl.FromTimedelta(resource.ttl)
    return message


def _wrapped_field(message: DeltaResource) -> bytes:
    wrapped = AnyMessage()
    wrapped.Pack(message)
    return DiscoveryResponse(resources=[wrapped]).SerializeToString()
