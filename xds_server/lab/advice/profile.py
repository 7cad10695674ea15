"""What the servers of a Service can do, and what is asked of them.

Numbers in, that a user says or Envoys report; servers for a contest, and requests, out.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from xds_server.lab.backend import KEY_HEADER
from xds_server.lab.contest import Server
from xds_server.lab.traffic import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One server: `speed` times as fast as others, and it fails a part of requests."""

    speed: float = 1.0
    error_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Requests are about one of `number` keys, each as often.

    A server keeps the answers for `cache_size` of them, and one that it has takes
    1/`hit_speedup` of the time. Clients name the key in the header `header`.
    """

    number: int
    cache_size: int
    hit_speedup: float
    header: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`rate` requests a second, for `hosts` that work on `workers` each at a time.

    A request takes a host of speed 1 `service_time` seconds in the mean.
    """

    hosts: tuple[Host, ...]
    rate: float
    service_time: float
    workers: int
    keys: Keys | None = None

    @property
    def utilization(self) -> float:
        """The part of all that the hosts can do, without hits, that is asked for."""
        capacity = sum(host.speed for host in self.hosts) * self.workers
        return self.rate * self.service_time / capacity

    @property
    def is_even(self) -> bool:
        """Whether all hosts are as fast."""
        return len({host.speed for host in self.hosts}) == 1

    def servers(self, slowdown: float) -> tuple[Server, ...]:
        """Return the hosts for a contest in which all takes *slowdown* times as long.

        At a rate that is as much lower their queues are the same: only the clock
        differs.
        """
        return tuple(
            Server(
                service_time=slowdown * self.service_time / host.speed,
                workers=self.workers,
                error_share=host.error_share,
                cache_size=self.keys.cache_size if self.keys else 0,
                hit_speedup=self.keys.hit_speedup if self.keys else 1.0,
            )
            for host in self.hosts
        )

    def request_maker(self, randomness: random.Random) -> Callable[[], Request]:
        """Return what makes requests, each about a key that is drawn at random."""
        keys = self.keys
        if keys is None:
            return Request

        def make() -> Request:
            key = f"k{randomness.randrange(keys.number)}"
            return Request(headers=((KEY_HEADER, key),))

        return make


def enough_for(keys: int, hosts: int) -> int:
    """Return a size of caches that is enough where each has keys of its own.

    That is twice the mean: a hash does not give all the same number.
    """
    return max(1, ceil(2 * keys / hosts))
