"""Rings and Maglev tables share the hashes as their papers and Envoy say."""

import random
from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from xds_server.api.policy import HashFunction, Maglev, RingHash
from xds_server.lab.hash_table import (
    HashTable,
    build_maglev,
    build_ring,
    ring_size,
)

FOUR = {f"127.1.0.{number}:8080": 1 for number in range(1, 5)}
THREE = dict(list(FOUR.items())[:3])
WEIGHTED = {f"127.1.0.{number}:8080": number for number in (1, 2, 3)}

Build = Callable[[Mapping[str, int]], HashTable]


def ring(weights: Mapping[str, int]) -> HashTable:
    return build_ring(weights, RingHash(minimum_ring_size=4096))


def murmur_ring(weights: Mapping[str, int]) -> HashTable:
    return build_ring(weights, RingHash(hash_function=HashFunction.MURMUR_HASH_2))


def maglev(weights: Mapping[str, int]) -> HashTable:
    return build_maglev(weights, Maglev(table_size=1021))


@pytest.mark.parametrize("build", [ring, murmur_ring, maglev])
def test_shares_are_what_owners_have(build: Build) -> None:
    """Random hashes fall on the owners as often as the shares say."""
    table = build(WEIGHTED)
    randomness = random.Random(1)  # noqa: S311 - reproducible
    hashes = [randomness.getrandbits(64) for _ in range(20_000)]
    found = Counter(table.owner(hash_) for hash_ in hashes)

    assert sum(table.shares().values()) == pytest.approx(1)
    for owner, share in table.shares().items():
        assert found[owner] / len(hashes) == pytest.approx(share, abs=0.015)


@pytest.mark.parametrize(
    ("build", "tolerance"), [(ring, 0.05), (murmur_ring, 0.05), (maglev, 0.003)]
)
def test_shares_follow_weights(build: Build, tolerance: float) -> None:
    """A ring comes near to them, Maglev within a few slots."""
    shares = build(WEIGHTED).shares()

    for address, weight in WEIGHTED.items():
        assert shares[address] == pytest.approx(weight / 6, abs=tolerance)


def test_the_lightest_endpoint_has_a_whole_number_of_entries() -> None:
    """Envoy's arithmetic: 1:2:3 at 1024 makes 171 + 342 + 513 entries."""
    table = build_ring(WEIGHTED, RingHash(minimum_ring_size=1024))

    assert Counter(table.owners) == dict(zip(WEIGHTED, (171, 342, 513), strict=True))


def test_the_maximum_bounds_the_ring() -> None:
    limits = RingHash(minimum_ring_size=1024, maximum_ring_size=2048)

    assert ring_size({"a": 1, "b": 1_000_000}, limits) == 2048


def test_when_one_leaves_a_ring_moves_more_than_maglev() -> None:
    """Measured on Envoy 1.40: 13 % and less than 0.1 % of the others' keys."""
    moved_on_ring = build_ring(FOUR, RingHash()).moved(build_ring(THREE, RingHash()))
    moved_on_maglev = build_maglev(FOUR, Maglev()).moved(build_maglev(THREE, Maglev()))

    assert 0.08 < moved_on_ring < 0.2
    assert moved_on_maglev < 0.001


def test_moved_counts_hashes_of_endpoints_that_stay() -> None:
    before = HashTable(8, (1, 3, 5, 7), ("a", "b", "a", "c"))
    after = HashTable(8, (1, 3, 5, 7), ("a", "b", "b", "a"))

    assert before.moved(after) == pytest.approx(2 / 6)


def test_the_order_of_endpoints_means_nothing_to_maglev() -> None:
    """Measured on Envoy 1.40: no key moves when an assignment is reordered."""
    backwards = dict(reversed(WEIGHTED.items()))

    assert maglev(backwards).owners == maglev(WEIGHTED).owners
