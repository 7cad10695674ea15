"""The last line of defence lets nothing pass that breaks an Envoy.

Each refused policy was seen on Envoy 1.40 to end its process, to fail or misdirect
requests after an ACK, or to be refused when nobody listens any more.
"""

from datetime import timedelta
from math import inf, nan

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy_data_plane.envoy.config.core.v3 import RuntimeDouble
from envoy_data_plane.envoy.config.route.v3 import (
    RouteActionHashPolicy,
    RouteActionHashPolicyCookie,
    RouteActionHashPolicyHeader,
)
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
from envoy_data_plane.envoy.type.v3 import Percent

from tests.translate.mesh_input import make_upstream
from xds_server.mesh.model import Discovery, Endpoint, Upstream
from xds_server.translate.check import (
    LimitError,
    Policy,
    TranslateError,
    check_endpoints,
    check_localities,
    check_policy,
)

HEADER = RouteActionHashPolicyHeader(header_name="x")


def maglev(size: int | None = 251, *keys: RouteActionHashPolicy) -> Maglev:
    config = ConsistentHashingLbConfig(hash_policy=list(keys))
    return Maglev(table_size=size, consistent_hashing_lb_config=config)


def ring(low: int | None, high: int | None, factor: int | None = None) -> RingHash:
    return RingHash(
        minimum_ring_size=low,
        maximum_ring_size=high,
        consistent_hashing_lb_config=ConsistentHashingLbConfig(
            hash_balance_factor=factor
        ),
    )


def slow_start(
    window: float = 1, aggression: float = 1, percent: float = 10
) -> SlowStartConfig:
    return SlowStartConfig(
        slow_start_window=timedelta(seconds=window),
        aggression=RuntimeDouble(default_value=aggression),
        min_weight_percent=Percent(value=percent),
    )


def bias(value: float) -> LeastRequest:
    return LeastRequest(active_request_bias=RuntimeDouble(default_value=value))


GOOD = [
    RoundRobin(),
    RoundRobin(slow_start_config=slow_start(1, 100, 1)),
    Random(),
    LeastRequest(),
    LeastRequest(choice_count=100),
    bias(0),
    ring(1, 8_388_608, 10_000),
    maglev(5_000_011, RouteActionHashPolicy(header=HEADER)),
    ClientSideWeightedRoundRobin(error_utilization_penalty=0),
]
BAD: list[Policy] = [
    RoundRobin(slow_start_config=SlowStartConfig()),
    RoundRobin(slow_start_config=slow_start(window=-1)),
    RoundRobin(slow_start_config=slow_start(window=0.5)),
    RoundRobin(slow_start_config=slow_start(aggression=0)),
    RoundRobin(slow_start_config=slow_start(aggression=nan)),
    RoundRobin(slow_start_config=slow_start(percent=0)),
    RoundRobin(slow_start_config=slow_start(percent=nan)),
    RoundRobin(slow_start_config=slow_start(percent=101)),
    LeastRequest(choice_count=0),
    LeastRequest(choice_count=1),
    LeastRequest(choice_count=101),
    LeastRequest(slow_start_config=slow_start(window=-1)),
    bias(-1),
    bias(nan),
    bias(inf),
    ring(0, 1024),
    ring(None, 1024),
    ring(1024, None),
    ring(4096, 1024),
    ring(1, 8_388_609),
    ring(1, 1, factor=0),
    ring(1, 1, factor=99),
    maglev(None),
    maglev(0),
    maglev(1),
    maglev(2),
    maglev(252),
    maglev(65_536),
    maglev(5_000_012),
    maglev(251, RouteActionHashPolicy()),
    maglev(251, RouteActionHashPolicy(terminal=True)),
    maglev(
        251,
        RouteActionHashPolicy(
            cookie=RouteActionHashPolicyCookie(name="a", ttl=timedelta(seconds=-1))
        ),
    ),
    ClientSideWeightedRoundRobin(blackout_period=timedelta(0)),
    ClientSideWeightedRoundRobin(weight_expiration_period=timedelta(seconds=-1)),
    ClientSideWeightedRoundRobin(weight_update_period=timedelta(0)),
    ClientSideWeightedRoundRobin(error_utilization_penalty=nan),
    ClientSideWeightedRoundRobin(error_utilization_penalty=-1),
    ClientSideWeightedRoundRobin(slow_start_config=slow_start(window=-1)),
]


@pytest.mark.parametrize("policy", GOOD, ids=repr)
def test_good_policies_pass(policy: Policy) -> None:
    check_policy(policy)


@pytest.mark.parametrize("policy", BAD, ids=repr)
def test_bad_policies_do_not(policy: Policy) -> None:
    with pytest.raises(LimitError):
        check_policy(policy)


def one(address: str, port: int = 80, weight: int | None = None) -> Endpoint:
    return Endpoint(address=address, port=port, weight=weight)


@pytest.mark.parametrize(
    "upstream",
    [
        make_upstream(),
        make_upstream(one("10.0.0.1"), one("::1"), one("2001:db8::1")),
        make_upstream(one("10.0.0.1", 65535, 4_294_967_295)),
        make_upstream(one("a.example"), one("10.0.0.1"), discovery=Discovery.DNS),
    ],
)
def test_good_endpoints_pass(upstream: Upstream) -> None:
    check_endpoints(upstream)


@pytest.mark.parametrize(
    "upstream",
    [
        *(
            make_upstream(one(address))
            for address in (
                "",
                "backend.example",
                "300.1.1.1",
                "127.1",
                "010.0.0.1",
                "[::1]",
                "fe80::1%eth0",
                "10.0.0.1\0",
                "0.0.0.0",  # noqa: S104 - refused, not bound to
                "::",
            )
        ),
        *(make_upstream(one("10.0.0.1", port)) for port in (-1, 0, 65536)),
        *(make_upstream(one("10.0.0.1", 80, weight)) for weight in (-1, 0, 2**32)),
        make_upstream(one("10.0.0.1", 80, 2**31), one("10.0.0.2", 80, 2**31)),
        make_upstream(one("10.0.0.1", 80, 1), one("10.0.0.2", 80, None)),
        make_upstream(one(""), discovery=Discovery.DNS),
        make_upstream(one("a\nb"), discovery=Discovery.DNS),
        make_upstream(one("x" * 254), discovery=Discovery.DNS),
    ],
)
def test_bad_endpoints_do_not(upstream: Upstream) -> None:
    with pytest.raises(TranslateError, match="shop/web/80"):
        check_endpoints(upstream)


def assignment(*groups: tuple[int, int]) -> endpoint_pb2.ClusterLoadAssignment:
    """Return one with a locality for each pair of a priority and a weight."""
    found = endpoint_pb2.ClusterLoadAssignment()
    for priority, weight in groups:
        group = found.endpoints.add(priority=priority)
        if weight:
            group.load_balancing_weight.value = weight
    return found


WEIGHTED = make_upstream(
    spec={
        "locality": {
            "type": "Weighted",
            "weighted": {"rules": ({"to": ({"zone": "a", "weight": 1},)},)},
        }
    }
)


@pytest.mark.parametrize(
    ("upstream", "groups"),
    [
        (WEIGHTED, [(0, 1), (0, 0)]),
        (WEIGHTED, [(0, 2**31), (0, 2**31)]),
        (make_upstream(), [(0, 1)]),
        (make_upstream(), [(0, 0), (2, 0)]),
        (make_upstream(), [(1, 0)]),
    ],
)
def test_localities_that_would_not_be_heeded_are_not_sent(
    upstream: Upstream, groups: list[tuple[int, int]]
) -> None:
    """One without a weight gets nothing; weights that nobody reads mean nothing."""
    with pytest.raises(TranslateError):
        check_localities(upstream, assignment(*groups))


def test_localities_that_are_heeded() -> None:
    check_localities(WEIGHTED, assignment((0, 1), (0, 2**32 - 2)))
    check_localities(make_upstream(), assignment((0, 0), (1, 0), (1, 0)))
    check_localities(make_upstream(), assignment())
