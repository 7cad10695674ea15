"""Loads of endpoints that are the CPU of their Pods: readings in, once each step out.

A reading is an average of some past seconds and late, and the next one comes many
seconds later. Two rules keep the loop from steering by what it has steered already. A
reading counts in one step alone; and all of it has to be of the time since the last
step that went by readings, so that it shows what the weights of that one did. Steps in
between have no evidence of load, and hold the weights; errors count in each of them.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from xds_server.control.observation import EndpointSums, Observation
from xds_server.load import OLDEST_USAGE, PodUsage
from xds_server.mesh.model import PodCpu

PATIENCE: Final = 30.0
"""Seconds from the first reading for a step until those of the last Pods are not waited
for any more: twice what metrics-server takes to measure all."""

PodName = tuple[str, str]
"""Namespace and name."""


class _Level(NamedTuple):
    """A reading in parts of what the Pod requests, and when it was measured."""

    value: float
    measured: float


class PodLoads:
    """What is known of the Pods of one port since the last step that went by it."""

    def __init__(self) -> None:
        self._pods: Mapping[str, PodCpu] = {}
        self._timestamps: dict[str, float] = {}
        self._levels: dict[str, _Level] = {}
        self._first: float | None = None
        self._ended = Counter[str]()
        self._stepped = self._now = float("-inf")

    @property
    def namespaces(self) -> frozenset[str]:
        """Where the Pods are."""
        return frozenset(pod.namespace for pod in self._pods.values())

    def expect(self, pods: Mapping[str, PodCpu]) -> None:
        """Go by *pods* from now on, each the one behind an endpoint, by `IP:port`."""
        for address, pod in self._pods.items():
            if pods.get(address) != pod:
                self._timestamps.pop(address, None)
                self._levels.pop(address, None)
                self._ended.pop(address, None)
        self._pods = dict(pods)

    def skip(self) -> None:
        """Take a step of somebody else for one that went by readings until now."""
        self._levels.clear()
        self._ended.clear()
        self._first, self._stepped = None, self._now

    def take(self, usages: Mapping[PodName, PodUsage], now: float) -> None:
        """Take in readings at *now*; one that has been there already says nothing."""
        self._now = now
        for address, pod in self._pods.items():
            usage = usages.get((pod.namespace, pod.name))
            known = self._timestamps.get(address)
            if usage is None or (known is not None and usage.timestamp <= known):
                continue
            self._timestamps[address] = usage.timestamp
            measured = now - max(usage.age, 0.0)
            if measured - usage.window < self._stepped:
                continue
            self._levels[address] = _Level(usage.cpu / pod.request, measured)
            self._first = now if self._first is None else self._first

    def observe(self, seen: Observation) -> Observation:
        """Return what was *seen*, with the CPU of Pods in the place of what Envoys say.

        A level counts for all requests that ended since the last one: without any it is
        no evidence, since an idle Pod says nothing of what a request costs.
        """
        self._now = seen.now
        for address, sums in seen.endpoints.items():
            if address in self._pods:
                self._ended[address] += sums.succeeded + sums.failed
        self._levels = {
            address: level
            for address, level in self._levels.items()
            if seen.now - level.measured <= OLDEST_USAGE
        }
        endpoints = {
            address: replace(sums, answers=0, load=0.0, least_in_progress=None)
            for address, sums in seen.endpoints.items()
        }
        if seen.seconds > 0 and self._is_whole(seen.now):
            for address, level in self._levels.items():
                ended = self._ended[address]
                sums = endpoints.get(address, EndpointSums())
                endpoints[address] = replace(
                    sums, answers=ended, load=level.value * ended
                )
            self.skip()
        return replace(seen, endpoints=endpoints)

    def _is_whole(self, now: float) -> bool:
        """Whether there is a reading of all Pods that have any, or it is late enough.

        Else a step would compare those with each other that are measured first, and
        what is measured later would not count after it.
        """
        if self._first is None:
            return False
        is_late = now - self._first >= PATIENCE
        return is_late or self._levels.keys() >= self._timestamps.keys()
