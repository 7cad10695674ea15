"""Does outlier detection do anything at a port, with the backends that it has?

An outlier detection and where it is to be in force in; what would never eject there
out. Backends come and go, so none of it is an error. And what a port has without one.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from xds_server.api.policy import LoadBalancer, OutlierDetection
from xds_server.mesh.misfit import Fit, Misfit, Situation
from xds_server.mesh.model import Discovery, Protocol, is_weighed

_BESIDE_THE_LOOP: Final = OutlierDetection(
    consecutive_5xx=5,
    interval=timedelta(seconds=1),
    base_ejection_time=timedelta(seconds=30),
    max_ejection_percent=50,
)
"""Covers the 10 to 20 s before the control loop sees a server that fails."""


def default_outlier_detection(
    load_balancer: LoadBalancer, protocol: Protocol, discovery: Discovery
) -> OutlierDetection | None:
    """Return what a port has where no policy has one that fits; mostly nothing.

    A server that fails fast has few requests in flight: until the control loop knows,
    least request would send it ever more.
    """
    if is_weighed(load_balancer, protocol, discovery):
        return _BESIDE_THE_LOOP
    return None


def fit_outlier_detection(detection: OutlierDetection, situation: Situation) -> Fit:
    """Return what of *detection* has no effect in *situation*."""
    number = len(situation.backends)
    return Fit(warnings=tuple(_idle(detection, number)) if number else ())


def _idle(detection: OutlierDetection, endpoints: int) -> Iterator[Misfit]:
    percent = detection.max_ejection_percent
    if not detection.always_eject_one and percent * endpoints < 100:  # noqa: PLR2004
        yield Misfit(
            path=("maxEjectionPercent",),
            message=f"nothing is ejected: one of {endpoints} endpoints is more than "
            f"{percent} %",
            hint="leave alwaysEjectOne out, or raise maxEjectionPercent",
        )
    rate, percentage = detection.success_rate, detection.failure_percentage
    for name, block in (("successRate", rate), ("failurePercentage", percentage)):
        if block is not None and block.minimum_hosts > endpoints:
            yield Misfit(
                path=(name, "minimumHosts"),
                message=f"has no effect: there are {endpoints} endpoints "
                f"(got {block.minimum_hosts})",
                hint="lower minimumHosts",
            )
    if rate is not None and rate.stdev_factor**2 >= endpoints - 1:
        yield Misfit(
            path=("successRate", "stdevFactor"),
            message=f"has no effect: of {endpoints} endpoints none can be so far from "
            f"the mean (got {rate.stdev_factor})",
            hint=f"use less than {(endpoints - 1) ** 0.5:.2g}, the root of "
            f"{endpoints - 1}, or failurePercentage",
        )
