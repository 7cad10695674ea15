"""A pause between changes: a lone one passes at once, a storm is gathered.

Touches come in; fewer pulses go out, each for all that came since the last. What has
changed is remembered by whoever touches; here is only when to act on it.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta


class Debounce:
    """Turns touches into pulses.

    The first touch is a pulse at once. What follows it within *quiet* is gathered until
    nothing came for *quiet*, or until *ceiling* after the first of it.
    """

    def __init__(self, *, quiet: timedelta, ceiling: timedelta) -> None:
        self._quiet = quiet.total_seconds()
        self._ceiling = ceiling.total_seconds()
        self._touched = asyncio.Event()

    def touch(self) -> None:
        """Say that there is something to act on."""
        self._touched.set()

    async def pulses(self) -> AsyncIterator[None]:
        """Yield whenever it is time to act; never ends."""
        while True:
            await self._touched.wait()
            self._touched.clear()
            yield
            while await self._is_touched_by(_now() + self._quiet):
                await self._gather()
                yield

    async def _gather(self) -> None:
        """Wait for quiet, or for the ceiling."""
        latest = _now() + self._ceiling
        while _now() < latest:
            self._touched.clear()
            if not await self._is_touched_by(min(_now() + self._quiet, latest)):
                break
        self._touched.clear()

    async def _is_touched_by(self, when: float) -> bool:
        try:
            async with asyncio.timeout_at(when):
                await self._touched.wait()
        except TimeoutError:
            return False
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()
