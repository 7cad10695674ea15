"""One collection of objects of an API server, mirrored: listed once, then watched.

In: what the server says, and how it fails. Out: all objects there are, then what
happens to each, and what is wrong while nothing can be heard. After a failure it goes
on where it was, if the server remembers that, and lists again if not
(kubernetes.io, "API concepts": efficient detection of changes).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from random import uniform
from typing import Final

import msgspec

from xds_server.sources.kube_api import (
    JSON,
    METADATA,
    METADATA_LIST,
    KubeApi,
    KubeConfigError,
    KubeError,
    decode,
    refusal,
)
from xds_server.sources.retry import attempts

GONE: Final = 410
PAGE: Final = 500
"""So many objects are asked for at a time."""
_LONGEST_PAUSE: Final = 5.0
_SHORTEST_WATCH: Final = 1.0  # seconds; one that is shorter has failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a watch lasts, and after how much silence it counts as broken.

    A server sends a bookmark about once a minute, so silence is none of its own. Of a
    collection in which nothing has happened since it started, it skips the first.
    """

    session: timedelta = timedelta(minutes=5)
    silence: timedelta = timedelta(seconds=150)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Objects of one *kind*, at *path*, picked by *query*.

    Of some the metadata is all that is wanted.
    """

    kind: str
    api_version: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    is_metadata: bool = False

    @property
    def plural(self) -> str:
        """The name of the collection, as permissions have it."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Replaced:
    """These are all objects that there are."""

    objects: tuple[msgspec.Raw, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """This is what an object is now, or was when it was deleted."""

    object: msgspec.Raw
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class Troubled:
    """Nothing can be heard, for this reason; None once it can be again."""

    error: KubeError | KubeConfigError | None


News = Replaced | Changed | Troubled


class _EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """When a list was read, and where it goes on."""

    resource_version: str = ""
    next_page: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, frozen=True):
    """Some of the objects of a list."""

    metadata: ListMeta
    items: list[msgspec.Raw] | None = None


class _Object(msgspec.Struct, frozen=True):
    metadata: ListMeta = ListMeta()


class _Event(msgspec.Struct, frozen=True):
    type: _EventType
    object: msgspec.Raw


async def pages(api: KubeApi, collection: Collection) -> AsyncIterator[Page]:
    """Yield all objects that there are, a page at a time.

    Raises:
        KubeError: they could not be had.
    """
    query = {**collection.query, "limit": str(PAGE)}
    accept = METADATA_LIST if collection.is_metadata else JSON
    while True:
        body = await api.get(collection.path, query, accept=accept)
        page = decode(body, Page)
        yield page
        if not page.metadata.next_page:
            return
        query["continue"] = page.metadata.next_page


class Reflector:
    """Mirrors *collection*; *tell* is called with what is new, in order."""

    def __init__(
        self,
        api: KubeApi,
        collection: Collection,
        tell: Callable[[News], None],
        patience: Patience,
    ) -> None:
        self._api = api
        self._collection = collection
        self._tell = tell
        self._patience = patience
        self._version = ""

    async def run(self) -> None:
        """Mirror for ever."""
        while True:
            async for attempt in attempts(
                lambda error: self._tell(Troubled(error)), longest_pause=_LONGEST_PAUSE
            ):
                with attempt:
                    await self._follow()

    async def _follow(self) -> None:
        """List if that is needed, then watch until that ends.

        Raises:
            KubeError: the server cannot be heard.
        """
        is_fresh = not self._version
        if is_fresh:
            objects: list[msgspec.Raw] = []
            version = ""
            async for page in pages(self._api, self._collection):
                objects += page.items or ()
                version = page.metadata.resource_version
            self._version = version
            self._tell(Replaced(tuple(objects)))
        await self._watch(is_fresh=is_fresh)

    async def _watch(self, *, is_fresh: bool) -> None:
        """Watch until that ends, be it by an error, unless it has hardly begun.

        One that told something has begun: a server ends the watches of whoever is slow
        to hear a storm. A place that the server has forgotten is no error unless it
        *is_fresh*: after a restart that is what happens.
        """
        loop = asyncio.get_running_loop()
        began_at, began_from = loop.time(), self._version
        error: KubeError | None = None
        try:
            await self._hear()
        except KubeError as found:
            error = found
            if error.status == GONE:
                self._version = ""
                if not is_fresh:
                    return
        has_told = self._version not in ("", began_from)
        if not has_told and loop.time() < began_at + _SHORTEST_WATCH:
            raise error or KubeError("a watch ended at once")
        if error is not None:
            self._tell(Troubled(error))

    async def _hear(self) -> None:
        session = self._patience.session.total_seconds()
        query = {
            **self._collection.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            # Else all watches of a server that has started anew end together.
            "timeoutSeconds": str(round(uniform(session, 2 * session))),  # noqa: S311
        }
        lines = self._api.watch(
            self._collection.path,
            query,
            silence=self._patience.silence,
            accept=METADATA if self._collection.is_metadata else JSON,
        )
        async with aclosing(lines):
            async for line in lines:
                if line:
                    self._take(decode(line, _Event))
                else:
                    self._tell(Troubled(None))

    def _take(self, event: _Event) -> None:
        if event.type is _EventType.ERROR:
            raise refusal(event.object)
        meta = decode(event.object, _Object).metadata
        self._version = meta.resource_version
        if event.type is not _EventType.BOOKMARK:
            is_deleted = event.type is _EventType.DELETED
            self._tell(Changed(event.object, is_deleted=is_deleted))
