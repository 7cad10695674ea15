"""How a simulated sidecar picks an endpoint: as Envoy's load balancers do.

With unequal weights both are a schedule of earliest deadlines (Envoy's EdfScheduler):
the endpoint with the earliest is picked, and gets a new one, later by one over its
weight. Least request divides the weight by the requests in progress and one more.
"""

from collections.abc import Mapping, Sequence
from heapq import heapify, heapreplace
from random import Random
from typing import Protocol


class Schedule(Protocol):
    """Picks of one sidecar."""

    def pick(self) -> int:
        """Return the number of the next endpoint."""
        ...


class Turns:
    """Round robin: by weight, or simply in turn where weights are equal."""

    def __init__(self, weights: Mapping[int, float], random: Random) -> None:
        self._steps = {endpoint: 1 / weight for endpoint, weight in weights.items()}
        self._heap = _start(self._steps, random)

    def pick(self) -> int:
        """Return the endpoint whose turn it is."""
        heap = self._heap
        deadline, endpoint = heap[0]
        heapreplace(heap, (deadline + self._steps[endpoint], endpoint))
        return endpoint


class WeightedLeastRequest:
    """Least request with unequal weights; *active* counts requests in progress."""

    def __init__(
        self, weights: Mapping[int, float], active: Sequence[int], random: Random
    ) -> None:
        self._steps = {endpoint: 1 / weight for endpoint, weight in weights.items()}
        self._heap = _start(self._steps, random)
        self._active = active

    def pick(self) -> int:
        """Return the endpoint with the earliest deadline."""
        heap = self._heap
        deadline, endpoint = heap[0]
        step = self._steps[endpoint] * (self._active[endpoint] + 1)
        heapreplace(heap, (deadline + step, endpoint))
        return endpoint


class TwoChoices:
    """Least request with equal weights: the better of two that chance picks."""

    def __init__(
        self, endpoints: Sequence[int], active: Sequence[int], random: Random
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._active = active
        self._draw = random.random

    def pick(self) -> int:
        """Return the one with fewer requests in progress."""
        endpoints, active, draw = self._endpoints, self._active, self._draw
        first = endpoints[int(draw() * len(endpoints))]
        second = endpoints[int(draw() * len(endpoints))]
        return second if active[second] < active[first] else first


def round_robin(
    weights: Mapping[int, float],
    active: Sequence[int],  # noqa: ARG001 - as least_request
    random: Random,
) -> Schedule:
    """Return what Envoy does for ROUND_ROBIN with *weights*."""
    return Turns(weights, random)


def least_request(
    weights: Mapping[int, float], active: Sequence[int], random: Random
) -> Schedule:
    """Return what Envoy does for LEAST_REQUEST with *weights*."""
    if len(set(weights.values())) == 1:
        return TwoChoices(list(weights), active, random)
    return WeightedLeastRequest(weights, active, random)


def _start(steps: Mapping[int, float], random: Random) -> list[tuple[float, int]]:
    """Return first deadlines: anywhere, as after any number of picks."""
    heap = [(step * random.random(), endpoint) for endpoint, step in steps.items()]
    heapify(heap)
    return heap
