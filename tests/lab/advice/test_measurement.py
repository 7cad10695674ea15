"""How long is measured, and what answers amount to."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from tests.lab.advice.test_candidate import KEYS, profile
from xds_server.lab.advice.candidate import CANDIDATES, candidates_for
from xds_server.lab.advice.decision import Batch
from xds_server.lab.advice.described import Description
from xds_server.lab.advice.measurement import Plan, _in_batches, _standing, plan
from xds_server.lab.advice.profile import Host, enough_for
from xds_server.lab.backend import HIT_HEADER
from xds_server.lab.error import UsageError
from xds_server.lab.open_loop import Answer

SHORT = CANDIDATES[:3]


def test_more_than_this_machine_can_do_is_done_slower() -> None:
    """Queues are the same: the rate is so much lower, and requests take longer."""
    found = profile(1, 1)  # 100 requests a second
    slow = plan(found, CANDIDATES[:3] * 4, 60)

    assert plan(found, SHORT, 60).slowdown == 1
    assert slow.slowdown == pytest.approx(2.4)
    assert [each.service_time for each in found.servers(slow.slowdown)] == [0.024] * 2


@given(st.integers(10, 600), st.floats(30, 5000), st.integers(1, 8))
def test_a_plan_takes_the_time_that_it_has(
    seconds: int, rate: float, number: int
) -> None:
    """Shorter ones are refused, or may be: `test_what_is_too_short` has those."""
    found = replace(profile(1, 2), rate=rate)
    candidates = candidates_for(found, seconds)[:number]
    how = plan(found, candidates, seconds)

    assert how.seconds == pytest.approx(seconds)
    assert how.settling >= max(each.settling for each in candidates)
    assert 5 <= how.batches <= 20
    assert how.batch * rate / how.slowdown >= 40 * 0.999
    assert rate / how.slowdown * len(candidates) <= 500 * 1.001


def test_what_is_too_short_to_tell_anything_says_so() -> None:
    with pytest.raises(ValueError, match="too few: 140 requests would count"):
        plan(profile(1, 1), SHORT, 2)


HOW = Plan(slowdown=2, settling=1, batches=2, batch=1)


def answer(
    due: float, seconds: float, status: int = 200, *, hit: bool = False
) -> Answer:
    headers = frozenset({HIT_HEADER} if hit else ())
    server = "a" if status else ""
    return Answer(
        due=due, seconds=seconds, status=status, server=server, headers=headers
    )


def test_what_is_due_while_queues_fill_or_after_the_last_batch_does_not_count() -> None:
    answers = [answer(due, 1) for due in (9.9, 10, 10.5, 11.2, 12)]
    batches = _in_batches(answers, 10, HOW)

    assert [[each.due for each in batch] for batch in batches] == [[10, 10.5], [11.2]]


def test_latencies_are_of_good_answers_at_the_speed_that_is_meant() -> None:
    batches = [
        [answer(10, 0.2, hit=True), answer(10, 0.001, 500)],
        [answer(11, 30, 0)],
    ]
    found = _standing(SHORT[0], batches, ["a", "b"], has_keys=True, slowdown=2)

    assert (found.requests, found.median, found.p99) == (3, 0.1, 0.1)
    assert found.error_share == pytest.approx(2 / 3)
    assert (found.shares, found.hit_share) == ((1, 0), 0.5)
    assert found.record.batches == (
        Batch(p95=0.1, error_share=0.5),
        Batch(p95=30, error_share=1),
    )


def described(**more: object) -> Description:
    return Description(**{"rate": 80, "service_time": 0.02, "workers": 4, **more})  # type: ignore[arg-type]


def test_a_description_is_one_of_each_endpoint_or_of_all_alike() -> None:
    assert described().profile(3).hosts == (Host(),) * 3
    assert described(speeds=(1.0, 4.0), error_percents=(0.0, 50.0)).profile(
        2
    ).hosts == (
        Host(),
        Host(speed=4, error_share=0.5),
    )
    assert described().profile(4).utilization == pytest.approx(0.1)
    for more in ({"speeds": (1.0, 2.0)}, {"error_percents": (0.0, 1.0)}):
        with pytest.raises(UsageError, match=r"each of 3 endpoints \(got 2\)"):
            described(**more).profile(3)


def test_caches_are_large_enough_for_a_part_of_the_keys_unless_said() -> None:
    own = described(keys=100, hit_speedup=5.0).profile(4).keys
    said = described(keys=100, cache_size=7, key_header="x-cart").profile(4).keys

    assert own is not None
    assert said is not None
    assert (own.number, own.cache_size, own.hit_speedup) == (100, 50, 5)
    assert (said.cache_size, said.header) == (7, "x-cart")
    assert described().profile(4).keys is None
    assert enough_for(1, 30) == 1
    assert KEYS.number == 100
