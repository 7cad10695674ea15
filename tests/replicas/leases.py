"""An API server that knows Leases alone, in virtual time: slow or absent as told."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import msgspec

from xds_server.replicas.lease import Lease, LeaseSpec, ObjectMeta
from xds_server.sources.kube_api import JSON, Json, KubeApi, KubeError, Query


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str = ""
    annotations: dict[str, str] = {}


class _Body(msgspec.Struct):
    metadata: _Metadata
    spec: LeaseSpec


@dataclass
class Leases:
    """The Leases that there are, by their paths."""

    stored: dict[str, Lease] = field(default_factory=dict)
    version: int = 0

    def put(self, path: str, body: Json) -> bytes:
        """Keep a Lease as its next version, and return it."""
        self.version += 1
        told = msgspec.convert(body, _Body)
        metadata = ObjectMeta(
            name=told.metadata.name,
            resource_version=str(self.version),
            annotations=told.metadata.annotations,
        )
        self.stored[path] = lease = Lease(metadata=metadata, spec=told.spec)
        return msgspec.json.encode(lease)


class LeaseApi(KubeApi):
    """How one replica reaches the Leases.

    A call takes `there` seconds to arrive, and its answer `back` seconds. While
    `is_cut_off`, it fails; one that is under way then is done, and its answer is lost.
    """

    def __init__(self, leases: Leases) -> None:
        super().__init__()
        self.leases = leases
        self.there = self.back = 0.01
        self.has_namespace = True
        self.is_cut_off = False

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Connect to nothing."""
        yield

    async def get(self, path: str, query: Query, *, accept: str = JSON) -> bytes:
        """Return a Lease."""
        del query, accept
        async with self._call():
            if path not in self.leases.stored:
                raise KubeError(path, 404)
            return msgspec.json.encode(self.leases.stored[path])

    async def create(self, path: str, body: Json) -> bytes:
        """Create a Lease, unless there is one of the name."""
        async with self._call():
            metadata = cast("Mapping[str, str]", body["metadata"])
            path = f"{path}/{metadata['name']}"
            if not self.has_namespace:
                raise KubeError(path, 404)
            if path in self.leases.stored:
                raise KubeError(path, 409)
            return self.leases.put(path, body)

    async def apply(self, path: str, body: Json, *, manager: str) -> bytes:
        """Apply a Lease, unless it is of another version than *body* has."""
        assert manager == "xds-server"
        async with self._call():
            metadata = cast("Mapping[str, str]", body["metadata"])
            version = metadata.get("resourceVersion")
            found = self.leases.stored.get(path)
            if version and (
                found is None or found.metadata.resource_version != version
            ):
                raise KubeError(path, 409)
            return self.leases.put(path, body)

    async def delete(self, path: str, resource_version: str = "") -> None:
        """Delete a Lease, if it is of this version."""
        async with self._call():
            found = self.leases.stored.get(path)
            if found is None:
                raise KubeError(path, 404)
            if resource_version not in ("", found.metadata.resource_version):
                raise KubeError(path, 409)
            del self.leases.stored[path]

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        await self._travel(self.there)
        yield
        await self._travel(self.back)

    async def _travel(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self.is_cut_off:
            message = "cut off"
            raise KubeError(message)
