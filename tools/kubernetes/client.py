"""The Kubernetes API by path, in bytes: what tests and benchmarks ask of a server.

In: a kubeconfig. Out: JSON as the server sent it. The `kubernetes` package carries the
calls (addresses, TLS, tokens); its models are passed by, since they take seconds to
load and know no custom resources.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException, NotFoundException
from kubernetes.aio.client.rest import RESTResponse

Json = Mapping[str, object]
_SUCCESS: Final = range(200, 300)
YAML: Final = "application/yaml"
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
"""Server-side apply, of a mapping; needs a `fieldManager` in the query."""


class Stamp(msgspec.Struct, frozen=True):
    """What says when an object, or a list, was read."""

    resource_version: str = msgspec.field(name="resourceVersion")
    name: str = ""
    continue_token: str = msgspec.field(name="continue", default="")


class Stamped(msgspec.Struct, frozen=True):
    """An object or a list, for its metadata alone."""

    metadata: Stamp


class _Status(msgspec.Struct, frozen=True):
    code: int
    reason: str = ""
    message: str = ""


class Event(msgspec.Struct, frozen=True):
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: msgspec.Raw

    @property
    def stamp(self) -> Stamp:
        """The name and version of the object."""
        return msgspec.json.decode(self.object, type=Stamped).metadata


@dataclass(frozen=True, kw_only=True)
class Client:
    """An API server and who asks it."""

    api: ApiClient

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Return what is at *path*."""
        return await self.call("GET", path, query=query)

    async def exists(self, path: str) -> bool:
        """Whether there is something at *path*."""
        try:
            await self.get(path)
        except NotFoundException:
            return False
        return True

    async def create(self, path: str, body: Json) -> bytes:
        """Create the object *body* in the collection at *path*."""
        return await self.call("POST", path, body=body)

    async def patch(
        self,
        path: str,
        body: Json,
        *,
        content_type: str = MERGE,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """Change what is at *path*."""
        return await self.call(
            "PATCH", path, body=body, content_type=content_type, query=query
        )

    async def apply(self, path: str, body: Json, *, dry_run: bool) -> list[str]:
        """Apply *body* at *path*, its fields all known; return what is warned of."""
        query = {"fieldManager": "tests", "fieldValidation": "Strict", "force": "true"}
        if dry_run:
            query["dryRun"] = "All"
        answer = await self._send("PATCH", path, query, body, APPLY)
        _accepted(answer, await answer.response.read())
        response: aiohttp.ClientResponse = answer.response
        return response.headers.getall("Warning", [])

    async def delete(self, path: str) -> None:
        """Delete what is at *path*."""
        await self.call("DELETE", path)

    async def table(self, path: str) -> bytes:
        """Return what is at *path* as the table that kubectl shows."""
        answer = await self._send(
            "GET", path, None, None, "application/json", accept=TABLE
        )
        return _accepted(answer, await answer.response.read())

    async def patch_code(self, path: str, body: Json) -> int:
        """Return the HTTP status of the answer to a change of what is at *path*."""
        answer = await self._send("PATCH", path, None, body, MERGE)
        await answer.response.read()
        return int(answer.status)

    async def page(self, path: str, token: str = "", *, size: int = 1) -> str:
        """Read *size* objects of the collection at *path*; return where it goes on."""
        answer = await self.get(path, {"limit": str(size), "continue": token})
        return msgspec.json.decode(answer, type=Stamped).metadata.continue_token

    async def list_version(self, path: str) -> str:
        """Return the resource version of the collection at *path* now."""
        answer = await self.get(path, {"limit": "1"})
        return msgspec.json.decode(answer, type=Stamped).metadata.resource_version

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | str | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Return the bytes that the server answers; a text is sent as it is.

        Raises:
            ApiException: the server refused; by its subclasses it says how.
        """
        answer = await self._send(method, path, query, body, content_type)
        return _accepted(answer, await answer.response.read())

    async def watch(self, path: str, since: str) -> AsyncGenerator[Event, None]:
        """Yield what happens to the collection at *path* after a resource version.

        The watch ends with the server: by an `aiohttp.ClientError`, or quietly.

        Raises:
            ApiException: the server refused; with status 410, *since* is older than
                what it remembers, which after a restart is nothing.
        """
        query = {
            "watch": "true",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
        }
        answer = await self._send("GET", path, query, None, "application/json")
        response: aiohttp.ClientResponse = answer.response
        async with response:
            if response.status != HTTPStatus.OK:
                _accepted(answer, await response.read())
            async for line in response.content:
                yield _occurred(msgspec.json.decode(line, type=Event))

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Json | str | None,
        content_type: str,
        *,
        accept: str = "application/json",
    ) -> RESTResponse:
        request = await self.api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self.api.call_api(*request)


def _accepted(answer: RESTResponse, content: bytes) -> bytes:
    if answer.status not in _SUCCESS:
        text = content.decode(errors="replace")
        raise ApiException.from_response(http_resp=answer, body=text, data=None)
    return content


def _occurred(event: Event) -> Event:
    # A watch that cannot begin is answered with 200, and says so in its first line.
    if event.type == "ERROR":
        status = msgspec.json.decode(event.object, type=_Status)
        reason = f"{status.reason}: {status.message}"
        raise ApiException(status=status.code, reason=reason)
    return event


@asynccontextmanager
async def connect(kubeconfig: Path) -> AsyncIterator[Client]:
    """Yield a client for the current context of *kubeconfig*."""
    configuration = Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]  # has no types
        str(kubeconfig), client_configuration=configuration, persist_config=False
    )
    async with ApiClient(configuration) as api:
        yield Client(api=api)
