"""The responses of both protocol variants as bytes: joins of what is encoded already.

In: encoded resources, removed names, version and nonce. Out: a `Response`, which many
streams may send.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryResponse,
    DiscoveryResponse,
)

from xds_server.snapshot.encoding import (
    EncodedResource,
    delta_field,
    heartbeat_field,
    sotw_field,
)


class Mode(StrEnum):
    """The variant of the protocol that a stream speaks."""

    DELTA = "delta"
    SOTW = "sotw"


KNOWS_TTL: Final = "xds.config.supports-resource-ttl"
"""The client feature without which no time to live is told."""

UNWRAPS: Final = "xds.config.resource-in-sotw"
"""The client feature without which none is told in a state-of-the-world response."""


class Cause(StrEnum):
    """Why a response is sent.

    The client asked; or what it holds has changed; or it rejected something together
    with this, which is sent again by itself; or what it holds would expire.
    """

    REQUEST = "request"
    CHANGE = "change"
    REJECTION = "rejection"
    HEARTBEAT = "heartbeat"


def cause_of(*, is_asked: bool, is_again: bool) -> Cause:
    """Return the strongest reason there is for a response."""
    if is_asked:
        return Cause.REQUEST
    return Cause.REJECTION if is_again else Cause.CHANGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is remembered of a response when its bytes have left.

    `names` are those of the resources it carried.
    """

    type_url: str
    version: str
    nonce: str
    names: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Response:
    """One encoded response; the same object for all streams in equal state."""

    head: Head
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A response on its way to one client.

    `changed` are the names in it that the client does not hold yet in this form: all of
    them, but for the unchanged part of a full state.
    """

    response: Response
    changed: tuple[str, ...]
    cause: Cause


def encode_sotw(
    type_url: str,
    version: str,
    nonce: str,
    resources: Collection[EncodedResource],
    *,
    tells_ttl: bool = False,
) -> Response:
    """Return a DiscoveryResponse with *resources*."""
    rest = DiscoveryResponse(version_info=version, type_url=type_url, nonce=nonce)
    pieces = [sotw_field(each, tells_ttl=tells_ttl) for each in resources]
    pieces.append(rest.SerializeToString())
    head = Head(
        type_url=type_url,
        version=version,
        nonce=nonce,
        names=tuple(resource.name for resource in resources),
    )
    return Response(head=head, body=b"".join(pieces))


def encode_delta(
    type_url: str,
    version: str,
    nonce: str,
    resources: Collection[EncodedResource],
    removed: Collection[str],
    *,
    tells_ttl: bool = False,
) -> Response:
    """Return a DeltaDiscoveryResponse with *resources* that says what is *removed*."""
    rest = DeltaDiscoveryResponse(
        system_version_info=version,
        type_url=type_url,
        nonce=nonce,
        removed_resources=removed,
    )
    pieces = [delta_field(each, tells_ttl=tells_ttl) for each in resources]
    pieces.append(rest.SerializeToString())
    head = Head(
        type_url=type_url,
        version=version,
        nonce=nonce,
        names=tuple(resource.name for resource in resources),
        removed=tuple(removed),
    )
    return Response(head=head, body=b"".join(pieces))


def encode_heartbeat(
    type_url: str,
    version: str,
    nonce: str,
    resources: Collection[EncodedResource],
    *,
    tells_ttl: bool,
) -> Response:
    """Return a DeltaDiscoveryResponse that keeps *resources* from expiring."""
    empty = encode_delta(type_url, version, nonce, (), ())
    fields = (heartbeat_field(each, tells_ttl=tells_ttl) for each in resources)
    names = tuple(each.name for each in resources)
    return Response(
        head=replace(empty.head, names=names), body=b"".join((*fields, empty.body))
    )
