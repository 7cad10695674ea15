"""One resource as bytes, made once: every response is a join of these.

In: a `Resource`. Out: its content hash and its encodings for both protocol variants.
Which resources go into which response is decided by who serves.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryResponse,
    DiscoveryResponse,
    Resource as DeltaResource,
)
from google.protobuf.any_pb2 import Any as AnyMessage

from xds_server.xds import Resource

DIGEST_BITS: Final = 128
_VERSION_DIGITS: Final = 16
_LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedResource:
    """A resource ready to be sent.

    `sotw` and `delta` are whole encoded fields (`resources`, with its tag and length)
    of a DiscoveryResponse and a DeltaDiscoveryResponse. Encoded fields may be joined in
    any order, so joining is all that is left to do for a response.
    """

    name: str
    digest: int
    version: str
    sotw: bytes
    delta: bytes


def digest_of(resource: Resource) -> int:
    """Return the content hash: BLAKE2b over the length-prefixed name and body."""
    name = resource.name.encode()
    hashed = hashlib.blake2b(digest_size=DIGEST_BITS // 8)
    hashed.update(len(name).to_bytes(_LENGTH_BYTES, "little"))
    hashed.update(name)
    hashed.update(resource.body)
    return int.from_bytes(hashed.digest(), "big")


def version_of(digest: int) -> str:
    """Return the version that clients see: the first 64 bits of *digest*, in hex."""
    return f"{digest:0{DIGEST_BITS // 4}x}"[:_VERSION_DIGITS]


def encode(resource: Resource, digest: int) -> EncodedResource:
    """Return *resource* as bytes; *digest* is its `digest_of`."""
    body = AnyMessage(type_url=resource.type_url, value=resource.body)
    version = version_of(digest)
    wrapped = DeltaResource(name=resource.name, version=version, resource=body)
    return EncodedResource(
        name=resource.name,
        digest=digest,
        version=version,
        sotw=DiscoveryResponse(resources=[body]).SerializeToString(),
        delta=DeltaDiscoveryResponse(resources=[wrapped]).SerializeToString(),
    )
