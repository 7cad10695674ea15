"""Build `envoy.config.cluster.v3.OutlierDetection`: which endpoints an Envoy leaves.

A section in, a part of a cluster out. Each detector that is written ejects all that it
finds, each other one nothing: Envoy's defaults have one on that nobody asked for.
"""

from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import (
    OutlierDetection as EnvoyOutlierDetection,
)

from xds_server.api.policy import OutlierDetection
from xds_server.translate.limit import check_outlier_detection

_ALWAYS: Final = 100
_STDEV_UNIT: Final = 1000


def build_outlier_detection(
    section: OutlierDetection | None,
) -> EnvoyOutlierDetection | None:
    """Return what *section* says; None where there is none.

    An endpoint stays out for its time, though it may pass a health check meanwhile:
    that it says it is well is no answer to a request.

    Raises:
        ValueError: it must not be sent to an Envoy.
    """
    if section is None:
        return None
    is_split = section.consecutive_local_errors is not None
    message = EnvoyOutlierDetection(
        interval=section.interval,
        base_ejection_time=section.base_ejection_time,
        max_ejection_time=section.max_ejection_time,
        max_ejection_percent=section.max_ejection_percent,
        always_eject_one_host=section.always_eject_one,
        successful_active_health_check_uneject_host=False,
        consecutive_5xx=section.consecutive_5xx,
        enforcing_consecutive_5xx=_enforced(section.consecutive_5xx > 0),
        consecutive_gateway_failure=section.consecutive_gateway_errors,
        enforcing_consecutive_gateway_failure=_enforced(
            section.consecutive_gateway_errors is not None
        ),
        split_external_local_origin_errors=is_split,
        consecutive_local_origin_failure=section.consecutive_local_errors,
        enforcing_consecutive_local_origin_failure=_enforced(is_split),
    )
    _add_rates(message, section)
    check_outlier_detection(message)
    return message


def _add_rates(message: EnvoyOutlierDetection, section: OutlierDetection) -> None:
    """Add what looks at all requests of an interval.

    Where failures to connect are told apart, they have rates of their own, which eject
    as the others do.
    """
    rate, percentage = section.success_rate, section.failure_percentage
    is_split = section.consecutive_local_errors is not None
    message.enforcing_success_rate = _enforced(rate is not None)
    message.enforcing_local_origin_success_rate = _enforced(
        rate is not None and is_split
    )
    if rate is not None:
        message.success_rate_minimum_hosts = rate.minimum_hosts
        message.success_rate_request_volume = rate.request_volume
        message.success_rate_stdev_factor = round(rate.stdev_factor * _STDEV_UNIT)
    message.enforcing_failure_percentage = _enforced(percentage is not None)
    message.enforcing_failure_percentage_local_origin = _enforced(
        percentage is not None and is_split
    )
    if percentage is not None:
        message.failure_percentage_threshold = percentage.threshold
        message.failure_percentage_minimum_hosts = percentage.minimum_hosts
        message.failure_percentage_request_volume = percentage.request_volume


def _enforced(is_on: bool) -> int:  # noqa: FBT001 - is what it says
    return _ALWAYS if is_on else 0
