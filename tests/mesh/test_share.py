"""How groups divide the traffic."""

from fractions import Fraction

from hypothesis import given, strategies as st

from xds_server.mesh.share import LARGEST_SUM, divide


def test_a_share_is_the_groups_whatever_its_size() -> None:
    """10 % for one canary, 90 % for three others, 30 each."""
    members = [(0, 1), (1, 1), (1, 1), (1, 1)]

    assert divide(members, [10, 90]) == (1, 3, 3, 3)


def test_weights_count_inside_a_group() -> None:
    assert divide([(0, 1), (0, 2), (1, 1)], [50, 50]) == (1, 2, 3)


def test_thirds_are_exact() -> None:
    assert divide([(0, 1), (0, 1), (0, 1), (1, 1)], [0.1, 0.9]) == (1, 1, 1, 27)


def test_an_empty_group_leaves_its_share_to_the_others() -> None:
    assert divide([(1, 1), (2, 1)], [50, 25, 25]) == (1, 1)


def test_a_share_of_0_is_none() -> None:
    assert divide([(0, 1), (1, 1)], [0, 5]) == (0, 1)


def test_shares_of_very_many_members_are_near_enough() -> None:
    """19,001 canaries have 1 % beside 9,001 others: exact numbers are too large."""
    members = [(0, 1)] * 19_001 + [(1, 1)] * 9_001
    weights = divide(members, [1, 99])

    assert sum(weights) <= LARGEST_SUM
    assert abs(sum(weights[:19_001]) / sum(weights) - 0.01) < 0.001


def test_without_any_share_nobody_gets_traffic() -> None:
    assert divide([(0, 1), (0, 0)], [0.0]) == (0, 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 1_000_000)), min_size=1, max_size=30
    ),
    st.lists(st.floats(0.001, 1e6), min_size=4, max_size=4),
)
def test_every_member_and_every_group_is_within_a_thousandth_of_its_share(
    members: list[tuple[int, int]], shares: list[float]
) -> None:
    weights = divide(members, shares)

    totals = [sum(w for g, w in members if g == group) for group in range(4)]
    ideal = [
        Fraction(shares[group]) * weight / totals[group] if weight else Fraction(0)
        for group, weight in members
    ]
    whole, total = sum(ideal), sum(weights)
    for group in range(4):
        inside = [i for i, (g, _) in enumerate(members) if g == group]
        got, due = sum(weights[i] for i in inside), sum(ideal[i] for i in inside)
        if whole:
            assert abs(Fraction(got, total) - due / whole) < Fraction(1, 1000)
    for weight, part in zip(weights, ideal, strict=True):
        assert (weight > 0) == (part > 0)
        if whole:
            assert abs(Fraction(weight, total) - part / whole) < Fraction(1, 1000)
