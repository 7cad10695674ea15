"""What is measured, with what, and what comes of it.

An upstream on the rig, ready to be sent requests; the outcome as frozen values. How an
algorithm is put to the test is in `experiment` and `hash_experiment`.
"""

import asyncio
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from xds_server.api.policy import LoadBalancer
from xds_server.lab import theory
from xds_server.lab.rig import Rig, Stand
from xds_server.lab.traffic import Request, send
from xds_server.lab.verdict import Check


class UnmeasurableError(Exception):
    """The lab has no way to tell whether this policy holds; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was promised to each endpoint, what each got, and what to think of it."""

    promise: str
    expected: tuple[float, ...]
    counts: tuple[int, ...]
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    @property
    def final(self) -> bool:
        """Whether a repetition could not change the answer."""
        return all(check.holds or check.exact for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One upstream, and how it is to be measured."""

    rig: Rig
    stand: Stand
    randomness: random.Random
    requests: int | None
    concurrency: int

    @property
    def load_balancer(self) -> LoadBalancer:
        """The policy's."""
        return self.stand.upstream.load_balancer

    @property
    def weights(self) -> tuple[int, ...]:
        """What each endpoint weighs, 0 where no new request may go."""
        return theory.weights_of(self.stand.upstream)

    @property
    def eligible(self) -> tuple[int, ...]:
        """The positions of the endpoints that may get requests."""
        return tuple(i for i, weight in enumerate(self.weights) if weight)

    async def keep(self, endpoints: Collection[int] | None) -> None:
        """Keep only *endpoints* (None: all), and wait until Envoy uses them.

        What Envoy's administration shows is queued for its worker before it is shown;
        once a request has gone there and come back, the worker has seen to its queue.
        """
        await self.rig.keep(self.stand, endpoints)
        await self.send_plain(1)

    async def settle(self) -> None:
        """Wait until all endpoints count in full: the policy's own time."""
        if self.load_balancer.slow_start is not None:
            await asyncio.sleep(self.load_balancer.slow_start.window.total_seconds())

    async def send(
        self, requests: Sequence[Request], concurrency: int | None = None
    ) -> tuple[int, ...]:
        """Send *requests*; return the position of the endpoint that served each."""
        served = await send(
            self.stand.target,
            requests,
            concurrency=concurrency or self.concurrency,
        )
        return self.positions(served)

    async def send_plain(self, number: int) -> tuple[int, ...]:
        """Send *number* requests that are all the same."""
        return await self.send([Request()] * number)

    def positions(self, served: Iterable[str]) -> tuple[int, ...]:
        """Return the positions of endpoints by what their backends say they are."""
        backends = enumerate(self.stand.backends)
        position = {str(backend.address): number for number, backend in backends}
        return tuple(position[name] for name in served)
