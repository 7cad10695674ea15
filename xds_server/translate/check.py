"""The last line of defence: what must never reach an Envoy, whatever was written.

Mesh values and finished load-balancing policies in; nothing out, or a `TranslateError`.
What other sections of policies become is checked in `limit`, by the same rule.
The documents were validated long before: a failure here is a bug of this project, and
whoever asked for the translation keeps the resource that was in force.

Each rule stands for something that Envoy 1.40 was seen to do. It checks no limits of
the typed policies, so that some values end its process (a hash policy without a
specifier, a Maglev table of 1, a NaN percentage, a negative slow start window), some
fail every request after an ACK (a ring of size 0), and some are refused too late to be
told of (a table size that is not prime).
"""

import math
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from envoy.config.endpoint.v3 import endpoint_pb2
from envoy_data_plane.envoy.config.core.v3 import HealthCheck
from envoy_data_plane.envoy.config.route.v3 import RouteActionHashPolicy
from envoy_data_plane.envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3 import (  # noqa: E501 - Envoy's name
    ClientSideWeightedRoundRobin,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.common.v3 import (
    ConsistentHashingLbConfig,
    SlowStartConfig,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.least_request.v3 import (
    LeastRequest,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.maglev.v3 import Maglev
from envoy_data_plane.envoy.extensions.load_balancing_policies.random.v3 import Random
from envoy_data_plane.envoy.extensions.load_balancing_policies.ring_hash.v3 import (
    RingHash,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.round_robin.v3 import (
    RoundRobin,
)
from envoy_data_plane.envoy.type.v3 import CodecClientType

from xds_server.mesh.model import Discovery, Protocol, Upstream
from xds_server.translate.name import cluster_name, is_label

Policy = (
    RoundRobin
    | Random
    | LeastRequest
    | RingHash
    | Maglev
    | ClientSideWeightedRoundRobin
)
"""The load-balancing policies of Envoy that a LoadBalancer can become."""

_CHOICES: Final = range(2, 101)
_RING_SIZES: Final = range(1, 8_388_609)
_TABLE_SIZES: Final = range(251, 5_000_012)
_BALANCE_FACTORS: Final = range(100, 10_001)
_PORTS: Final = range(1, 65_536)
_PERCENTS: Final = range(101)
_STATUSES: Final = range(100, 600)
_CODECS: Final = (CodecClientType.HTTP1, CodecClientType.HTTP2)
_WEIGHT_SUM_LIMIT: Final = 2**32 - 1
_HOST_LIMIT: Final = 253
_UNSPECIFIED: Final = ("0.0.0.0", "::")  # noqa: S104 - refused, not bound to


class TranslateError(Exception):
    """A resource that must not be sent, and why: a bug of this project.

    `resource` is the name of the cluster or listener.
    """

    def __init__(self, resource: str, reason: str) -> None:
        super().__init__(f"{resource}: {reason}")
        self.resource = resource
        self.reason = reason


class LimitError(ValueError):
    """A value outside its limits, in something that no resource owns alone.

    A ValueError, as is what the typed messages raise for values that cannot be encoded.
    """


def require(holds: bool, rule: str) -> None:  # noqa: FBT001 - reads like an assertion
    """Do nothing if *rule* holds.

    Raises:
        LimitError: it does not.
    """
    if not holds:
        raise LimitError(rule)


def is_finite(value: float, *, low: float, high: float) -> bool:
    """Return whether *value* is a number from *low* to *high*."""
    return math.isfinite(value) and low <= value <= high


def check_policy(policy: Policy) -> None:
    """Check a load-balancing policy as it is about to be encoded.

    Raises:
        LimitError: it would break an Envoy, or every request that it balances.
    """
    match policy:
        case RoundRobin():
            _check_slow_start(policy.slow_start_config)
        case Random():
            pass
        case LeastRequest():
            _check_least_request(policy)
        case RingHash():
            _check_ring_hash(policy)
        case Maglev():
            size = policy.table_size or 0
            require(size in _TABLE_SIZES and _is_prime(size), "table_size not prime")
            _check_consistent_hashing(policy.consistent_hashing_lb_config)
        case ClientSideWeightedRoundRobin():
            _check_client_side_weighted_round_robin(policy)


def check_health_check(check: HealthCheck, protocol: Protocol) -> None:
    """Check a health check of endpoints that speak *protocol*.

    Raises:
        LimitError: Envoy would refuse the cluster, or end, or never find out.
    """
    interval, timeout = check.interval or timedelta(0), check.timeout or timedelta(0)
    idle = check.no_traffic_interval or timedelta(0)
    require(timedelta(0) < timeout <= interval, "timeout not above 0, or > interval")
    require(idle > timedelta(0), "no_traffic_interval not above 0")
    thresholds = (check.unhealthy_threshold or 0, check.healthy_threshold or 0)
    require(min(thresholds) >= 1, "a threshold below 1")
    require(check.interval_jitter_percent in _PERCENTS, "interval_jitter_percent")
    http, grpc = check.http_health_check, check.grpc_health_check
    checkers = (http, grpc, check.tcp_health_check)  # an empty one is one too
    require(
        sum(each is not None for each in checkers) == 1,
        "health check without one checker",
    )
    if http is not None:
        require(http.path.startswith("/"), "path does not begin with /")
        require(http.codec_client_type in _CODECS, "codec_client_type not HTTP1, HTTP2")
        for each in http.expected_statuses:
            is_range = each.start in _STATUSES and each.end - 1 in _STATUSES
            require(is_range and each.start < each.end, "expected_statuses")
    if grpc is not None:
        require(protocol is Protocol.HTTP2, "a gRPC check without HTTP/2")


def check_identity(upstream: Upstream) -> None:
    """Check what the names of *upstream* are made of.

    Raises:
        TranslateError: names would not be distinct, or not be whole in statistics.
    """
    for label in (upstream.namespace, upstream.service):
        if not is_label(label):
            raise TranslateError(cluster_name(upstream), f"{label!r} is no DNS label")
    if upstream.port.number not in _PORTS:
        raise TranslateError(cluster_name(upstream), "the port must be 1..65535")


def check_endpoints(upstream: Upstream) -> None:
    """Check the endpoints of *upstream*.

    Raises:
        TranslateError: Envoy would refuse them, or read them otherwise than meant.
    """
    broken = next(_broken_rules(upstream), None)
    if broken is not None:
        raise TranslateError(cluster_name(upstream), broken)


def check_localities(
    upstream: Upstream, assignment: endpoint_pb2.ClusterLoadAssignment
) -> None:
    """Check the localities of the *assignment* of *upstream*.

    Raises:
        TranslateError: Envoy would send nothing to one, or not heed their weights, or
            refuse them.
    """
    name, section = cluster_name(upstream), upstream.sections.locality
    weights = [each.load_balancing_weight.value for each in assignment.endpoints]
    is_weighted = section is not None and section.weighted is not None
    if not (all(weights) if is_weighted else not any(weights)):
        raise TranslateError(name, "all localities must have a weight, or none")
    if sum(weights) > _WEIGHT_SUM_LIMIT:
        limit = f"weights of localities must be {_WEIGHT_SUM_LIMIT} in all"
        raise TranslateError(name, limit)
    priorities = {each.priority for each in assignment.endpoints}
    if priorities != {*range(len(priorities))}:
        raise TranslateError(name, "priorities must have no gaps")


def is_ip_address(text: str) -> bool:
    """Return whether *text* is an IP address as strict as Envoy wants it.

    Not `ipaddress`: an assignment has a thousand of them, and this is 10 times faster.
    """
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        socket.inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return True


def _broken_rules(upstream: Upstream) -> Iterator[str]:
    endpoints = upstream.endpoints
    usable = _is_host if upstream.discovery is Discovery.DNS else is_ip_address
    for endpoint in endpoints:
        if endpoint.address in _UNSPECIFIED or not usable(endpoint.address):
            yield f"{endpoint.address!r} is no address of an endpoint"
        if endpoint.port not in _PORTS:
            yield f"{endpoint.address}: the port must be 1..65535"
    weights = [e.weight for e in endpoints if e.weight is not None]
    if len(weights) not in (0, len(endpoints)):
        yield "all endpoints must have a weight, or none"
    if min(weights, default=1) < 1 or sum(weights) > _WEIGHT_SUM_LIMIT:
        yield f"weights must be at least 1, and {_WEIGHT_SUM_LIMIT} in all"


def _is_host(text: str) -> bool:
    return 0 < len(text) <= _HOST_LIMIT and text.isprintable() and " " not in text


def _check_least_request(policy: LeastRequest) -> None:
    if policy.choice_count is not None:
        require(policy.choice_count in _CHOICES, "choice_count not in 2..100")
    if policy.active_request_bias is not None:
        bias = policy.active_request_bias.default_value
        require(is_finite(bias, low=0, high=100), "active_request_bias not in 0..100")
    _check_slow_start(policy.slow_start_config)


def _check_ring_hash(policy: RingHash) -> None:
    low, high = policy.minimum_ring_size or 0, policy.maximum_ring_size or 0
    require(low in _RING_SIZES and high in _RING_SIZES, "ring size out of range")
    require(low <= high, "minimum_ring_size > maximum_ring_size")
    _check_consistent_hashing(policy.consistent_hashing_lb_config)


def _check_client_side_weighted_round_robin(
    policy: ClientSideWeightedRoundRobin,
) -> None:
    for period in (
        policy.blackout_period,
        policy.weight_expiration_period,
        policy.weight_update_period,
        policy.oob_reporting_period,
    ):
        require(period is None or period > timedelta(0), "period not positive")
    reporting = policy.oob_reporting_config
    require(reporting is None or reporting.port_value in _PORTS, "port of reports")
    penalty = policy.error_utilization_penalty
    require(
        penalty is None or is_finite(penalty, low=0, high=100),
        "error_utilization_penalty not in 0..100",
    )
    _check_slow_start(policy.slow_start_config)


def _check_consistent_hashing(config: ConsistentHashingLbConfig | None) -> None:
    if config is None:
        return
    factor = config.hash_balance_factor
    require(factor is None or factor in _BALANCE_FACTORS, "hash_balance_factor")
    for entry in config.hash_policy:
        _check_hash_policy(entry)


def _check_hash_policy(entry: RouteActionHashPolicy) -> None:
    specifiers = (
        entry.header,
        entry.cookie,
        entry.connection_properties,
        entry.query_parameter,
    )
    given = [specifier for specifier in specifiers if specifier is not None]
    require(len(given) == 1, "hash policy without one specifier")
    if entry.cookie is not None and entry.cookie.ttl is not None:
        require(entry.cookie.ttl >= timedelta(0), "cookie with a negative ttl")


def _check_slow_start(config: SlowStartConfig | None) -> None:
    if config is None:
        return
    window = config.slow_start_window or timedelta(0)
    require(window >= timedelta(seconds=1), "slow_start_window below 1 s")
    if config.aggression is not None:
        aggression = config.aggression.default_value
        require(
            aggression > 0 and is_finite(aggression, low=0, high=100),
            "slow start aggression not above 0, at most 100",
        )
    if config.min_weight_percent is not None:
        percent = config.min_weight_percent.value
        require(is_finite(percent, low=1, high=100), "min_weight_percent not in 1..100")


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1))
