"""What is measured of endpoints: values that any layer may hold.

A report is what one client says of the traffic that it sent since its report before.
Nothing in it is believed yet: numbers may be absurd, clusters and endpoints unknown.
What a Pod used is the word of the Kubernetes metrics API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

UPSTREAM_TIME: Final = "named_metrics.xds_server_upstream_us"
"""The metric by which an Envoy itself tells how long endpoints took, in microseconds
from the first byte of a request to the first of its answer."""


class MetricSum(NamedTuple):
    """A metric of the answers of one endpoint: how many had it, and their sum."""

    answers: int
    total: float


class EndpointLoad(NamedTuple):
    """What one client sent to one endpoint. A tuple: thousands come every second.

    `address` is an IP address and a port, as in `10.0.0.1:8080` or `[fd00::1]:8080`.
    `in_progress` is how many requests had no answer when the report was made; the other
    numbers count requests since the report before.
    """

    address: str
    issued: int
    succeeded: int
    failed: int
    in_progress: int
    metrics: Mapping[str, MetricSum] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLoad:
    """What one client sent to one cluster, in the `seconds` since its last report."""

    cluster: str
    seconds: float
    endpoints: tuple[EndpointLoad, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What the client `node_id` sent since its last report, one entry a cluster."""

    node_id: str
    clusters: tuple[ClusterLoad, ...]


OLDEST_USAGE: Final = 120.0
"""What was measured more seconds ago is no evidence of what a Pod does now; nor what is
further ahead of the clock here, since nobody knows how old it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodUsage:
    """What the containers of a Pod used together, on the average of some time.

    `cpu` is in cores, for the `window` seconds before `timestamp`, a Unix time by the
    clock of whoever measured. When it was read that was `age` seconds ago, below 0
    where clocks differ.
    """

    namespace: str
    name: str
    cpu: float
    timestamp: float
    window: float
    age: float
