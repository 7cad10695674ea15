"""What replicas saw is summed, and one client's lie to any of them stays bounded."""

from collections.abc import Mapping
from statistics import median

import pytest
from hypothesis import given, settings, strategies as st

from tests.control.reports import A, B, report, seen
from xds_server.control.joint import join
from xds_server.control.observation import Observation
from xds_server.control.tally import Tally

BASES = {A: 1, B: 1}
HONEST = 100
"""Requests of an honest client to each endpoint in a period."""
Clients = Mapping[str, Mapping[str, int]]
"""What each client of a replica says of each endpoint: so many requests of 50 ms."""


def observed(clients: Clients, *, gauges: Mapping[str, int] = {}) -> Observation:
    """Return what a replica with these clients saw, in ten seconds."""
    tally = Tally()
    tally.expect(BASES)
    for at in (2.0, 4.0, 6.0, 8.0, 10.0):
        for client, numbers in clients.items():
            in_progress = gauges.get(client, 0)
            every = (
                seen(address, number // 5, in_progress=in_progress)
                for address, number in numbers.items()
            )
            tally.take(client, report(*every), at)
    return tally.observe(BASES, 10.0)


def honest(count: int, prefix: str = "h") -> dict[str, Mapping[str, int]]:
    """Return so many clients that tell the truth."""
    return {f"{prefix}{each}": {A: HONEST, B: HONEST} for each in range(count)}


def test_one_replica_sees_what_it_sees() -> None:
    alone = observed(honest(3))

    assert join(alone, ()) is alone


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_honest_clients_count_wherever_they_report(counts: list[int]) -> None:
    """However they are spread: as if all had reported to one."""
    parts = [observed(honest(each, f"{n}-")) for n, each in enumerate(counts)]
    together = join(parts[0], parts[1:])
    every = {k: v for n, c in enumerate(counts) for k, v in honest(c, f"{n}-").items()}
    one = observed(every)

    assert together.seconds == one.seconds
    assert together.clients == one.clients
    assert together.endpoints.keys() == one.endpoints.keys()
    for address, sums in one.endpoints.items():
        found = together.endpoints[address]
        assert found.issued == sums.issued
        assert found.answers == sums.answers
        assert found.load == pytest.approx(sums.load)
        assert found.least_in_progress == sums.least_in_progress


@settings(max_examples=500)
@given(
    liar=st.dictionaries(st.sampled_from([A, B]), st.integers(0, 10_000_000)),
    beside=st.integers(0, 1),
    others=st.lists(st.integers(1, 6), min_size=1, max_size=3),
)
def test_a_liar_is_held_to_what_other_replicas_saw(
    liar: Mapping[str, int], beside: int, others: list[int]
) -> None:
    """Where it reports to a replica that has too few others to hold it itself."""
    alone = observed({"liar": liar, **honest(beside)})
    parts = [observed(honest(each, f"{n}-")) for n, each in enumerate(others)]
    count = sum(others)
    truth = count * HONEST
    together = join(alone, parts)
    if count < 2:
        return
    for address in (A, B):
        added = together.endpoints[address].issued - truth
        most = max(2 / count, 1 / 3) * truth
        assert 0 <= added <= max(most, beside * HONEST) + 1


@given(st.lists(st.tuples(st.floats(1, 60), st.integers(1, 5)), min_size=2, max_size=5))
def test_a_period_is_about_the_median_of_what_all_clients_cover(
    replicas: list[tuple[float, int]],
) -> None:
    parts = [
        Observation(now=0.0, seconds=each, bases={}, endpoints={}, clients=count)
        for each, count in replicas
    ]
    covered = [seconds for seconds, count in replicas for _ in range(count)]

    assert join(parts[0], parts[1:]).seconds == pytest.approx(median(covered))


def test_who_has_no_traffic_is_nothing() -> None:
    idle = observed({"idle": {A: 0}})
    together = join(idle, [observed(honest(2))])

    assert together.endpoints[A].issued == 2 * HONEST


def test_who_has_little_traffic_takes_none_from_others() -> None:
    """One client with five requests, beside two of an honest replica with a hundred."""
    quiet = observed({"quiet": {A: 5}})
    together = join(quiet, [observed(honest(1, "x")), observed(honest(2, "y"))])

    assert together.endpoints[A].issued == 3 * HONEST + 5


def test_who_lies_of_one_endpoint_still_tells_endpoints_apart() -> None:
    gateway = observed({"gateway": {A: 60 * HONEST, B: 30 * HONEST}})
    together = join(gateway, [observed(honest(6))])
    a, b = (together.endpoints[each].issued - 6 * HONEST for each in (A, B))

    assert a == 2 * HONEST
    assert a == 2 * b


def test_what_others_have_not_seen_counts_whole() -> None:
    """An ingress gateway may be the only client of a Service."""
    gateway = observed({"gateway": {A: 60 * HONEST, B: 30 * HONEST}})
    idle: Clients = {each: {} for each in ("one", "two", "three")}
    for others, seen_by_them in (honest(1), HONEST), ({}, 0), (idle, 0):
        together = join(observed(others), [gateway])

        assert together.endpoints[B].issued == 30 * HONEST + seen_by_them


def test_a_liar_s_requests_in_progress_are_bounded_too() -> None:
    liar = observed({"liar": {A: HONEST}}, gauges={"liar": 1_000_000})
    every = honest(4)
    others = observed(every, gauges=dict.fromkeys(every, 3))
    together = join(liar, [others])

    assert together.endpoints[A].least_in_progress == pytest.approx(12 * 1.5)


def test_a_replica_without_reports_changes_nothing() -> None:
    idle, busy = observed({}), observed(honest(3))

    together = join(idle, [busy])

    assert together.seconds == busy.seconds
    assert together.endpoints[A].load == busy.endpoints[A].load
