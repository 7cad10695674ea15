"""The ways of balancing that are compared: who says which weights sidecars have, when.

A method is asked every so often; it sees what its real counterpart could see.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from benchmarks.simulation.schedule import Schedule, least_request, round_robin
from benchmarks.simulation.server import Server
from xds_server.control.controller import Controller
from xds_server.control.observation import Observation

Scheduling = Callable[[Mapping[int, float], Sequence[int], Random], Schedule]
Weights = Mapping[str, float]


class Method(Protocol):
    """Says weights."""

    @property
    def scheduling(self) -> Scheduling:
        """What sidecars do with the weights."""
        ...

    @property
    def period(self) -> float:
        """How often it is asked, in seconds, 0 for never."""
        ...

    def start(self, servers: Mapping[str, Server]) -> Weights:
        """Return weights for *servers*, at first or when servers come or go."""
        ...

    def step(
        self, observation: Observation, servers: Mapping[str, Server]
    ) -> Weights | None:
        """Return new weights, None where those of before stay."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plain:
    """No weights: Envoy's round robin or least request alone."""

    scheduling: Scheduling
    period: float = 0.0

    def start(self, servers: Mapping[str, Server]) -> Weights:
        """Return equal weights."""
        return dict.fromkeys(servers, 1.0)

    def step(
        self,
        observation: Observation,  # noqa: ARG002 - it looks at nothing
        servers: Mapping[str, Server],  # noqa: ARG002 - as above
    ) -> Weights | None:
        """Stay."""
        return None


@dataclass(frozen=True, kw_only=True)
class Ideal:
    """Weights by what each server can do, known at once: no one can have them."""

    scheduling: Scheduling
    period: float = 1.0

    def start(self, servers: Mapping[str, Server]) -> Weights:
        """Return the capacities."""
        return {
            name: max(server.capacity * (1 - server.failing), 1e-3)
            for name, server in servers.items()
        }

    def step(
        self,
        observation: Observation,  # noqa: ARG002 - it knows better
        servers: Mapping[str, Server],
    ) -> Weights | None:
        """Return the capacities."""
        return self.start(servers)


@dataclass(kw_only=True)
class WeightedByReports:
    """Envoy's client_side_weighted_round_robin: answers a second over utilization.

    Servers have to report both (ORCA): here they do, exactly, each second. Until they
    have for `blackout` seconds, an endpoint has the mean weight of the others. Envoy's
    defaults: 1 s, 10 s, no penalty for errors.
    """

    scheduling: Scheduling = round_robin
    period: float = 1.0
    blackout: float = 10.0
    _since: dict[str, float] = field(default_factory=dict)
    _before: dict[str, tuple[int, float]] = field(default_factory=dict)
    _weights: dict[str, float] = field(default_factory=dict)

    def start(self, servers: Mapping[str, Server]) -> Weights:
        """Return the weights so far, for new servers the mean of the others."""
        self._weights = {n: w for n, w in self._weights.items() if n in servers}
        known = self._weights.values()
        mean = sum(known) / len(known) if known else 1.0
        return {name: self._weights.get(name, mean) for name in servers}

    def step(
        self, observation: Observation, servers: Mapping[str, Server]
    ) -> Weights | None:
        """Return weights by what each server did in the last second."""
        for name, server in servers.items():
            taken, busy = self._before.get(name, (0, 0.0))
            self._before[name] = server.taken, server.busy
            since = self._since.setdefault(name, observation.now)
            if server.taken > taken and observation.now - since >= self.blackout:
                used = (server.busy - busy) / (server.workers * self.period)
                self._weights[name] = (server.taken - taken) / min(max(used, 1e-3), 1)
        return self.start(servers)


@dataclass(kw_only=True)
class Loop:
    """The controller of this project, over least request unless said otherwise."""

    scheduling: Scheduling = least_request
    period: float = 10.0
    controller: Controller = field(default_factory=Controller)
    pushes: list[float] = field(default_factory=list)
    _is_another: bool = False

    def restart(self) -> None:
        """Forget everything, as another process has to; sidecars keep their weights."""
        self.controller = Controller()
        self._is_another = True

    def start(self, servers: Mapping[str, Server]) -> Weights:
        """Return the present weights for *servers*."""
        return dict(self.controller.reweigh(dict.fromkeys(servers, 1)))

    def step(
        self,
        observation: Observation,
        servers: Mapping[str, Server],  # noqa: ARG002 - it sees reports alone
    ) -> Weights | None:
        """Return what the controller decides."""
        if self._is_another:
            self.controller.adopt_traffic(observation)
            self._is_another = False
        decision = self.controller.step(observation)
        if not decision.push:
            return None
        self.pushes.append(observation.now)
        return dict(decision.weights)


METHODS: Final[Mapping[str, Callable[[], Method]]] = {
    "round robin": lambda: Plain(scheduling=round_robin),
    "least request": lambda: Plain(scheduling=least_request),
    "CSWRR": WeightedByReports,
    "loop": Loop,
    "ideal weights": lambda: Ideal(scheduling=round_robin),
}
