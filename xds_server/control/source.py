"""The control loop as a source: it has weights to tell, at the time that it is due.

Load reports come in by `submit`, what Pods use by `take`, what the mesh is by `heed`;
batches of `Weighed` events go out, like those of any other source. Here is the only
clock, the event loop's.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import Final

from xds_server.control.loop import ControlLoop
from xds_server.control.standing import PortStanding
from xds_server.load import LoadReport, PodUsage
from xds_server.mesh.event import Weighed
from xds_server.mesh.model import Service
from xds_server.mesh.service import ServiceName

_LOOK: Final = 1.0
"""Seconds after which it is looked again: the leader may say that a step is sooner."""


class ControlSource:
    """Gives a `ControlLoop` its time; belongs to one event loop."""

    name: Final = "control loop"

    def __init__(self, loop: ControlLoop) -> None:
        self._loop = loop
        self._heeded = asyncio.Event()

    def submit(self, report: LoadReport) -> None:
        """Take in what a client reports."""
        self._loop.submit(report, _now())

    def keep(self, clusters: Iterable[str]) -> None:
        """Take in that a client goes on with weights of before, of *clusters*."""
        self._loop.keep(clusters)

    def take(self, usages: Iterable[PodUsage]) -> None:
        """Take in what Pods used, as it was read now."""
        self._loop.take(usages, _now())

    def heed(
        self, services: Mapping[ServiceName, Service | None]
    ) -> tuple[Weighed, ...]:
        """Return what has to be pushed with *services*, which are new or others now.

        None stands for one that is gone. Without a wait: a new endpoint is told with
        its weight.
        """
        events = self._loop.heed(services, _now())
        self._heeded.set()
        return events

    def standings(self) -> tuple[PortStanding, ...]:
        """Return how every port stands, in order of name and number."""
        return tuple(self._loop.standings(_now()))

    async def batches(self) -> AsyncIterator[tuple[Weighed, ...]]:
        """Yield the weights that change, when steps are due; never ends."""
        while True:
            await self._wait()
            if events := self._loop.tick(_now()):
                yield events
            await asyncio.sleep(0)  # other steps may be due already

    async def _wait(self) -> None:
        """Wait until a step is due, which may change while ports come and go."""
        while (due := self._loop.due) is None or due > _now():
            self._heeded.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due and min(due, _now() + _LOOK)):
                    await self._heeded.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
