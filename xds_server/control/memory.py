"""Weights survive a restart: a file that has what the loops know.

What controllers remember in; the same out in the next process. The file is written
whole and put in the place of the one before, so there is always a good one; it says of
which version it is, and when it was written. A file that cannot be used is no reason
not to serve: the traffic has to show the weights then.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from xds_server.control.standing import PortKey, Push
from xds_server.control.state import State

FORMAT: Final = 1
"""Raised whenever a state of before could be misread."""
YOUNG: Final = timedelta(minutes=10)
"""Older weights say little of servers that went on without us."""
_SKEW: Final = timedelta(minutes=1)
"""So far in the future a file may be of which another clock said the time."""
MOST_ENDPOINTS: Final = 100_000
MOST_BYTES: Final = 128 * 1024 * 1024
"""What is larger is not read: so many endpoints take about half of it."""
_REFRESHED: Final = 60.0
"""Seconds after which it is written without a push: weights that stay are young."""
_PAUSE: Final = 1.0
"""The least seconds between the beginnings of two writes."""
_PART: Final = 0.05
"""The most of the time that writes may take."""

logger = structlog.get_logger(__name__)


class UnusableError(Exception):
    """A file has no weights to go on from; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Port:
    """A port, and what its controller remembers."""

    namespace: str
    service: str
    port: int
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What every version of the file begins with."""

    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """All of a file of this version."""

    version: int
    saved_at: datetime
    ports: tuple[_Port, ...]


class Memory:
    """The file at *path*, which one server has for itself."""

    def __init__(
        self, path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Take the time of day from *clock*: that of a monotonic one begins anew."""
        self._path = path
        self._clock = clock
        self._touched = asyncio.Event()
        self._lock = threading.Lock()
        self._written = 0
        self._is_failing = False
        self._is_cut = False

    def load(self) -> Mapping[PortKey, State]:
        """Return what was saved; nothing, and a line in the log, if it is of no use."""
        try:
            content = self._read()
        except FileNotFoundError:
            logger.info("no saved weights yet", file=str(self._path))
            return {}
        except (OSError, UnusableError) as error:
            logger.warning(
                "saved weights not usable, starting without",
                file=str(self._path),
                reason=str(error),
            )
            return {}
        logger.info(
            "weights restored",
            file=str(self._path),
            ports=len(content.ports),
            saved_at=content.saved_at.isoformat(),
        )
        # The time of a step was told by the monotonic clock of another process.
        return {
            (each.namespace, each.service, each.port): replace(each.state, now=None)
            for each in content.ports
        }

    def on_push(self, push: Push) -> None:
        """Write soon, since there are new weights."""
        del push
        self._touched.set()

    async def keep(self, save: Callable[[], Mapping[PortKey, State]]) -> None:
        """Write what *save* returns at each push, and every minute; never ends.

        A stop writes what was not written yet.
        """
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_REFRESHED):
                        await self._touched.wait()
                self._touched.clear()
                states, number = save(), self._next()
                start = perf_counter()
                await asyncio.to_thread(self._write, states, number)
                took = perf_counter() - start
                await asyncio.sleep(max(_PAUSE, took / _PART))
        finally:
            if self._touched.is_set():
                self._write(save(), self._next())

    def _read(self) -> _Content:
        """Return what is in the file.

        Raises:
            OSError: it cannot be read.
            UnusableError: it is damaged, of another version, or too old.
        """
        with self._path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            message = f"it has more than {MOST_BYTES} bytes"
            raise UnusableError(message)
        try:
            version = msgspec.json.decode(data, type=_Head).version
            if version != FORMAT:
                message = f"it is of version {version}, and this server's is {FORMAT}"
                raise UnusableError(message)
            content = msgspec.json.decode(data, type=_Content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            message = f"it is damaged: {error}"
            raise UnusableError(message) from error
        if content.saved_at.tzinfo is None:
            message = "it is damaged: its time has no zone"
            raise UnusableError(message)
        age = self._clock() - content.saved_at
        if not -_SKEW <= age <= YOUNG:
            message = f"it was written at {content.saved_at.isoformat()}"
            raise UnusableError(message)
        return content

    def _encode(self, states: Mapping[PortKey, State]) -> bytes:
        """Return the content of a file, made port by port: none stops other threads."""
        ports = [
            msgspec.Raw(msgspec.json.encode(port))
            for port in self._within_bounds(states)
        ]
        return msgspec.json.encode(
            {"version": FORMAT, "saved_at": self._clock(), "ports": ports}
        )

    def _within_bounds(self, states: Mapping[PortKey, State]) -> Iterator[_Port]:
        """Yield as many ports as the file may have, and say once if that is not all."""
        left = MOST_ENDPOINTS
        for (namespace, service, port), state in sorted(
            states.items(), key=lambda item: item[0]
        ):
            left -= len(state.endpoints)
            if left < 0:
                if not self._is_cut:
                    logger.warning("not all weights are saved", most=MOST_ENDPOINTS)
                self._is_cut = True
                return
            yield _Port(namespace=namespace, service=service, port=port, state=state)
        self._is_cut = False

    def _next(self) -> int:
        self._written += 1
        return self._written

    def _write(self, states: Mapping[PortKey, State], number: int) -> None:
        """Put *states* in the place of the file, in any thread; never raises.

        *number* is that of this write: an older one that was slow changes nothing.
        """
        with self._lock:
            if number < self._written:
                return
            try:
                _replace(self._path, self._encode(states))
            except OSError as error:
                if not self._is_failing:
                    logger.warning(
                        "weights not saved", file=str(self._path), reason=str(error)
                    )
                self._is_failing = True
            else:
                self._is_failing = False


def _replace(path: Path, data: bytes) -> None:
    """Let *data* be all of the file at *path*, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
