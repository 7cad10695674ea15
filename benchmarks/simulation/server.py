"""A simulated server: requests in, the times at which they end out."""

from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from math import log
from random import Random
from typing import Final

WORKERS: Final = 4
MEAN_TIME: Final = 0.04
"""Seconds that a request takes a worker of speed 1, in the mean; exponential."""
TIMEOUT: Final = 5.0
"""Seconds after which a client gives up; what has not begun by then is not done."""
_FAST: Final = 0.001
"""Seconds in which a failing server says so."""

SUCCEEDED, FAILED, UNANSWERED = 0, 1, 2


@dataclass(slots=True, kw_only=True)
class Server:
    """Some workers that take requests in turn; `failing` is the part that fails fast.

    `busy` has the seconds of work that were taken on, `taken` how many requests came.
    """

    random: Random
    speed: float
    workers: int = WORKERS
    failing: float = 0.0
    busy: float = 0.0
    taken: int = 0
    _free: list[float] = field(default_factory=list)

    @property
    def capacity(self) -> float:
        """Requests a second that it can do at most."""
        return self.workers * self.speed / MEAN_TIME

    def take(self, now: float) -> tuple[float, int]:
        """Return when a request that comes *now* ends, and how.

        It is known at once, because workers take requests in the order they came.
        """
        draw = self.random.random
        self.taken += 1
        if self.failing and draw() < self.failing:
            self.busy += _FAST
            return now + _FAST, FAILED
        if not self._free:
            self._free = [now] * self.workers
            heapify(self._free)
        free = self._free[0]
        start = max(now, free)
        if start - now >= TIMEOUT:
            return now + TIMEOUT, UNANSWERED
        service = -log(1.0 - draw()) * MEAN_TIME / self.speed
        self.busy += service
        end = start + service
        heapreplace(self._free, end)
        if end - now >= TIMEOUT:
            return now + TIMEOUT, UNANSWERED
        return end, SUCCEEDED
