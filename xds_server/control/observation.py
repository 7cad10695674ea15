"""What was seen of the endpoints of one cluster in one period: the controller's input.

Sums over all clients; made of load reports, and by simulations.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSums:
    """What all clients together saw of one endpoint.

    `load` is what the endpoint was used for, summed over its answers: seconds of
    upstream time, or the sum of a metric; `answers` is how many these were.
    `least_in_progress` is the least sum of the clients' gauges in the period, None
    where there were fewer than three reports. `clients` is how many clients these were,
    `largest` the part of all that one of them says, at most; `is_held` whether that one
    was held to what others saw.
    """

    issued: int = 0
    succeeded: int = 0
    failed: int = 0
    answers: int = 0
    load: float = 0.0
    least_in_progress: float | None = None
    clients: int = 0
    largest: float = 0.0
    is_held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One period of one cluster.

    `now` is the time of a monotonic clock in seconds. `seconds` is how long the reports
    were about, the median over all clients, 0 where none came. `bases` has each
    endpoint that may get traffic with the weight of its policy, 1 where it gives none;
    `endpoints` those of which something was seen. An endpoint is `IP:port`. `clients`
    is how many reported.
    """

    now: float
    seconds: float
    bases: Mapping[str, int]
    endpoints: Mapping[str, EndpointSums]
    clients: int = 0
