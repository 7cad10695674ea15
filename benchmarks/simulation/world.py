"""Servers, sidecars and requests in simulated time: a world to balance, and its record.

Requests come at random times (Poisson), from any sidecar. A run is exactly repeated by
its seed. Written for speed: some 300,000 requests a second.
"""

import itertools
import math
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Final

from benchmarks.simulation.method import Method, Weights
from benchmarks.simulation.record import Record
from benchmarks.simulation.server import SUCCEEDED, WORKERS, Server
from benchmarks.simulation.sidecar import Period, Sidecar

SPEEDS: Final = (1, 1, 1, 1, 2, 2, 2, 4, 4, 4)
_SAMPLING: Final = 2.0
Action = Callable[["World"], None]


class World:
    """What there is: `servers` by number, of which those in `present` get requests.

    `rate` is requests a second in all, at first *load* of what the servers can do;
    `loss` the part of reports that do not arrive. The weights that follow of a step's
    reports are there *delay* seconds later. The last *spare* servers of *speeds*
    are not present at first.
    """

    def __init__(
        self,
        method: Method,
        *,
        seed: int,
        load: float,
        speeds: tuple[float, ...] = SPEEDS,
        workers: tuple[int, ...] | None = None,
        sidecars: int = 1,
        interval: float = 2.0,
        loss: float = 0.0,
        delay: float = 0.0,
        spare: int = 0,
    ) -> None:
        self.random = Random(seed)  # noqa: S311 - repeatable, no secret
        self.method = method
        self.servers = [
            Server(random=self.random, speed=speed, workers=count)
            for speed, count in zip(
                speeds, workers or [WORKERS] * len(speeds), strict=True
            )
        ]
        self.present = list(range(len(speeds) - spare))
        self.rate = load * self.capacity
        self.loss = loss
        self._delay = delay
        self.record = Record()
        self._interval = interval
        self._sidecars = [
            Sidecar.start(number, len(speeds), self.random)
            for number in range(sidecars)
        ]
        self._period = Period(sidecars=sidecars)
        self._departures: list[tuple[float, int, int, float, int]] = []
        self._agenda: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()
        self.now = 0.0
        self._begin()

    @property
    def capacity(self) -> float:
        """Requests a second that all servers there are can do."""
        return sum(self.servers[number].capacity for number in self.present)

    def at(self, time: float, action: Action) -> None:
        """Do *action* at *time*."""
        heappush(self._agenda, (time, next(self._numbers), action))

    def run(self, until: float) -> Record:
        """Let time pass until *until*, and return the record so far."""
        self.at(until, lambda _: None)
        while self._agenda and self._agenda[0][0] <= until:
            time, _, action = heappop(self._agenda)
            self._let_pass(time)
            action(self)
        return self.record

    def change(self, present: list[int]) -> None:
        """Let the servers numbered *present* be those that get requests, at once."""
        self.present = present
        self._apply(self.method.start(self._named()))

    def _begin(self) -> None:
        self.change(self.present)
        for sidecar in self._sidecars:
            sidecar.reported = -self._interval * sidecar.number / len(self._sidecars)
            self._report_later(sidecar, sidecar.reported + self._interval)
        if self.method.period:
            self.at(self.method.period, _step)
        self.at(0.0, _sample)

    def _report_later(self, sidecar: Sidecar, time: float) -> None:
        def report(world: World) -> None:
            said = sidecar.report(time)
            if world.random.random() >= world.loss:
                world._period.add(said)
            world._report_later(sidecar, time + world._interval)

        self.at(time, report)

    def _apply_later(self, weights: Weights) -> None:
        def apply(world: World) -> None:
            if weights.keys() == world._named().keys():
                world._apply(weights)

        if self._delay:
            self.at(self.now + self._delay, apply)
        else:
            self._apply(weights)

    def _let_pass(self, until: float) -> None:
        """Let requests come and end until *until*."""
        draw, sidecars, servers = self.random.random, self._sidecars, self.servers
        departures, record = self._departures, self.record
        note_time = record.times.append
        note_endpoint, note_seconds = record.endpoints.append, record.seconds.append
        now = self.now
        while True:
            # The time to the next request has no memory: it may be drawn anew here.
            now -= math.log(1.0 - draw()) / self.rate
            limit = min(until, now)
            while departures and departures[0][0] <= limit:
                _, number, endpoint, seconds, outcome = heappop(departures)
                sidecars[number].end(endpoint, seconds, outcome)
            if now >= until:
                break
            number = int(draw() * len(sidecars))
            sidecar = sidecars[number]
            endpoint = sidecar.schedule.pick()
            end, outcome = servers[endpoint].take(now)
            sidecar.active[endpoint] += 1
            sidecar.counts[endpoint].issued += 1
            seconds = end - now
            heappush(departures, (end, number, endpoint, seconds, outcome))
            note_time(now)
            note_endpoint(endpoint)
            note_seconds(seconds if outcome == SUCCEEDED else math.inf)
        self.now = until

    def step(self) -> None:
        """Ask the method for weights, and come back after its period."""
        names = {number: _name(number) for number in self.present}
        observation = self._period.close(self.now, names)
        weights = self.method.step(observation, self._named())
        if weights is not None:
            self._apply_later(weights)
        self.at(self.now + self.method.period, _step)

    def sample(self) -> None:
        """Record the work of all servers, and come back soon."""
        work = [server.busy for server in self.servers]
        self.record.work.append((self.now, work))
        self.at(self.now + _SAMPLING, _sample)

    def _apply(self, weights: Weights) -> None:
        numbered = {number: weights[_name(number)] for number in self.present}
        self.record.pushes.append((self.now, numbered))
        for sidecar in self._sidecars:
            sidecar.schedule = self.method.scheduling(
                numbered, sidecar.active, self.random
            )

    def _named(self) -> dict[str, Server]:
        return {_name(number): self.servers[number] for number in self.present}


def _name(number: int) -> str:
    return f"10.0.0.{number + 1}:80"


def _step(world: World) -> None:
    world.step()


def _sample(world: World) -> None:
    world.sample()
