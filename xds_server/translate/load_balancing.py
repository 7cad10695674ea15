"""The algorithm of a policy as Envoy's typed load-balancing policy.

A `LoadBalancer` in, the message of its algorithm out; what localities add to it is in
`locality`. Weights are not here:
they are endpoints' (EDS). Hash keys are here, in the policy, and not in routes: there
one list serves HTTP routes and TCP proxies alike and beats what a route says.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from envoy_data_plane.envoy.config.cluster.v3 import LoadBalancingPolicyPolicy
from envoy_data_plane.envoy.config.core.v3 import RuntimeDouble, TypedExtensionConfig
from envoy_data_plane.envoy.config.route.v3 import (
    RouteActionHashPolicy,
    RouteActionHashPolicyConnectionProperties,
    RouteActionHashPolicyCookie,
    RouteActionHashPolicyCookieAttribute,
    RouteActionHashPolicyHeader,
    RouteActionHashPolicyQueryParameter,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3 import (  # noqa: E501 - Envoy's name
    ClientSideWeightedRoundRobin,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.common.v3 import (
    ConsistentHashingLbConfig,
    OrcaOobReportingConfig,
    SlowStartConfig,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.least_request.v3 import (
    LeastRequest,
    LeastRequestSelectionMethod,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.load_aware_locality.v3 import (  # noqa: E501 - Envoy's name
    LoadAwareLocality,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.maglev.v3 import Maglev
from envoy_data_plane.envoy.extensions.load_balancing_policies.random.v3 import Random
from envoy_data_plane.envoy.extensions.load_balancing_policies.ring_hash.v3 import (
    RingHash,
    RingHashHashFunction,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.round_robin.v3 import (
    RoundRobin,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.wrr_locality.v3 import (
    WrrLocality,
)
from envoy_data_plane.envoy.type.matcher.v3 import (
    RegexMatchAndSubstitute,
    RegexMatcher,
)
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from xds_server.api import policy as api
from xds_server.translate.check import LimitError, Policy, check_policy

_EXTENSION: Final = {
    RoundRobin: "envoy.load_balancing_policies.round_robin",
    Random: "envoy.load_balancing_policies.random",
    LeastRequest: "envoy.load_balancing_policies.least_request",
    RingHash: "envoy.load_balancing_policies.ring_hash",
    Maglev: "envoy.load_balancing_policies.maglev",
    ClientSideWeightedRoundRobin: (
        "envoy.load_balancing_policies.client_side_weighted_round_robin"
    ),
    WrrLocality: "envoy.load_balancing_policies.wrr_locality",
    LoadAwareLocality: "envoy.load_balancing_policies.load_aware_locality",
}

_SELECTION_METHOD: Final = {
    api.SelectionMethod.N_CHOICES: LeastRequestSelectionMethod.N_CHOICES,
    api.SelectionMethod.FULL_SCAN: LeastRequestSelectionMethod.FULL_SCAN,
}

_HASH_FUNCTION: Final = {
    api.HashFunction.XX_HASH: RingHashHashFunction.XX_HASH,
    api.HashFunction.MURMUR_HASH_2: RingHashHashFunction.MURMUR_HASH_2,
}

_ADDRESS_KEY: Final = {
    api.AddressFrom.CONNECTION: api.HashKey(source_ip=api.SourceIP()),
    api.AddressFrom.X_FORWARDED_FOR: api.HashKey(header=api.FIRST_FORWARDED),
}

T = TypeVar("T")


def build_policy(load_balancer: api.LoadBalancer) -> Policy:
    """Return the message of the algorithm that carries out *load_balancer*.

    Raises:
        LimitError: the policy must not be sent to an Envoy.
    """
    policy = _BUILDERS[load_balancer.type](load_balancer)
    check_policy(policy)
    return policy


def entry_of(
    policy: Policy | WrrLocality | LoadAwareLocality,
) -> LoadBalancingPolicyPolicy:
    """Return *policy* as an entry of a LoadBalancingPolicy."""
    extension = TypedExtensionConfig(
        name=_EXTENSION[type(policy)], typed_config=Any.pack(policy)
    )
    return LoadBalancingPolicyPolicy(typed_extension_config=extension)


def _given(block: T | None) -> T:
    """Return the block that is named like the type: validation filled it in."""
    if block is None:
        message = "the block named like loadBalancer.type is missing"
        raise LimitError(message)
    return block


def _build_round_robin(load_balancer: api.LoadBalancer) -> RoundRobin:
    return RoundRobin(slow_start_config=_build_slow_start(load_balancer.slow_start))


def _build_weighted(load_balancer: api.LoadBalancer) -> RoundRobin | Maglev:
    """Return round robin, or for independent draws by weight Maglev without a hash key.

    Envoy's random ignores endpoint weights; Maglev without a hash draws a random entry
    of its table, whose shares are the weights.
    """
    match _given(load_balancer.weighted).selection:
        case api.Selection.ROUND_ROBIN:
            return _build_round_robin(load_balancer)
        case api.Selection.RANDOM:
            return Maglev(table_size=api.Maglev().table_size)


def _build_random(_: api.LoadBalancer) -> Random:
    return Random()


def _build_least_request(load_balancer: api.LoadBalancer) -> LeastRequest:
    return _least_request(_given(load_balancer.least_request), load_balancer.slow_start)


def _least_request(
    block: api.LeastRequest, slow_start: api.SlowStart | None
) -> LeastRequest:
    full_scan = block.selection_method is api.SelectionMethod.FULL_SCAN
    return LeastRequest(
        choice_count=None if full_scan else block.choice_count,
        selection_method=_SELECTION_METHOD[block.selection_method],
        active_request_bias=RuntimeDouble(
            default_value=block.active_request_bias, runtime_key="xds_server.lr.bias"
        ),
        slow_start_config=_build_slow_start(slow_start),
    )


def _build_ring_hash(load_balancer: api.LoadBalancer) -> RingHash:
    return _ring_hash(_given(load_balancer.ring_hash), load_balancer.hash_on)


def _build_maglev(load_balancer: api.LoadBalancer) -> Maglev:
    return _maglev(_given(load_balancer.maglev), load_balancer.hash_on)


def _build_ip_hash(load_balancer: api.LoadBalancer) -> Maglev | RingHash:
    """Return a consistent hash of the client's address.

    `hash(address) mod n` would move nearly all clients when n changes; these do not.
    """
    block = _given(load_balancer.ip_hash)
    key = _ADDRESS_KEY[block.address_from]
    match block.algorithm:
        case api.HashAlgorithm.MAGLEV:
            return _maglev(api.Maglev(), [key])
        case api.HashAlgorithm.RING_HASH:
            return _ring_hash(api.RingHash(), [key])


def _ring_hash(block: api.RingHash, keys: Iterable[api.HashKey]) -> RingHash:
    return RingHash(
        hash_function=_HASH_FUNCTION[block.hash_function],
        minimum_ring_size=block.minimum_ring_size,
        maximum_ring_size=block.maximum_ring_size,
        consistent_hashing_lb_config=_consistent_hashing(
            keys, block.bounded_load_percent
        ),
    )


def _maglev(block: api.Maglev, keys: Iterable[api.HashKey]) -> Maglev:
    return Maglev(
        table_size=block.table_size,
        consistent_hashing_lb_config=_consistent_hashing(
            keys, block.bounded_load_percent
        ),
    )


def _consistent_hashing(
    keys: Iterable[api.HashKey], bounded_load_percent: int | None
) -> ConsistentHashingLbConfig:
    return ConsistentHashingLbConfig(
        hash_balance_factor=bounded_load_percent,
        hash_policy=[build_hash_policy(key) for key in keys],
    )


def _build_performance_based(
    load_balancer: api.LoadBalancer,
) -> ClientSideWeightedRoundRobin | LeastRequest | RoundRobin:
    """Return Envoy's weights from reports, or what goes by weights that are computed.

    With unequal weights least request picks by weight / (active requests + 1).
    """
    block = _given(load_balancer.performance_based)
    if block.source is api.PerformanceSource.CONTROL_PLANE:
        if block.balance is api.PerformanceBalance.ROUND_ROBIN:
            return _build_round_robin(load_balancer)
        return _least_request(api.LeastRequest(), load_balancer.slow_start)
    is_apart = block.source is api.PerformanceSource.ORCA_OUT_OF_BAND
    return ClientSideWeightedRoundRobin(
        enable_oob_load_report=is_apart or None,
        oob_reporting_period=block.report_period if is_apart else None,
        oob_reporting_config=_build_report_port(block.report_port),
        blackout_period=block.blackout_period,
        weight_expiration_period=block.expiration,
        weight_update_period=block.update_period,
        error_utilization_penalty=block.error_penalty,
        metric_names_for_computing_utilization=list(block.metrics),
        slow_start_config=_build_slow_start(load_balancer.slow_start),
    )


def _build_report_port(port: int | None) -> OrcaOobReportingConfig | None:
    return None if port is None else OrcaOobReportingConfig(port_value=port)


def _build_slow_start(block: api.SlowStart | None) -> SlowStartConfig | None:
    if block is None:
        return None
    return SlowStartConfig(
        slow_start_window=block.window,
        aggression=RuntimeDouble(
            default_value=block.aggression,
            runtime_key="xds_server.slow_start.aggression",
        ),
        min_weight_percent=Percent(value=block.min_weight_percent),
    )


def build_hash_policy(key: api.HashKey) -> RouteActionHashPolicy:
    """Return one hash key; that it has exactly one specifier is checked at the end."""
    policy = RouteActionHashPolicy(terminal=key.terminal)
    if key.source_ip is not None:
        source = RouteActionHashPolicyConnectionProperties(source_ip=True)
        policy.connection_properties = source
    if key.header is not None:
        policy.header = _build_header(key.header)
    if key.cookie is not None:
        policy.cookie = _build_cookie(key.cookie)
    if key.query_parameter is not None:
        name = key.query_parameter.name
        policy.query_parameter = RouteActionHashPolicyQueryParameter(name=name)
    return policy


def _build_header(header: api.HashHeader) -> RouteActionHashPolicyHeader:
    rewrite = None
    if header.regex is not None:
        rewrite = RegexMatchAndSubstitute(
            pattern=RegexMatcher(regex=header.regex.pattern),
            substitution=header.regex.substitution,
        )
    return RouteActionHashPolicyHeader(header_name=header.name, regex_rewrite=rewrite)


def _build_cookie(cookie: api.HashCookie) -> RouteActionHashPolicyCookie:
    """Return a cookie that Envoy sets if the client has none: that takes a `ttl`.

    A `ttl` of zero makes it last for the browser's session.
    """
    same_site = cookie.same_site
    attributes = [("SameSite", same_site.value)] if same_site else []
    attributes += [("Secure", "")] if cookie.secure else []
    return RouteActionHashPolicyCookie(
        name=cookie.name,
        ttl=cookie.ttl,
        path=cookie.path,
        attributes=[
            RouteActionHashPolicyCookieAttribute(name=name, value=value)
            for name, value in attributes
        ],
    )


_BUILDERS: Final[
    Mapping[api.LoadBalancerType, Callable[[api.LoadBalancer], Policy]]
] = {
    api.LoadBalancerType.ROUND_ROBIN: _build_round_robin,
    api.LoadBalancerType.RANDOM: _build_random,
    api.LoadBalancerType.WEIGHTED: _build_weighted,
    api.LoadBalancerType.LEAST_REQUEST: _build_least_request,
    api.LoadBalancerType.RING_HASH: _build_ring_hash,
    api.LoadBalancerType.MAGLEV: _build_maglev,
    api.LoadBalancerType.IP_HASH: _build_ip_hash,
    api.LoadBalancerType.PERFORMANCE_BASED: _build_performance_based,
}
