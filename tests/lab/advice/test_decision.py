"""Who is recommended, by records that are made up."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from xds_server.lab.advice.decision import ALPHA, Batch, Ground, Record, decide

BATCHES = 20


def record(
    name: str, p95: float, *, noise: Sequence[float] = (), errors: float = 0.0
) -> Record:
    """Return a record around these figures; *noise* is the factor of each batch."""
    times = noise or (1.0,) * BATCHES
    batches = tuple(Batch(p95=p95 * each, error_share=errors) for each in times)
    return Record(name=name, batches=batches)


def noise(seed: int, spread: float = 0.2) -> list[float]:
    randomness = random.Random(seed)  # noqa: S311 - reproducible
    return [randomness.lognormvariate(0, spread) for _ in range(BATCHES)]


def test_of_equals_the_simplest_is_recommended() -> None:
    decision = decide([record(name, 0.1, noise=noise(1)) for name in "abc"])

    assert decision.winner == "a"
    assert decision.defeats == {}


@pytest.mark.parametrize(("ratio", "winner"), [(0.91, "a"), (0.89, "b")])
def test_a_tenth_less_is_the_margin(ratio: float, winner: str) -> None:
    """Where there is no doubt: both have the same noise."""
    found = decide([record("a", 1, noise=noise(1)), record("b", ratio, noise=noise(1))])

    assert found.winner == winner


def test_what_may_be_chance_is_not_better() -> None:
    """A fifth less, with noise of a half in each batch: p is near 0.1."""
    one, other = (
        record("a", 1, noise=noise(1, 0.5)),
        record("b", 0.8, noise=noise(2, 0.5)),
    )

    assert decide([one, other]).winner == "a"


def test_who_fails_is_out_however_quick() -> None:
    """As a server that fails at once looks to least request."""
    quick = record("a", 0.01, noise=noise(1), errors=0.3)
    slow = record("b", 1, noise=noise(2), errors=0.285)
    good = record("c", 1, noise=noise(3), errors=0.001)
    found = decide([quick, slow, good])

    assert found.winner == "c"
    assert {name: (each.by, each.ground) for name, each in found.defeats.items()} == {
        "a": ("c", Ground.ERRORS),
        "b": ("c", Ground.ERRORS),
    }


def test_errors_of_less_than_a_hundredth_do_not_count() -> None:
    found = decide([record("a", 1, errors=0.009), record("b", 1)])

    assert found.winner == "a"


def test_who_is_beaten_is_told_by_the_recommended_one_if_it_beats_it() -> None:
    """And not by the one that would be clearest."""
    times = noise(1)
    found = decide(
        [
            record("a", 10, noise=noise(2)),
            record("b", 1.05, noise=times),
            record("c", 1, noise=times),
        ]
    )

    assert found.winner == "b"
    assert found.defeats["a"].by == "b"
    assert found.defeats["a"].p_value < found.level == ALPHA / 12


@pytest.mark.parametrize("seed", range(20))
def test_chance_seldom_speaks_for_the_complicated(seed: int) -> None:
    """Equals that are told apart by noise alone, 20 times, always the same draws."""
    records = [
        record(name, 0.1, noise=noise(100 * seed + n))
        for n, name in enumerate("abcdef")
    ]

    assert decide(records).winner == "a"


TIMES = st.lists(st.floats(0.5, 2.0), min_size=BATCHES, max_size=BATCHES)
RECORDS = st.lists(
    st.tuples(st.floats(0.001, 10), TIMES, st.sampled_from([0.0, 0.0, 0.005, 0.2])),
    min_size=1,
    max_size=6,
).map(
    lambda found: [
        record(str(n), p95, noise=times, errors=errors)
        for n, (p95, times, errors) in enumerate(found)
    ]
)


@given(RECORDS)
def test_somebody_is_recommended_whom_nobody_beats(records: list[Record]) -> None:
    found = decide(records)

    assert found.winner in {each.name for each in records}
    assert found.winner not in found.defeats
    assert all(each.by != name for name, each in found.defeats.items())
    before = records[: [each.name for each in records].index(found.winner)]
    assert {each.name for each in before} <= found.defeats.keys()


@given(RECORDS, st.floats(0.01, 100))
def test_the_unit_of_time_does_not_count(records: list[Record], scale: float) -> None:
    scaled = [
        replace(
            each, batches=tuple(replace(b, p95=b.p95 * scale) for b in each.batches)
        )
        for each in records
    ]

    assert decide(scaled).winner == decide(records).winner


@given(RECORDS, st.randoms(use_true_random=False))
def test_the_order_of_batches_does_not_count(
    records: list[Record], randomness: random.Random
) -> None:
    order = list(range(BATCHES))
    randomness.shuffle(order)
    shuffled = [
        replace(each, batches=tuple(each.batches[n] for n in order)) for each in records
    ]

    assert decide(shuffled).winner == decide(records).winner


@given(RECORDS, TIMES, st.integers(0, 6))
def test_who_is_always_three_times_as_quick_is_recommended_wherever_it_stands(
    records: list[Record], times: list[float], position: int
) -> None:
    """All have the same noise, so there is no doubt; the rank is of no importance."""
    slow = [record(each.name, 3 + n, noise=times) for n, each in enumerate(records)]
    slow.insert(position, record("quick", 1, noise=times))

    assert decide(slow).winner == "quick"
