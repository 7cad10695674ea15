"""What may be recommended, and to whom."""

import pytest
from hypothesis import given, strategies as st

from tests.translate.mesh_input import load_balancer
from xds_server.lab.advice.candidate import (
    CANDIDATES,
    Candidate,
    Terms,
    candidates_for,
    weights_of,
)
from xds_server.lab.advice.profile import Host, Keys, Profile

KEYS = Keys(number=100, cache_size=50, hit_speedup=10, header="x-user")
TERMS = Terms(addresses=("10.0.0.1", "10.0.0.2", "10.0.0.3"), key_header="x-user")


def profile(*speeds: float, keys: Keys | None = None) -> Profile:
    hosts = tuple(Host(speed=each) for each in speeds)
    return Profile(hosts=hosts, rate=100, service_time=0.01, workers=2, keys=keys)


def names(found: Profile, seconds: float = 60) -> list[str]:
    return [each.name for each in candidates_for(found, seconds)]


PLAIN = ["round-robin", "random", "least-request"]


@pytest.mark.parametrize(
    ("found", "more"),
    [
        (profile(1, 1, 1), []),
        (profile(1, 1, 1, keys=KEYS), ["maglev", "ring-hash"]),
        (profile(1, 2, 4), ["weighted", "least-request-weighted"]),
    ],
)
def test_candidates_are_those_that_can_make_use_of_what_servers_are_like(
    found: Profile, more: list[str]
) -> None:
    assert names(found) == [*PLAIN, *more, "performance-based"]


def test_who_needs_longer_to_settle_is_left_out_of_a_short_run() -> None:
    assert "performance-based" in names(profile(1, 1), 42)
    assert "performance-based" not in names(profile(1, 1), 41)


@pytest.mark.parametrize("each", CANDIDATES, ids=lambda each: each.name)
def test_what_is_recommended_is_a_policy_that_check_accepts(each: Candidate) -> None:
    found = profile(1, 2.5, 4, keys=KEYS)
    to_copy = load_balancer(each.build(found, TERMS))
    measured = load_balancer(each.measured(found, TERMS))

    assert to_copy.type == measured.type
    if not each.quickened:
        assert to_copy == measured


def test_weights_are_those_of_the_endpoints_that_are_named() -> None:
    weighted = next(each for each in CANDIDATES if each.name == "weighted")
    block = weighted.build(profile(2, 1, 2), TERMS)

    assert block["weights"] == {
        "rules": [
            {"addresses": ["10.0.0.1", "10.0.0.3"], "weight": 2},
            {"addresses": ["10.0.0.2"], "weight": 1},
        ]
    }


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=8))
def test_weights_are_speeds_to_one_percent(speeds: list[float]) -> None:
    weights = weights_of(speeds)
    least = min(range(len(speeds)), key=speeds.__getitem__)

    for speed, weight in zip(speeds, weights, strict=True):
        wanted = speed / speeds[least]
        assert weight / weights[least] == pytest.approx(wanted, rel=0.01)
    assert all(0 < each <= 1_000_000 for each in weights)
