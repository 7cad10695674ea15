"""Documents from files and directories: read once, or watched.

Paths in; batches of events out. What the files say together is in `document_set`, which
files there are in `scan`, the wait for changes in `watch`; here bytes are read.
"""

import asyncio
import hashlib
import os
import threading
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from typing import Final

from xds_server.api.decode import MAX_DOCUMENT_BYTES, decode
from xds_server.api.document import Decoded
from xds_server.mesh.event import Event, Listed
from xds_server.sources.document_set import DocumentSet
from xds_server.sources.listing import (
    Found,
    Listing,
    Obstacle,
    failure,
    refusal,
    signature,
)
from xds_server.sources.scan import scan
from xds_server.sources.watch import Watch

NAME: Final = "files"
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The events that a source of some files begins with, and how many were read."""

    events: tuple[Event, ...]
    files: int


def read_once(paths: Iterable[str | os.PathLike[str]]) -> Loaded:
    """Read *paths*, and do not watch them."""
    reader = _Reader(paths)
    events = (*DocumentSet().update(reader.refresh()), Listed(source=NAME))
    return Loaded(events=events, files=len(reader.listing.files))


def load(paths: Iterable[str | os.PathLike[str]]) -> tuple[Event, ...]:
    """Read *paths* once: the events that a source of these files begins with."""
    return read_once(paths).events


class FilesSource:
    """The documents under some paths, as long as it is asked for batches."""

    name: Final = NAME

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        documents: DocumentSet | None = None,
    ) -> None:
        """Take files and directories; those not there yet are waited for.

        *documents* is shared with other sources, so that one speaks for each object.
        """
        self._reader = _Reader(paths)
        self._documents = documents or DocumentSet()

    async def batches(self) -> AsyncIterator[tuple[Event, ...]]:
        """Yield all there is, with `Listed`, and then what changes; never ends.

        Files are read and decoded in threads. To stop, cancel the task: a thread ends
        with the object that it is at.
        """
        stop = threading.Event()
        watch, watched = None, frozenset[str]()
        touched = frozenset[str]()
        news: tuple[Event, ...] = (Listed(source=NAME),)
        try:
            while True:
                changes = await asyncio.to_thread(
                    self._reader.refresh, touched, lambda: not stop.is_set()
                )
                events = self._documents.update(changes)
                if events or news:
                    yield (*events, *news)
                    news = ()
                if watch is None or watched != self._reader.listing.watched:
                    watched = self._reader.listing.watched
                    watch = await asyncio.to_thread(Watch, watched)
                    touched = frozenset()  # look again for what came before the watch
                else:
                    touched = await asyncio.to_thread(self._wait, watch, stop)
        finally:
            stop.set()

    def _wait(self, watch: Watch, stop: threading.Event) -> frozenset[str]:
        """Block until something of the listing changed, or it is time to look."""
        while True:
            touched = watch.wait(stop)
            if not touched or any(map(self._reader.listing.concerns, touched)):
                return touched


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a path was when it was last looked at, and the digest of what it said."""

    found: Found | None
    outcome: bytes | Obstacle


class _Reader:
    """Reads what has changed since it last looked."""

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        self._paths = tuple(os.fspath(path) for path in paths)
        self._readings: dict[str, _Reading] = {}
        self.listing = Listing()

    def refresh(
        self,
        touched: Collection[str] = (),
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Mapping[str, Decoded | None]:
        """Read what changed, and return what it says now; None for what is gone.

        Where only files that are known were *touched*, nothing else is looked at. They
        are read whatever their signature, for two changes can fall into one tick of the
        filesystem's clock. Once the answer is not wanted any more, there is none, then
        or later.
        """
        if not touched or not self.listing.renew(touched):
            self.listing = scan(self._paths)
        changes: dict[str, Decoded | None] = dict.fromkeys(self._departed())
        for path in changes:
            del self._readings[path]
        for path, obstacle in self.listing.obstacles.items():
            if self._note(path, _Reading(None, obstacle)):
                changes[path] = _hindered(obstacle)
        for path, found in self.listing.files.items():
            if not is_wanted():
                break
            last = self._readings.get(path)
            if last is None or last.found != found or found.location in touched:
                content = read_file(path)
                if self._note(path, _Reading(found, _digest(content))):
                    changes[path] = _decode(path, content, is_wanted)
        return changes if is_wanted() else {}

    def _departed(self) -> Iterator[str]:
        """Yield the paths that are there no more, as far as can be seen."""
        there = self.listing.files.keys() | self.listing.obstacles.keys()
        for path in self._readings.keys() - there:
            if not self.listing.hides(path):
                yield path

    def _note(self, path: str, reading: _Reading) -> bool:
        """Remember *reading*; return whether its outcome is another than before."""
        last = self._readings.get(path)
        self._readings[path] = reading
        return last is None or last.outcome != reading.outcome


def _digest(content: bytes | Obstacle) -> bytes | Obstacle:
    if isinstance(content, Obstacle):
        return content
    return hashlib.blake2b(content).digest()


def _decode(
    path: str, content: bytes | Obstacle, is_wanted: Callable[[], bool]
) -> Decoded:
    if isinstance(content, Obstacle):
        return _hindered(content)
    return decode(content, source=path, is_wanted=is_wanted)


def _hindered(obstacle: Obstacle) -> Decoded:
    """Return what a path says that cannot be read."""
    return Decoded(problems=(obstacle.problem,), is_complete=obstacle.is_absence)


def read_file(path: str) -> bytes | Obstacle:
    """Return the content of a regular file, as it is when nobody writes to it.

    A file that changes meanwhile is read again, a few times: its writer's next step
    will be noticed anyway.
    """
    data = b""
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            return failure(path, error)
        with os.fdopen(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            obstacle = refusal(path, before)
            if obstacle is not None:
                return obstacle
            data = file.read(MAX_DOCUMENT_BYTES + 1)
            if signature(os.fstat(descriptor)) == signature(before):
                break
    return data
