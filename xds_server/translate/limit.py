"""The last line of defence for sections beside the algorithm: values beyond limits.

Finished parts of a cluster in; nothing out, or a `LimitError`, as in `check`. Each rule
stands for something that Envoy 1.40 was seen to do: it takes most of what never has an
effect, or refuses everything, without a word; one value ends its process.
"""

from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    Cluster,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.route.v3 import RetryPolicy
from envoy_data_plane.envoy.extensions.load_balancing_policies.load_aware_locality.v3 import (  # noqa: E501 - Envoy's name
    LoadAwareLocality,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions

from xds_server.api.policy import RetryCondition
from xds_server.translate.check import is_finite, require

_PERCENTS: Final = range(101)
_MILLISECOND: Final = timedelta(milliseconds=1)
_PROBES: Final = range(1, 128)
_KEEPALIVES: Final = range(1, 32_768)
_RETRIES: Final = range(11)


def check_percent(value: float, name: str) -> None:
    """Check a percentage.

    Raises:
        LimitError: it is none. One that is no number ends Envoy's process.
    """
    require(is_finite(value, low=0, high=100), f"{name} not in 0..100")


def check_load_aware(policy: LoadAwareLocality) -> None:
    """Check how localities are balanced by their load.

    Raises:
        LimitError: Envoy would refuse the cluster.
    """
    threshold = policy.utilization_variance_threshold or 0
    probe = policy.remote_probe_fraction or 0
    require(is_finite(threshold, low=0, high=1), "a threshold not in 0..1")
    require(is_finite(probe, low=0, high=1) and probe < 1, "a probe not below 1")
    zero, update = timedelta(0), policy.weight_update_period or timedelta(0)
    require((policy.smoothing_time_constant or zero) > zero, "no time of smoothing")
    require(update >= 100 * _MILLISECOND, "weight_update_period below 100 ms")
    require((policy.weight_expiration_period or zero) > zero, "nothing ever expires")


def check_outlier_detection(detection: OutlierDetection) -> None:
    """Check an outlier detection: Envoy takes most of what never ejects.

    Raises:
        LimitError: Envoy would refuse the cluster, or eject nothing, or without end.
    """
    zero = timedelta(0)
    base, most = detection.base_ejection_time, detection.max_ejection_time
    require((detection.interval or zero) > zero, "outlier interval not above 0")
    require(zero < (base or zero) <= (most or zero), "base > max_ejection_time, or 0")
    percent = detection.max_ejection_percent
    require(percent in _PERCENTS, "max_ejection_percent")
    require(bool(percent or detection.always_eject_one_host), "nothing may be ejected")
    detectors = (
        (detection.enforcing_consecutive_5xx, detection.consecutive_5xx),
        (
            detection.enforcing_consecutive_gateway_failure,
            detection.consecutive_gateway_failure,
        ),
        (
            detection.enforcing_consecutive_local_origin_failure,
            detection.consecutive_local_origin_failure,
        ),
        (detection.enforcing_success_rate, detection.success_rate_stdev_factor),
        (
            detection.enforcing_failure_percentage,
            detection.failure_percentage_threshold,
        ),
    )
    require(any(enforced for enforced, _ in detectors), "no outlier detector")
    for enforced, threshold in detectors:
        require(enforced in _PERCENTS, "a detector that is left to Envoy")
        require(not enforced or (threshold or 0) >= 1, "a detector's threshold below 1")


def check_circuit_breakers(breakers: CircuitBreakers) -> None:
    """Check limits: of 0 Envoy makes one that refuses everything, or none.

    Raises:
        LimitError: Envoy would refuse the cluster, or all requests, or nothing.
    """
    for entries in (breakers.thresholds, breakers.per_host_thresholds):
        require(len(entries) <= 1, "several thresholds, of which the first counts")
    for each in breakers.thresholds:
        limits = (each.max_connections, each.max_pending_requests, each.max_requests)
        require(all(limits), "a limit of 0, or none")
        require(
            (each.max_retries is None) is not (each.retry_budget is None),
            "not one of max_retries and retry_budget",
        )
        if each.retry_budget is not None:
            budget = each.retry_budget.budget_percent
            percent = 0 if budget is None else budget.value
            check_percent(percent, "budget_percent")
            require(percent > 0, "budget_percent not above 0")
    for each in breakers.per_host_thresholds:
        require(bool(each.max_connections), "an endpoint's limit of 0, or none")
        others = (each.max_pending_requests, each.max_requests, each.max_retries)
        require(
            others == (None,) * len(others) and each.retry_budget is None,
            "an endpoint's limit that is not of connections",
        )


def check_retry_policy(retry: RetryPolicy) -> None:
    """Check a retry policy: Envoy passes over conditions that it does not know.

    Raises:
        LimitError: Envoy would refuse the cluster, or not do what is written.
    """
    conditions = retry.retry_on.split(",")
    require(set(conditions) <= set(RetryCondition), "a condition that is none")
    require((retry.num_retries or 0) in _RETRIES, "num_retries not in 0..10")
    zero, backoff = timedelta(0), retry.retry_back_off
    base = (backoff and backoff.base_interval) or zero
    most = (backoff and backoff.max_interval) or zero
    require(zero < base <= most, "base_interval > max_interval, or 0")
    require(retry.per_try_timeout is None, "per_try_timeout, which has no effect here")


def check_connection(cluster: Cluster) -> None:
    """Check how *cluster* is connected with its endpoints.

    Raises:
        LimitError: Envoy would refuse the cluster, or not connect.
    """
    timeout = cluster.connect_timeout or timedelta(0)
    require(timeout >= _MILLISECOND, "connect_timeout below 1 ms")
    require(cluster.per_connection_buffer_limit_bytes != 0, "a buffer of 0 bytes")
    options = cluster.upstream_connection_options
    keepalive = options.tcp_keepalive if options else None
    if keepalive is not None:
        probes = keepalive.keepalive_probes
        require(probes is None or probes in _PROBES, "keepalive_probes")
        for each in (keepalive.keepalive_time, keepalive.keepalive_interval):
            require(each is None or each in _KEEPALIVES, "keepalive not 1..32767 s")


def check_http_options(options: HttpProtocolOptions) -> None:
    """Check what is spoken over HTTP, and for how long.

    Raises:
        LimitError: Envoy would refuse the cluster, or not do what is written.
    """
    choices = (
        options.explicit_http_config,
        options.use_downstream_protocol_config,
        options.auto_config,
    )
    made = [each for each in choices if each is not None]
    require(len(made) == 1, "not one choice of a protocol")
    common = options.common_http_protocol_options
    if common is not None:
        require(common.max_requests_per_connection != 0, "0 requests a connection")
        longest = common.max_connection_duration
        require(longest is None or longest >= _MILLISECOND, "max_connection_duration")
    http2 = made[0].http2_protocol_options
    if http2 is not None:
        require(http2.max_concurrent_streams != 0, "0 concurrent streams")
        pings = http2.connection_keepalive
        for each in (pings.interval, pings.timeout) if pings else ():
            require((each or timedelta(0)) >= _MILLISECOND, "a keepalive below 1 ms")
