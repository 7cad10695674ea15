"""What the control loop wants to be told: of which clusters and Pods, and how often.

The loops of all ports in; one value out, for whoever asks Envoys and the metrics API.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xds_server.control.port_loop import PortLoop

SHORTEST_INTERVAL: Final = 0.5
LONGEST_INTERVAL: Final = 2.0
"""Seconds between the reports of a client, where it is asked."""
_WANTED_REPORTS: Final = 3
"""In a period: so many samples tell the least of what is in progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The reports that are wanted: on which clusters, and every how many seconds.

    `namespaces` are those of the Pods whose CPU is wanted.
    """

    clusters: frozenset[str]
    interval: float
    namespaces: frozenset[str] = frozenset()


def demand_of(loops: Mapping[str, PortLoop]) -> Demand:
    """Return what *loops*, by the names of their clusters, want to be told."""
    periods = (each.terms.period for each in loops.values())
    wanted = min(periods, default=math.inf) / _WANTED_REPORTS
    return Demand(
        clusters=frozenset(loops),
        interval=max(SHORTEST_INTERVAL, min(LONGEST_INTERVAL, wanted)),
        namespaces=frozenset().union(*(e.pods.namespaces for e in loops.values())),
    )
