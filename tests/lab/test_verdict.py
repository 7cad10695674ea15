"""Right behaviour holds, wrong does not, and false alarms are as rare as said."""

import random
from collections.abc import Callable

import pytest

from xds_server.lab import verdict
from xds_server.lab.verdict import ALPHA, Check, count

QUARTERS = (0.25,) * 4


def draws(shares: tuple[float, ...], number: int, seed: int = 1) -> tuple[int, ...]:
    randomness = random.Random(seed)  # noqa: S311 - reproducible
    return tuple(randomness.choices(range(len(shares)), shares, k=number))


def turns(order: tuple[int, ...], number: int) -> tuple[int, ...]:
    return (order * number)[:number]


def test_turns_from_any_start_are_a_rotation() -> None:
    assert verdict.check_rotation(turns((2, 3, 0, 1), 400), (0, 1, 2, 3)).holds


@pytest.mark.parametrize(
    "sequence",
    [
        pytest.param(draws(QUARTERS, 400), id="random draws"),
        pytest.param((*turns((0, 1, 2, 3), 399), 0), id="the last one is wrong"),
        pytest.param(turns((0, 1, 2, 0), 400), id="one endpoint never served"),
        pytest.param((0,) * 400, id="always the same"),
    ],
)
def test_what_is_no_rotation_does_not_hold(sequence: tuple[int, ...]) -> None:
    assert not verdict.check_rotation(sequence, (0, 1, 2, 3)).holds


def test_each_window_has_every_weight() -> None:
    """The order inside a window is free."""
    sequence = (0, 1, 2, 2, 1, 2, 2, 2, 2, 1, 1, 0)

    assert verdict.check_windows(sequence, (1, 2, 3)).holds


@pytest.mark.parametrize(
    "sequence",
    [
        pytest.param(draws((1 / 6, 2 / 6, 3 / 6), 600), id="draws of these weights"),
        pytest.param(turns((0, 1, 2), 600), id="equal turns"),
        pytest.param((0, 1), id="less than one window"),
    ],
)
def test_other_weights_do_not_hold(sequence: tuple[int, ...]) -> None:
    assert not verdict.check_windows(sequence, (1, 2, 3)).holds


@pytest.mark.parametrize(("counts", "holds"), [((101, 99), True), ((103, 97), False)])
def test_counts_may_be_off_by_the_slack(
    counts: tuple[int, ...], *, holds: bool
) -> None:
    assert verdict.check_counts(counts, (0.5, 0.5), slack=2).holds is holds


def test_independent_draws_pass_both_tests() -> None:
    sequence = draws(QUARTERS, 2000)

    assert verdict.check_chi_square(count(sequence, 4), QUARTERS).holds
    assert verdict.check_neighbours(sequence, QUARTERS).holds


def test_round_robin_is_no_random_though_its_counts_are_perfect() -> None:
    sequence = turns((0, 1, 2, 3), 2000)

    assert verdict.check_chi_square(count(sequence, 4), QUARTERS).holds
    assert not verdict.check_neighbours(sequence, QUARTERS).holds


@pytest.mark.parametrize(
    "shares",
    [(0.29, 0.21, 0.29, 0.21), (0.34, 0.22, 0.22, 0.22), (1 / 7, 2 / 7, 2 / 7, 2 / 7)],
)
def test_shares_17_percent_off_are_found_in_999_of_1000_runs(
    shares: tuple[float, ...],
) -> None:
    """The power that the sample sizes were chosen for."""
    missed = sum(
        verdict.check_chi_square(count(draws(shares, 2000, seed), 4), QUARTERS).holds
        for seed in range(300)
    )

    assert missed <= 1


def test_a_request_where_none_may_go_refutes() -> None:
    counts, shares = (500, 499, 1), (0.5, 0.5, 0.0)

    assert not verdict.check_chi_square(counts, shares).holds
    assert verdict.check_chi_square((500, 500, 0), shares).holds


def test_tiny_shares_are_judged_together() -> None:
    """A cell that expects 1 request and gets 6 is no proof by itself."""
    shares = (0.001, 0.001, 0.001, 0.997)
    check = verdict.check_chi_square((4, 0, 0, 996), shares)

    assert check.holds
    assert "1 degrees" in check.test or "0 degrees" in check.test


@pytest.mark.parametrize(
    "judge",
    [
        pytest.param(
            lambda s: verdict.check_chi_square(count(s, 3), (0.1, 0.3, 0.6)),
            id="chi-square",
        ),
        pytest.param(
            lambda s: verdict.check_neighbours(s, (0.1, 0.3, 0.6)), id="neighbours"
        ),
        pytest.param(
            lambda s: verdict.check_busy(count(s, 3)[0], len(s), 0.1, 1 / 3), id="busy"
        ),
    ],
)
def test_false_alarms_are_as_rare_as_said(
    judge: Callable[[tuple[int, ...]], Check],
) -> None:
    """The p-values of right samples are uniform: below ALPHA as rarely as it says."""
    p_values = sorted(
        judge(draws((0.1, 0.3, 0.6), 1000, seed)).p_value or 0.0 for seed in range(1000)
    )

    assert p_values[0] > ALPHA / 10
    assert sum(p < 0.01 for p in p_values) <= 25
    assert 0.2 < p_values[250] < 0.32


def test_a_key_that_strays_refutes_affinity() -> None:
    keys = draws(QUARTERS, 100)

    assert verdict.check_affinity(keys, keys).holds
    assert not verdict.check_affinity(keys, (*keys[:-1], (keys[-1] + 1) % 4)).holds


def test_a_key_elsewhere_refutes_placement() -> None:
    keys = draws(QUARTERS, 100)

    assert verdict.check_placement(keys, keys).holds
    assert not verdict.check_placement(keys, keys[1:] + keys[:1]).holds


def test_only_the_keys_of_the_removed_endpoint_may_move_freely() -> None:
    before = turns((0, 1, 2, 3), 1200)
    steady = tuple(0 if owner == 3 else owner for owner in before)
    modulo = tuple(key % 3 for key in range(1200))

    assert verdict.check_stability(before, steady, 3, 0.001).holds
    assert not verdict.check_stability(before, modulo[1:] + modulo[:1], 3, 0.15).holds


def test_a_removed_endpoint_serves_nothing() -> None:
    before = turns((0, 1, 2, 3), 1200)

    assert not verdict.check_stability(before, before, 3, 0.001).holds


@pytest.mark.parametrize(("seen", "holds"), [(75, True), (300, False), (0, False)])
def test_a_busy_endpoint_gets_its_share_and_less_than_equal(
    seen: int, *, holds: bool
) -> None:
    """Of 1200 requests with two choices of four, 75; an equal share would be 300."""
    assert verdict.check_busy(seen, 1200, 1 / 16, 1 / 4).holds is holds


def test_a_full_scan_never_chooses_a_busy_endpoint() -> None:
    assert verdict.check_busy(0, 1200, 0.0, 1 / 4).holds
    assert not verdict.check_busy(1, 1200, 0.0, 1 / 4).holds


def test_one_request_above_the_bound_refutes() -> None:
    assert verdict.check_bounds((6, 6, 4, 0), (6, 6, 6, 6)).holds
    assert not verdict.check_bounds((7, 6, 3, 0), (6, 6, 6, 6)).holds


def test_exact_checks_cannot_cry_wolf() -> None:
    exact = verdict.check_rotation((0, 1), (0, 1))
    statistical = verdict.check_chi_square((5, 5), (0.5, 0.5))

    assert exact.exact
    assert not statistical.exact
    assert statistical.false_alarm_rate * 100 <= 1e-6 + 1e-12
