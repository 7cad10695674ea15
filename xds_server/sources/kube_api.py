"""The calls to one Kubernetes API server: bytes by path, watches line by line, writes.

In: kubeconfigs, or the account of the Pod we run in. Out: JSON as the server sent it,
or one error that says what happened. The `kubernetes` package carries the calls
(addresses, TLS, tokens); its models are passed by, since they take ten times as long to
read.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import msgspec
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTResponse

from xds_server.sources.source import SourceError

Query = Mapping[str, str]
Json = Mapping[str, object]
T = TypeVar("T")

JSON: Final = "application/json"
_METADATA: Final = "application/json;as={};g=meta.k8s.io;v=v1"
METADATA: Final = _METADATA.format("PartialObjectMetadata")
METADATA_LIST: Final = _METADATA.format("PartialObjectMetadataList")
"""What an answer may be: of large objects, of which the rest is for others, less."""

_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60
_SILENCE_SECONDS: Final = 20
_BRIEF: Final = aiohttp.ClientTimeout(
    total=_READ_SECONDS, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS
)
"""An API server that is starting may take a call and forget it."""
_OK: Final = range(200, 300)
_UNAUTHORIZED: Final = 401


class KubeConfigError(SourceError):
    """There is no usable kubeconfig; the message says why."""


class KubeError(Exception):
    """A call failed. `status` is that of HTTP, 0 where there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Call:
    """What is asked of the server."""

    method: str
    path: str
    query: Query | None = None
    body: Json | None = None
    content_type: str = JSON
    accept: str = JSON


class _Status(msgspec.Struct, frozen=True):
    """What an API server says when it refuses (meta/v1 Status)."""

    message: str = ""
    code: int = 0


class KubeApi:
    """One API server, called as whoever *kubeconfigs* say; a Pod's account without.

    Several are merged as kubectl does: what is said first counts, and those of several
    that are not there say nothing.
    """

    def __init__(self, *kubeconfigs: Path) -> None:
        self._kubeconfigs = kubeconfigs
        self._configuration = Configuration()
        self._client: ApiClient

    @property
    def server(self) -> str:
        """The address of the server, known once connected."""
        return str(self._configuration.host)

    @property
    def account(self) -> str:
        """Where it stands who asks."""
        return _list(self._kubeconfigs) or "the in-cluster configuration"

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Allow calls inside the block; connections are opened by the calls.

        Raises:
            KubeConfigError: the configuration cannot be read.
        """
        await self._configure()
        try:
            self._client = ApiClient(self._configuration)
        except OSError as error:  # certificates that are none
            message = f"{self.account} is no usable kubeconfig: {error}"
            raise KubeConfigError(message) from error
        async with self._client:
            yield

    async def get(self, path: str, query: Query, *, accept: str = JSON) -> bytes:
        """Return what is at *path*, in the form *accept*.

        Raises:
            KubeError: it could not be had.
        """
        call = _Call("GET", path, query, accept=accept)
        async with self._answer(call, _BRIEF) as response:
            return await response.read()

    async def create(self, path: str, body: Json) -> bytes:
        """Create the object *body* in the collection at *path*; return it.

        Raises:
            KubeError: it was not created.
        """
        async with self._answer(_Call("POST", path, body=body), _BRIEF) as response:
            return await response.read()

    async def apply(self, path: str, body: Json, *, manager: str) -> bytes:
        """Let the fields in *body* be as they are there, and *manager*'s; return all.

        It is a server-side apply: what the manager applied before and is in it no more
        goes, and what other managers say of the same fields is overruled. With a
        `resourceVersion` in *body* it is refused (409) if the object is another now.

        Raises:
            KubeError: it was not applied.
        """
        query = {"fieldManager": manager, "force": "true"}
        call = _Call("PATCH", path, query, body, "application/apply-patch+yaml")
        async with self._answer(call, _BRIEF) as response:
            return await response.read()

    async def delete(self, path: str, resource_version: str = "") -> None:
        """Delete the object at *path*, if it is that of *resource_version* still.

        Raises:
            KubeError: it was not deleted.
        """
        body: dict[str, object] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if resource_version:
            body["preconditions"] = {"resourceVersion": resource_version}
        async with self._answer(_Call("DELETE", path, body=body), _BRIEF):
            pass

    async def watch(
        self, path: str, query: Query, *, silence: timedelta, accept: str = JSON
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch at *path* until the server ends it.

        The first line is empty: the watch has begun. A server that says nothing for
        *silence* is taken for gone.

        Raises:
            KubeError: it could not begin, or broke.
        """
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=silence.total_seconds()
        )
        call = _Call("GET", path, query, accept=accept)
        async with self._answer(call, limits) as response:
            rest = b""
            yield rest
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line

    @asynccontextmanager
    async def _answer(
        self, call: "_Call", limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield an answer that is good, and turn what goes wrong into a KubeError."""
        try:
            answer = await self._send(call, limits)
            response: aiohttp.ClientResponse = answer.response
            async with response:
                if response.status not in _OK:
                    await self._refuse(response)
                yield response
        except config.ConfigException as error:  # of a token that is read anew
            message = f"{self.account} is no usable kubeconfig: {error}"
            raise KubeConfigError(message) from error
        except TimeoutError as error:
            message = "no answer in time"
            raise KubeError(message) from error
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno or 0
            reason = os.strerror(number) if number > 0 else error.os_error.strerror
            raise KubeError(str(reason or error).lower()) from error
        except (aiohttp.ClientError, OSError) as error:
            raise KubeError(str(error) or type(error).__name__) from error

    async def _send(self, call: "_Call", limits: aiohttp.ClientTimeout) -> RESTResponse:
        headers = {"Accept": call.accept}
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        request = await self._client.param_serialize(
            call.method,
            call.path,
            query_params=list((call.query or {}).items()),
            header_params=headers,
            body=call.body,
            auth_settings=["BearerToken"],
        )
        return await self._client.call_api(*request, _request_timeout=limits)

    async def _refuse(self, response: aiohttp.ClientResponse) -> None:
        if response.status == _UNAUTHORIZED:
            await self._configure()  # for the next call
        raise refusal(await response.read(), response.status)

    async def _configure(self) -> None:
        """Read the configuration, with the newest token."""
        there = [each for each in self._kubeconfigs if each.is_file()]
        if self._kubeconfigs and not there:
            message = f"no kubeconfig at {self.account}"
            raise KubeConfigError(message)
        try:
            if not there:
                config.load_incluster_config(  # type: ignore[no-untyped-call]  # has no types
                    client_configuration=self._configuration
                )
            else:
                await config.load_kube_config(  # type: ignore[no-untyped-call]  # has no types
                    _list(there),
                    context=_context(there),
                    client_configuration=self._configuration,
                    persist_config=False,
                )
        except Exception as error:
            message = f"{self.account} is no usable kubeconfig: {error}"
            raise KubeConfigError(message) from error


def _list(paths: Iterable[Path]) -> str:
    return os.pathsep.join(map(str, paths))


class _Kubeconfig(msgspec.Struct, rename="kebab"):
    current_context: str | None = None


def _context(paths: Iterable[Path]) -> str | None:
    """Return the context that is named first; the library takes the last."""
    found = (msgspec.yaml.decode(each.read_bytes(), type=_Kubeconfig) for each in paths)
    return next((each.current_context for each in found if each.current_context), None)


def decode(body: bytes | msgspec.Raw, form: type[T]) -> T:
    """Return what the server answered, which has this *form*.

    Raises:
        KubeError: it has not; a proxy answers with its login page, say.
    """
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        message = f"answered something else than was asked for: {error}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = f"answered something else than JSON: {_beginning(body)!r}"
    raise KubeError(message)


def refusal(body: bytes | msgspec.Raw, status: int = 0) -> KubeError:
    """Return the error that *body*, a Status or anything else, tells of."""
    try:
        told = decode(body, _Status)
    except KubeError:
        return KubeError(_beginning(body), status)
    return KubeError(told.message, status or told.code)


def _beginning(body: bytes | msgspec.Raw) -> str:
    return bytes(body)[:200].decode(errors="replace")
