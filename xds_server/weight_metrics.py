"""What operators see of computed weights in numbers: measured when `/metrics` is read.

In: the loops of the ports that are weighed. Out: metrics, whose number is bounded
however many endpoints there are; docs/observability.md has them as a table.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from xds_server.control.audit import Dropped
from xds_server.control.loop import ControlLoop
from xds_server.control.standing import EndpointStanding, PortStanding

MOST_ENDPOINTS: Final = 1_000
"""Of all ports together that have series of their own."""

Metric = CounterMetricFamily | GaugeMetricFamily
_Row = tuple[list[str], EndpointStanding]


class WeightMetrics(Collector):
    """Tells of *loop*, and of the ports that *standings* returns at that moment."""

    def __init__(
        self, loop: ControlLoop, standings: Callable[[], Iterable[PortStanding]]
    ) -> None:
        self._loop = loop
        self._standings = standings

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: it is known when somebody asks."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield what reports came, who reports, and how endpoints stand."""
        yield from self._reports()
        ports = tuple(self._standings())
        yield from _ports(ports)
        yield from _endpoints(ports)

    def _reports(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "xds_server_load_reports",
            "Load reports taken in, one a client and cluster.",
            value=self._loop.reports,
        )
        dropped = CounterMetricFamily(
            "xds_server_load_reports_dropped",
            "Parts of load reports that did not count.",
            labels=["reason"],
        )
        for reason in Dropped:
            dropped.add_metric([reason], self._loop.dropped[reason])
        yield dropped


def _ports(ports: Iterable[PortStanding]) -> Iterator[Metric]:
    pushes = CounterMetricFamily(
        "xds_server_weight_pushes", "New weights for a port.", labels=["service"]
    )
    reporters = GaugeMetricFamily(
        "xds_server_load_reporters",
        "Clients that report on a port.",
        labels=["service"],
    )
    endpoints = GaugeMetricFamily(
        "xds_server_weighed_endpoints",
        "Endpoints of a port whose weights are computed.",
        labels=["service"],
    )
    for each in ports:
        labels = [_name(each)]
        pushes.add_metric(labels, each.pushes)
        reporters.add_metric(labels, each.reporters)
        endpoints.add_metric(labels, len(each.endpoints))
    yield from (pushes, reporters, endpoints)


def _endpoints(ports: Iterable[PortStanding]) -> Iterator[Metric]:
    rows: Iterator[_Row] = (
        ([_name(port), each.address], each) for port in ports for each in port.endpoints
    )
    shown = tuple(islice(rows, MOST_ENDPOINTS))
    measures: tuple[tuple[str, str, Callable[[EndpointStanding], float | None]], ...]
    measures = (
        ("share", "The part of the traffic that the weight asks for.", _share),
        ("load", "Mean requests in progress, or level of a metric.", _load),
        ("error_factor", "What errors leave of the weight.", _error_factor),
    )
    for suffix, text, measure in measures:
        family = GaugeMetricFamily(
            f"xds_server_endpoint_{suffix}", text, labels=["service", "endpoint"]
        )
        for labels, endpoint in shown:
            if (value := measure(endpoint)) is not None:
                family.add_metric(labels, value)
        yield family


def _name(port: PortStanding) -> str:
    return f"{port.namespace}/{port.service}:{port.port}"


def _share(endpoint: EndpointStanding) -> float:
    return endpoint.share


def _load(endpoint: EndpointStanding) -> float | None:
    return endpoint.load


def _error_factor(endpoint: EndpointStanding) -> float:
    return endpoint.error_factor
