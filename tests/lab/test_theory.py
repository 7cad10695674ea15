"""The promises of the algorithms, in numbers one can do by hand."""

from datetime import timedelta

import pytest

from xds_server.api.policy import (
    AddressFrom,
    HashAlgorithm,
    HashCookie,
    HashHeader,
    HashKey,
    IPHash,
    LeastRequest,
    LoadBalancer,
    LoadBalancerType,
    Maglev,
    RingHash,
    SelectionMethod,
    SlowStart,
    SourceIP,
)
from xds_server.lab import theory
from xds_server.mesh.model import (
    Discovery,
    Endpoint,
    Health,
    Port,
    Protocol,
    Upstream,
)


def upstream(*weights: int | None, draining: int | None = None) -> Upstream:
    return Upstream(
        namespace="shop",
        service="cart",
        port=Port(number=80, name="http", protocol=Protocol.HTTP1),
        discovery=Discovery.EDS,
        load_balancer=LoadBalancer(),
        endpoints=tuple(
            Endpoint(
                address=f"10.0.0.{position + 1}",
                port=8080,
                weight=weight,
                health=Health.DRAINING if position == draining else Health.HEALTHY,
            )
            for position, weight in enumerate(weights)
        ),
    )


@pytest.mark.parametrize(
    ("weights", "expected"),
    [((10, 20, 30), (1, 2, 3)), ((None, None), (1, 1)), ((7,), (1,))],
)
def test_weights_are_reduced(
    weights: tuple[int | None, ...], expected: tuple[int, ...]
) -> None:
    assert theory.weights_of(upstream(*weights)) == expected


def test_a_draining_endpoint_weighs_nothing() -> None:
    assert theory.weights_of(upstream(4, 2, 4, draining=1)) == (1, 0, 1)
    assert theory.written_weights(upstream(4, 2, 4, draining=1)) == (4, 0, 4)


@pytest.mark.parametrize(("choices", "expected"), [(2, 1 / 16), (4, 1 / 256)])
def test_all_choices_must_fall_on_a_busy_endpoint(
    choices: int, expected: float
) -> None:
    policy = LeastRequest(choice_count=choices)

    assert theory.busy_share(policy, 4) == pytest.approx(expected)


def test_a_full_scan_passes_a_busy_endpoint_over() -> None:
    policy = LeastRequest(selection_method=SelectionMethod.FULL_SCAN)

    assert theory.busy_share(policy, 4) == 0


def test_requests_in_flight_count_against_the_weight() -> None:
    """Measured on Envoy 1.40: weights 1:1:2, 3 in flight on the first: 1/4 : 1 : 2."""
    assert theory.loaded_weights((1, 1, 2), (3, 0, 0), 1.0) == (0.25, 1, 2)


def test_a_bias_of_0_ignores_requests_in_flight() -> None:
    assert theory.loaded_weights((1, 1, 2), (3, 0, 0), 0.0) == (1, 1, 2)


@pytest.mark.parametrize(
    ("weights", "slow_start", "expected"),
    [
        ((1, 1, 0), None, False),
        ((1, 2), None, True),
        ((1, 1), SlowStart(window=timedelta(seconds=9)), True),
    ],
)
def test_least_request_takes_turns_where_weights_differ_or_may(
    weights: tuple[int, ...], slow_start: SlowStart | None, *, expected: bool
) -> None:
    policy = LoadBalancer(type=LoadBalancerType.LEAST_REQUEST, slow_start=slow_start)

    assert theory.is_scheduled(policy, weights) is expected


@pytest.mark.parametrize(
    ("age", "aggression", "expected"),
    [(0, 1, 0.1), (5, 1, 0.5), (5, 2, 0.5**0.5), (10, 1, 1), (60, 1, 1)],
)
def test_a_new_endpoint_warms_up(
    age: float, aggression: float, expected: float
) -> None:
    """The formula of SlowStartConfig, with its least part of 10 %."""
    policy = SlowStart(window=timedelta(seconds=10), aggression=aggression)

    assert theory.warm_part(policy, age) == pytest.approx(expected)


def test_keys_after_a_terminal_one_do_not_count() -> None:
    user = HashKey(header=HashHeader(name="x-user"))
    last = HashKey(cookie=HashCookie(name="sid"), terminal=True)
    unused = HashKey(source_ip=SourceIP())
    policy = LoadBalancer(
        type=LoadBalancerType.RING_HASH,
        ring_hash=RingHash(),
        hash_on=(user, last, unused),
    )

    assert theory.hash_keys(policy) == (user, last)


@pytest.mark.parametrize(
    ("address_from", "expected"),
    [
        (AddressFrom.CONNECTION, HashKey(source_ip=SourceIP())),
        (AddressFrom.X_FORWARDED_FOR, HashKey(header=theory.FIRST_FORWARDED)),
    ],
)
def test_ip_hash_hashes_an_address(
    address_from: AddressFrom, expected: HashKey
) -> None:
    policy = LoadBalancer(
        type=LoadBalancerType.IP_HASH, ip_hash=IPHash(address_from=address_from)
    )

    assert theory.hash_keys(policy) == (expected,)


@pytest.mark.parametrize(
    ("ip_hash", "expected"),
    [
        (IPHash(), Maglev()),
        (IPHash(algorithm=HashAlgorithm.RING_HASH), RingHash()),
    ],
)
def test_ip_hash_has_a_consistent_hash_behind_it(
    ip_hash: IPHash, expected: RingHash | Maglev
) -> None:
    policy = LoadBalancer(type=LoadBalancerType.IP_HASH, ip_hash=ip_hash)

    assert theory.consistent_hash(policy) == expected


def test_a_ring_that_takes_long_to_rebuild_is_not() -> None:
    huge = RingHash(minimum_ring_size=8_000_000, maximum_ring_size=8_000_000)

    assert theory.build_table(huge, {"a": 1, "b": 1}) is None
