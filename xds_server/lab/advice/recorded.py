"""A description of servers by what Envoys have reported of them.

The status of a running server in; a `Description` out. Reports tell how long answers
took, not what they would have taken without a queue: that follows from the rate and the
workers, by the waiting time of an M/M/c queue (A. K. Erlang, 1917).
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Final

from xds_server.lab.advice.described import Description
from xds_server.lab.error import LabError
from xds_server.mesh.model import Upstream
from xds_server.status_table import Endpoint, Status, WeighedPort

OLDEST: Final = 60.0
"""Seconds since the last report, after which it says little of what is now."""
_HALVINGS: Final = 60
_PERCENT: Final = 100


def recorded(
    description: Description, status: Status, upstream: Upstream
) -> Description:
    """Return *description* with the rate, times and errors that *status* has.

    Speeds are rounded to a tenth, those of the slowest being 1: reports of servers that
    are alike differ a little.

    Raises:
        LabError: no weights are computed for *upstream*, there are no recent reports on
            it, or not on each of its endpoints.
    """
    port = _find(status, upstream)
    known = {each.address: each for each in port.endpoints}
    endpoints = [_known(known, each.authority) for each in upstream.endpoints]
    times = [
        service_time(latency, each.answers_per_second, description.workers)
        for each in endpoints
        if (latency := each.latency_seconds) is not None
    ]
    slowest = max(times)
    return replace(
        description,
        rate=sum(each.answers_per_second for each in endpoints),
        service_time=slowest,
        speeds=tuple(round(slowest / time, 1) for time in times),
        error_percents=tuple(_PERCENT * each.error_ratio for each in endpoints),
    )


def service_time(latency: float, rate: float, workers: int) -> float:
    """Return the mean seconds of work whose answers take *latency* seconds.

    *rate* requests a second come to one queue of so many *workers*; times are
    exponential. What is above what they can do cannot be, and is not returned.
    """
    return _solve(lambda work: response_time(work, rate, workers), latency)


def response_time(work: float, rate: float, workers: int) -> float:
    """Return the mean seconds from request to answer, infinite where a queue grows.

    Erlang's C formula, by his recursion for B: Cooper, Introduction to Queueing Theory,
    1981, section 3.2.
    """
    load = rate * work
    if load >= workers:
        return inf
    blocked = 1.0
    for number in range(1, workers + 1):
        blocked = load * blocked / (number + load * blocked)
    waits = workers * blocked / (workers - load * (1 - blocked))
    return work + waits * work / (workers - load)


def _solve(rising: Callable[[float], float], wanted: float) -> float:
    """Return where *rising* is *wanted*; it is never below its argument."""
    low, high = 0.0, wanted
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
    return high


def _find(status: Status, upstream: Upstream) -> WeighedPort:
    name = f"{upstream.namespace}/{upstream.service}:{upstream.port.number}"
    key = (upstream.namespace, upstream.service, upstream.port.number)
    for port in status.weights:
        if key == (port.namespace, port.service, port.port):
            age = port.last_report_seconds_ago
            if age is not None and age <= OLDEST:
                return port
            message = f"no Envoy has reported on {name} for {OLDEST:g} s"
            raise LabError(message, hint="there has to be traffic")
    message = f"the server computes no weights for {name}, so no Envoy reports on it"
    hint = "give it loadBalancer: {type: PerformanceBased} for the time being"
    raise LabError(message, hint=hint)


def _known(known: dict[str, Endpoint], address: str) -> Endpoint:
    found = known.get(address)
    if found is None:
        message = f"the server knows no endpoint {address}"
        hint = "the EndpointSlices in the files have to be those of now"
        raise LabError(message, hint=hint)
    if not (found.latency_seconds and found.answers_per_second > 0):
        message = f"no Envoy has reported how long {address} takes"
        hint = "there has to be traffic to each, measured by Envoys and not by metrics"
        raise LabError(message, hint=hint)
    return found
