"""How fast a server is: a queue, some workers, and a time that each request takes.

When each request comes in; when its answer is due, and with which status, out. The
times are exponential, the queue has no end, and who fails does so at once: M/M/c, the
model behind every comparison of load balancers here.
"""

import heapq
import random
from dataclasses import dataclass, field
from typing import Final

FAILURE_TIME: Final = 0.001
"""Seconds that a failing answer takes: a server that fails fast looks perfect."""
_OK: Final = 200
_FAILED: Final = 500


@dataclass(slots=True, kw_only=True)
class Pace:
    """What a server can do: at most `workers` / `service_time` requests a second.

    `service_time` is the mean of one request's, in seconds; `error_share` the part of
    requests that fails. Both may be changed while it serves: what waits or is being
    served keeps what it was given.
    """

    randomness: random.Random
    service_time: float
    workers: int = 1
    error_share: float = 0.0
    _busy: list[float] = field(default_factory=list)

    def serve(self, now: float, speedup: float = 1.0) -> tuple[float, int]:
        """Return when a request that comes at *now* is answered, and the status.

        It takes so many times less of a worker's time as its *speedup* says.
        """
        if self.randomness.random() < self.error_share:
            return now + FAILURE_TIME, _FAILED
        begin = now
        if len(self._busy) >= self.workers:
            begin = max(now, heapq.heappop(self._busy))
        end = begin + self.randomness.expovariate(speedup / self.service_time)
        heapq.heappush(self._busy, end)
        return end, _OK
