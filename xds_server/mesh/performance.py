"""Does PerformanceBased learn anything at a port?

A load balancer, and the port that it is to balance, in; what its source of performance
cannot do there, and what its user should know, out. Paths are below `loadBalancer`.
"""

import re
from collections.abc import Iterator
from typing import Final

from xds_server.api.policy import (
    LoadBalancer,
    PerformanceBalance,
    PerformanceBased,
    PerformanceSource,
)
from xds_server.mesh.misfit import Misfit
from xds_server.mesh.model import Discovery, Port, Protocol

_SOURCE: Final = ("performanceBased", "source")
_INSTEAD: Final = "use type: LeastRequest, or give the port an HTTP appProtocol"
_ON_TCP: Final = {
    PerformanceSource.CONTROL_PLANE: "a TCP port has no answers to measure: all "
    "endpoints count as equal",
    PerformanceSource.ORCA_HEADERS: "a TCP port has no response headers: the "
    "endpoints' reports never arrive",
}
_LATENCY: Final = re.compile(
    r"latency|duration|response_?time|elapsed|_(ms|us|ns|millis|micros|seconds)\b",
    re.IGNORECASE,
)
"""Metrics that are named for how long something took."""


def fit_without_http(load_balancer: LoadBalancer) -> Iterator[Misfit]:
    """Yield what cannot work on a TCP port."""
    block = load_balancer.performance_based
    if block and (message := _ON_TCP.get(block.source)):
        yield Misfit(path=_SOURCE, message=message, hint=_INSTEAD)


def fit_performance(
    load_balancer: LoadBalancer, port: Port, discovery: Discovery
) -> Iterator[Misfit]:
    """Yield what is worth a word, wherever it is in force."""
    block = load_balancer.performance_based
    if block is None:
        return
    if block.source is PerformanceSource.CONTROL_PLANE:
        yield from _computed(block, discovery)
    else:
        yield from _reported(block, port)


def _computed(block: PerformanceBased, discovery: Discovery) -> Iterator[Misfit]:
    if block.balance is PerformanceBalance.ROUND_ROBIN:
        yield Misfit(
            path=("performanceBased", "balance"),
            message="unstable near a collapse: for seconds a server that turns slow "
            "gets its share as before, and requests fail",
            hint="use balance: LeastRequest, unless shares must be exact",
            is_general=True,
        )
    if discovery is Discovery.DNS:
        yield Misfit(
            path=_SOURCE,
            message="endpoints are names here, and load reports tell addresses: all "
            "endpoints count as equal",
            hint="use type: LeastRequest",
        )


def _reported(block: PerformanceBased, port: Port) -> Iterator[Misfit]:
    for position, name in enumerate(block.metrics):
        if _LATENCY.search(name):
            yield Misfit(
                path=("performanceBased", "metrics", position),
                message="seems to be a latency: a server that fails fast looks fast, "
                "and gets all the traffic",
                hint="use source: ControlPlane, which counts errors against a server, "
                "or a metric of utilization",
                is_general=True,
            )
    if (
        block.source is PerformanceSource.ORCA_OUT_OF_BAND
        and block.report_port is None
        and port.protocol is not Protocol.HTTP2
    ):
        yield Misfit(
            path=_SOURCE,
            message="endpoints are asked for reports over HTTP/2 where they serve, and "
            f"the port is {port.protocol}: without a report all are equal",
            hint="name the port where they report: reportPort",
        )
