"""Reports of many clients are summed; absurd ones, and lies, are bounded."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from tests.control.reports import A, B, C, report, seen
from xds_server.control.audit import LONGEST_REPORT, Dropped
from xds_server.control.observation import EndpointSums, Observation
from xds_server.control.tally import Tally
from xds_server.load import UPSTREAM_TIME, ClusterLoad, EndpointLoad, MetricSum

ALL = (A, B, C)


def observe(tally: Tally, now: float = 10.0) -> Observation:
    return tally.observe(dict.fromkeys(ALL, 1), now)


def expecting(*addresses: str, metrics: tuple[str, ...] = ()) -> Tally:
    tally = Tally(metrics)
    tally.expect(addresses or ALL)
    return tally


def test_what_clients_report_is_summed() -> None:
    tally = expecting()
    for at in (2.0, 4.0):
        tally.take("one", report(seen(A, 10), seen(B, 5, failed=2)), at)
        tally.take("two", report(seen(A, 20, mean=0.1)), at)
    found = observe(tally)

    assert found.seconds == 4.0
    assert found.endpoints.keys() == {A, B}
    assert found.endpoints[A] == EndpointSums(
        issued=60,
        succeeded=60,
        answers=60,
        load=found.endpoints[A].load,
        clients=2,
        largest=0.8,
    )
    assert found.clients == 2
    assert found.endpoints[A].load == pytest.approx(2 * (10 * 0.05 + 20 * 0.1))
    assert found.endpoints[B].failed == 4
    assert found.endpoints[B].succeeded == 6


def test_a_period_begins_with_nothing() -> None:
    tally = expecting()
    tally.take("one", report(seen(A, 10)), 2.0)
    observe(tally)

    assert observe(tally, 20.0).endpoints == {}
    assert observe(tally, 30.0).seconds == 0


def test_reports_of_differing_intervals_tell_the_time_that_most_cover() -> None:
    """A client that comes or goes in the middle covers less, and changes nothing."""
    tally = expecting()
    for at in range(2, 12, 2):
        tally.take("often", report(seen(A, 1)), at)
        tally.take("too", report(seen(A, 1)), at)
    tally.take("seldom", report(seen(A, 5), seconds=10.0), 10.0)
    tally.take("new", report(seen(A, 1)), 10.0)

    assert observe(tally).seconds == 10.0


def test_a_report_that_is_there_twice_counts_once() -> None:
    tally = expecting()
    for at in (2.0, 4.0, 6.0):
        tally.take("one", report(seen(A, 10)), at)
        tally.take("one", report(seen(A, 10)), at + 0.1)

    assert observe(tally).endpoints[A].answers == 30
    assert tally.dropped == {Dropped.REPEATED: 3}


def test_late_reports_count_when_they_come_together() -> None:
    """The server was busy, and reads what was sent meanwhile."""
    tally = expecting()
    for at in (2.0, 6.0, 6.0, 8.0, 10.0):
        tally.take("one", report(seen(A, 10)), at)

    assert observe(tally).endpoints[A].answers == 50
    assert not tally.dropped


def test_lost_reports_cost_what_was_in_them_only() -> None:
    tally = expecting()
    for at in (2.0, 8.0, 10.0):
        tally.take("one", report(seen(A, 10)), at)
    found = observe(tally)

    assert (found.endpoints[A].answers, found.seconds) == (30, 6.0)


def test_unknown_endpoints_are_dropped_and_the_others_count() -> None:
    tally = expecting(A)
    tally.take("one", report(seen("10.9.9.9:1", 10), seen(A, 10)), 2.0)

    assert observe(tally).endpoints.keys() == {A}
    assert tally.dropped == {Dropped.UNKNOWN_ENDPOINT: 1}


def test_an_endpoint_that_flaps_begins_with_nothing() -> None:
    tally = expecting(A, B)
    tally.take("one", report(seen(A, 10), seen(B, 10, in_progress=3)), 2.0)
    tally.expect([A])
    tally.take("one", report(seen(A, 10)), 4.0)
    tally.expect([A, B, C])
    tally.take("one", report(seen(A, 10), seen(B, 1), seen(C, 2)), 6.0)
    found = {name: each.answers for name, each in observe(tally).endpoints.items()}

    assert found == {A: 30, B: 1, C: 2}


def test_what_is_no_base_is_in_no_observation() -> None:
    """A draining endpoint still answers."""
    tally = expecting(A, B)
    tally.take("one", report(seen(A, 10), seen(B, 10)), 2.0)

    assert tally.observe({A: 1}, 10.0).endpoints.keys() == {A}
    assert not tally.dropped


@pytest.mark.parametrize(
    "absurd",
    [
        seen(A, 1)._replace(issued=-1),
        seen(A, 1)._replace(succeeded=2**63),
        seen(A, 1)._replace(failed=-(2**63)),
        seen(A, 1)._replace(in_progress=2**62),
        seen(A, 1)._replace(metrics={UPSTREAM_TIME: MetricSum(1, math.nan)}),
        seen(A, 1)._replace(metrics={UPSTREAM_TIME: MetricSum(1, math.inf)}),
        seen(A, 1)._replace(metrics={UPSTREAM_TIME: MetricSum(1, -0.1)}),
        seen(A, 1)._replace(metrics={UPSTREAM_TIME: MetricSum(0, 1.0)}),
        seen(A, 1)._replace(metrics={UPSTREAM_TIME: MetricSum(-5, 1.0)}),
    ],
)
def test_absurd_numbers_are_dropped_and_the_others_count(absurd: EndpointLoad) -> None:
    tally = expecting()
    tally.take("one", report(absurd, seen(B, 10)), 2.0)

    assert observe(tally).endpoints.keys() == {B}
    assert tally.dropped == {Dropped.ABSURD: 1}


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, LONGEST_REPORT + 1])
def test_a_report_about_no_time_or_about_ages_is_dropped(seconds: float) -> None:
    tally = expecting()
    tally.take("one", report(seen(A, 10), seconds=seconds), 2.0)

    assert observe(tally).endpoints == {}
    assert tally.dropped == {Dropped.ABSURD: 1}


def test_of_several_metrics_the_one_with_the_largest_mean_counts() -> None:
    tally = expecting(metrics=("cpu_utilization", "mem_utilization"))
    load = seen(A, 10)._replace(
        metrics={
            "cpu_utilization": MetricSum(10, 3.0),
            "mem_utilization": MetricSum(5, 4.0),
            UPSTREAM_TIME: MetricSum(10, 1e6),
        },
    )
    tally.take("one", report(load), 2.0)
    found = observe(tally).endpoints[A]

    assert (found.answers, found.load) == (5, 4.0)


def gauges(tally: Tally, client: str, *numbers: int) -> None:
    for position, number in enumerate(numbers):
        load = report(seen(A, 1, in_progress=number))
        tally.take(client, load, 2.0 * (position + 1))


def test_the_least_in_progress_is_of_the_sum_of_all_clients() -> None:
    tally = expecting()
    for at, one, two in [(2, 4, 1), (4, 5, 2), (6, 9, 0), (8, 3, 1), (10, 7, 7)]:
        tally.take("one", report(seen(A, 1, in_progress=one)), at)
        tally.take("two", report(seen(A, 1, in_progress=two)), at + 0.1)

    assert observe(tally, 10.5).endpoints[A].least_in_progress == 4


def test_a_few_samples_do_not_tell_the_least_in_progress() -> None:
    tally = expecting()
    gauges(tally, "one", 5, 5, 5)

    assert observe(tally).endpoints[A].least_in_progress is None


def test_what_never_ends_counts_in_the_next_period_too() -> None:
    """Nothing is answered: all that is seen of the endpoint is what is in progress."""
    tally = expecting()
    for at in range(2, 22, 2):
        if at == 12:
            observe(tally, 11.0)
        tally.take("one", report(seen(A)._replace(in_progress=8)), at)

    assert observe(tally, 21.0).endpoints == {A: EndpointSums(least_in_progress=8)}


def test_who_comes_back_after_a_silence_counts_at_once() -> None:
    """All were silent, as after a pause of the server; one of them says very much."""
    tally = expecting()
    for client in ("one", "two", "three"):
        tally.take(client, report(seen(A, 20)), 2.0)
    observe(tally, 10.0)
    for client, answers in (("one", 1000), ("two", 20), ("three", 20)):
        tally.take(client, report(seen(A, answers)), 20.0)
    found = observe(tally, 21.0)

    assert tally.reporters == 3
    assert found.seconds == 2.0
    assert found.endpoints[A].answers == 40 + 2 * 20


def test_a_client_that_vanishes_has_nothing_in_progress_any_more() -> None:
    tally = expecting()
    gauges(tally, "gone", 50)
    for at in range(2, 24, 2):
        tally.take("here", report(seen(A, 1, in_progress=1)), at)
    assert tally.reporters == 2
    observe(tally, 23.0)
    for at in range(24, 34, 2):
        tally.take("here", report(seen(A, 1, in_progress=1)), at)

    assert observe(tally, 33.0).endpoints[A].least_in_progress == 1
    assert tally.reporters == 1


HONEST = st.lists(
    st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=2, max_size=8
)
NUMBER = st.integers(0, 1_000_000)


def say(tally: Tally, client: str, answers: Sequence[int], mean: float = 0.05) -> None:
    loads = (seen(a, n, mean=mean) for a, n in zip(ALL, answers, strict=True))
    tally.take(client, report(*loads), 2.0)


@given(HONEST, st.lists(NUMBER, min_size=3, max_size=3), st.floats(0, 3600))
def test_a_lie_counts_for_no_more_than_its_bound(
    honest: Sequence[Sequence[int]], lie: Sequence[int], mean: float
) -> None:
    """Wherever two others saw something, and they all 20 answers."""
    tally = expecting()
    for number, answers in enumerate(honest):
        say(tally, f"honest {number}", answers)
    say(tally, "liar", lie, mean)
    found = observe(tally).endpoints
    for address, parts in zip(ALL, zip(*honest, strict=True), strict=True):
        total, most = sum(parts), max(2 * max(parts), sum(parts) / 3)
        if sum(map(bool, parts)) >= 2 and total >= 20:
            assert found[address].answers <= total + most + 1
            assert found[address].load <= (total + most) * 0.05 + 1e-6


@given(HONEST)
def test_a_client_that_says_more_tells_endpoints_apart_as_before(
    honest: Sequence[Sequence[int]],
) -> None:
    """All of its report is taken times the same."""
    gateway = (600_000, 400_000, 200_000)
    tally = expecting()
    for number, answers in enumerate(honest):
        say(tally, f"honest {number}", answers)
    say(tally, "gateway", gateway)
    found = observe(tally).endpoints
    sums = [sum(parts) for parts in zip(*honest, strict=True)]
    own = [
        found[address].answers - total if address in found else 0
        for address, total in zip(ALL, sums, strict=True)
    ]
    factor = own[0] / gateway[0]

    assert own == [pytest.approx(n * factor, abs=2) for n in gateway]


@given(st.integers(3, 40), st.integers(10, 200))
def test_clients_that_say_the_same_all_count_whole(clients: int, answers: int) -> None:
    tally = expecting()
    for number in range(clients):
        say(tally, str(number), (answers, answers, 2 * answers))
    found = observe(tally).endpoints

    assert found[A].answers == clients * answers
    assert found[C].answers == 2 * clients * answers


def test_of_two_clients_nobody_knows_who_lies() -> None:
    tally = expecting()
    say(tally, "one", (10, 10, 10))
    say(tally, "two", (1000, 1000, 1000))

    assert observe(tally).endpoints[A].answers == 1010


def test_what_one_client_has_in_progress_is_bounded_by_what_others_have() -> None:
    tally = expecting()
    for at in range(2, 12, 2):
        for client, number in (("one", 2), ("two", 1), ("liar", 9000)):
            load = seen(A, 10, in_progress=number)
            tally.take(client, report(load), at)

    assert observe(tally).endpoints[A].least_in_progress == 2 + 1 + 4


LOADS = st.builds(
    EndpointLoad,
    address=st.sampled_from([*ALL, "", "10.9.9.9:1"]),
    issued=st.integers(),
    succeeded=st.integers(),
    failed=st.integers(),
    in_progress=st.integers(),
    metrics=st.dictionaries(
        st.just(UPSTREAM_TIME), st.builds(MetricSum, st.integers(), st.floats())
    ),
)
REPORTS = st.builds(
    ClusterLoad,
    cluster=st.just("shop/web/80"),
    seconds=st.floats(),
    endpoints=st.lists(LOADS, max_size=4).map(tuple),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["one", "two", "three"]), REPORTS, st.floats(0, 9)),
        max_size=20,
    )
)
def test_whatever_is_reported_the_sums_are_finite(
    reports: Sequence[tuple[str, ClusterLoad, float]],
) -> None:
    tally, now = expecting(), 0.0
    for client, load, later in reports:
        now += later
        tally.take(client, load, now)
    found = observe(tally, now)

    assert 0 <= found.seconds < math.inf
    for each in found.endpoints.values():
        assert min(each.issued, each.succeeded, each.failed, each.answers) >= 0
        assert 0 <= each.load < math.inf
        assert each.least_in_progress is None or each.least_in_progress >= 0
