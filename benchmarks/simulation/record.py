"""What happened in a simulated run, and what is read off it."""

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from statistics import pstdev


@dataclass(slots=True, kw_only=True)
class Record:
    """Every request by the time it came, its endpoint, and the seconds it took.

    A request that failed took infinitely long. `work` has, now and then, the seconds of
    work that each server had taken on; `pushes` when sidecars got other weights.
    """

    times: list[float] = field(default_factory=list)
    endpoints: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    work: list[tuple[float, list[float]]] = field(default_factory=list)
    pushes: list[tuple[float, dict[int, float]]] = field(default_factory=list)

    def errors(self, begin: float, end: float) -> float:
        """Return the part of requests that failed."""
        seconds = self.seconds[self._slice(begin, end)]
        return sum(map(math.isinf, seconds)) / max(len(seconds), 1)

    def percentile(self, part: float, begin: float, end: float) -> float:
        """Return the milliseconds within which the *part* of what succeeded ended."""
        taken = sorted(self.seconds[self._slice(begin, end)])
        good = bisect_left(taken, math.inf)
        if not good:
            return math.inf
        return taken[min(int(part * good), good - 1)] * 1000

    def share(self, endpoint: int, begin: float, end: float) -> float:
        """Return the part of requests that *endpoint* got."""
        endpoints = self.endpoints[self._slice(begin, end)]
        return endpoints.count(endpoint) / max(len(endpoints), 1)

    def imbalance(self, begin: float, end: float) -> float:
        """Return the work of the busiest server over the mean of all.

        Of those that had work, with as many workers each.
        """
        inside = [work for time, work in self.work if begin <= time <= end]
        done = [late - early for early, late in zip(inside[0], inside[-1], strict=True)]
        busy = [each for each in done if each > 0]
        return max(busy) * len(busy) / sum(busy)

    def push_rate(self, begin: float, end: float) -> float:
        """Return pushes a minute."""
        inside = [time for time, _ in self.pushes if begin <= time < end]
        return len(inside) * 60 / (end - begin)

    def jitter(self, begin: float, end: float) -> float:
        """Return how restless weights are: the standard deviation of a logarithm.

        Of the endpoint where it is the largest, sampled each second.
        """
        samples: list[dict[int, float]] = []
        for second in range(math.ceil(begin), math.floor(end)):
            before = [weights for time, weights in self.pushes if time <= second]
            samples.append(before[-1])
        return max(
            pstdev(math.log(sample[endpoint]) for sample in samples)
            for endpoint in samples[0]
        )

    def _slice(self, begin: float, end: float) -> "slice[int, int, None]":
        return slice(bisect_left(self.times, begin), bisect_left(self.times, end))
