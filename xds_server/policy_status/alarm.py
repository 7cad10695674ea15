"""When to look again: now, or in so many seconds if not before."""

import asyncio


class Alarm:
    """Rings when it is told to, once for all that told it."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """Ring now."""
        self._rung.set()

    def ring_in(self, seconds: float) -> None:
        """Ring in so many seconds, unless it rings before."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._expire)

    async def wait(self) -> None:
        """Wait until it rings."""
        await self._rung.wait()

    def clear(self) -> None:
        """Be still until it is told again."""
        self._rung.clear()

    def _expire(self) -> None:
        self._timer = None
        self._rung.set()
