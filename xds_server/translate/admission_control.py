"""Build `AdmissionControl`: which part of requests an Envoy refuses while many fail.

A section in, the HTTP filters of a cluster out: it works there, before what is sent
leaves, so a try that is sent again counts like any other. What it refuses is not sent
again, and no endpoint is blamed for it (seen on 1.40).
"""

from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.core.v3 import (
    RuntimeDouble,
    RuntimePercent,
    RuntimeUInt32,
)
from envoy_data_plane.envoy.extensions.filters.http.admission_control.v3 import (
    AdmissionControl as EnvoyAdmissionControl,
    AdmissionControlSuccessCriteria,
    AdmissionControlSuccessCriteriaHttpCriteria,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E501 - Envoy's name
    HttpFilter,
)
from envoy_data_plane.envoy.type.v3 import Int32Range, Percent
from envoy_data_plane.google.protobuf import Any

from xds_server.api.policy import AdmissionControl, status_range
from xds_server.translate.check import is_finite, require

_KEY: Final = "xds_server.admission_control."


def build_admission_filters(section: AdmissionControl | None) -> list[HttpFilter]:
    """Return the filters of a cluster; none where nothing is refused.

    Raises:
        LimitError: Envoy would refuse the cluster, or not do what is written.
    """
    if section is None:
        return []
    _check(section)
    ranges = [_range(each) for each in section.success_statuses]
    message = EnvoyAdmissionControl(
        success_criteria=AdmissionControlSuccessCriteria(
            http_criteria=AdmissionControlSuccessCriteriaHttpCriteria(
                http_success_status=ranges
            )
        ),
        sampling_window=section.sampling_window,
        sr_threshold=_percent(section.success_rate_threshold, "sr_threshold"),
        rps_threshold=RuntimeUInt32(
            default_value=section.rps_threshold, runtime_key=f"{_KEY}rps_threshold"
        ),
        aggression=RuntimeDouble(
            default_value=section.aggression, runtime_key=f"{_KEY}aggression"
        ),
        max_rejection_probability=_percent(
            section.max_rejection_percent, "max_rejection_probability"
        ),
    )
    name = "envoy.filters.http.admission_control"
    return [HttpFilter(name=name, typed_config=Any.pack(message))]


def _percent(value: float, name: str) -> RuntimePercent:
    return RuntimePercent(
        default_value=Percent(value=value), runtime_key=f"{_KEY}{name}"
    )


def _range(statuses: str) -> Int32Range:
    """Return them as Envoy does: the end is beyond the last."""
    found = status_range(statuses)
    require(found is not None, "statuses that are none")
    first, last = found or (0, 0)
    return Int32Range(start=first, end=last + 1)


def _check(section: AdmissionControl) -> None:
    """Check what Envoy takes, and then does something else."""
    window = section.sampling_window
    require(window >= timedelta(seconds=1), "a sampling window below 1 s")
    require(not window.microseconds, "a sampling window that is not whole seconds")
    rate, most = section.success_rate_threshold, section.max_rejection_percent
    require(is_finite(rate, low=1, high=100), "sr_threshold not in 1..100")
    require(
        is_finite(most, low=0, high=100) and most > 0,
        "max_rejection_probability not above 0, at most 100",
    )
    require(is_finite(section.aggression, low=1, high=100), "aggression not in 1..100")
    require(bool(section.success_statuses), "no status is a success")
