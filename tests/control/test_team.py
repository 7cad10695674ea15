"""Several replicas serve one set of weights, whatever becomes of each of them."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings, strategies as st

from tests.control.fleet import Fleet
from tests.control.mesh import CLUSTER, FAST, INTERVAL, SLOW, address, mesh
from tests.control.reports import report, seen
from tests.mesh.documents import slice_of
from xds_server.control.loop import HASTE, ROUND
from xds_server.control.observation import Observation
from xds_server.control.standing import Cause
from xds_server.control.team import Team
from xds_server.control.word import Part, Turn, Word
from xds_server.load import LoadReport

MINUTE = 60.0
KEY = ("shop", "web", 80)


def learned(fleet: Fleet) -> Fleet:
    """Return *fleet* when `a` has found the fast server, and all have its weights."""
    fleet.elect("a")
    fleet.run(MINUTE + 5)  # between two steps
    assert fleet["a"].world.shares[3] > 1.5 * fleet["a"].world.shares[1]
    return fleet


def test_all_serve_the_weights_of_the_one_that_leads() -> None:
    fleet = learned(Fleet(*mesh(1, 2, 3), clients=(1, 2, 0)))

    assert fleet["a"].weights == fleet["b"].weights == fleet["c"].weights
    assert fleet["a"].history == fleet["b"].history == fleet["c"].history
    causes = {push.cause for push in fleet["b"].world.pushes}
    assert causes == {Cause.LEADER}


def test_what_the_clients_of_all_saw_decides() -> None:
    """Here the leader has none, and the others see another server slow each."""
    fleet = Fleet(*mesh(1, 2, 3, 4), clients=(0, 3, 3))
    fleet["b"].means = {1: SLOW, 2: FAST, 3: FAST, 4: FAST}
    fleet["c"].means = {1: FAST, 2: SLOW, 3: FAST, 4: FAST}
    fleet.elect("a")
    fleet.run(2 * MINUTE + 5)
    shares = fleet["a"].world.shares

    assert shares[1] == pytest.approx(shares[2], rel=0.05)
    assert shares[3] == pytest.approx(shares[4], rel=0.05)
    assert shares[3] > 1.3 * shares[1]
    assert fleet["b"].weights == fleet["c"].weights == fleet["a"].weights


def test_traffic_may_begin_long_after_the_replicas() -> None:
    """Until then nobody says a word of weights: clients may have better ones."""
    fleet = Fleet(*mesh(1, 2, 3), clients=(0, 1))
    fleet["b"].answers = 0
    fleet.elect("a")
    fleet.run(MINUTE + 5)
    assert [len(each.world.pushes) for each in fleet.replicas] == [0, 0]
    fleet["b"].answers = 40
    fleet.run(MINUTE)

    assert fleet["b"].world.shares[3] > 1.5 * fleet["b"].world.shares[1]
    assert fleet["a"].weights == fleet["b"].weights


def test_a_replica_says_what_it_saw_before_each_step() -> None:
    """Once a period, in time: what is said counts in the next step."""
    fleet = learned(Fleet(*mesh(1, 2, 3), clients=(0, 1)))
    a, b = fleet["a"].world.loop, fleet["b"].world.loop
    assert a.due is not None
    assert b.due is not None
    before = fleet["a"].changes, fleet["b"].changes
    fleet.run(6 * ROUND)

    assert a.due % ROUND == 0
    assert fleet["a"].changes - before[0] == 6
    assert fleet["b"].changes - before[1] == 6
    (standing,) = a.standings(fleet.now)
    assert all(each.evidence_age == 0 for each in standing.endpoints)
    fleet.run(ROUND - fleet.now % ROUND)
    assert 0 < a.due - b.due - HASTE + 1.5 < 3


def test_another_goes_on_where_the_leader_was() -> None:
    """Whoever has no leader holds what it has; a new one begins nothing anew."""
    fleet = learned(Fleet(*mesh(1, 2, 3)))
    before = fleet["b"].weights
    fleet.kill("a")
    fleet.run(10 * MINUTE)
    assert fleet["b"].weights == before
    fleet.elect("b")
    fleet.run(MINUTE)
    shares = [each[address(3)] or 0 for each in fleet["b"].history]

    assert shares == sorted(shares)  # on and on, towards the fast server
    assert fleet["b"].weights != before


def test_a_replica_that_comes_serves_the_weights_from_its_first_answer_on() -> None:
    fleet = learned(Fleet(*mesh(1, 2, 3)))
    fleet.run(2)
    c = fleet.join("c")

    assert c.history == [fleet["a"].weights]
    assert [push.cause for push in c.world.pushes] == [Cause.LEADER]


def test_a_replica_that_comes_while_another_takes_over_has_them_too() -> None:
    """From the Lease of the one that has just stopped."""
    fleet = learned(Fleet(*mesh(1, 2, 3)))
    fleet.run(5)
    fleet.kill("a")
    c = fleet.join("c")
    fleet.elect("b")
    fleet.run(MINUTE / 2)
    fleet.bury("a")
    fleet.run(MINUTE)

    assert c.history == fleet["b"].history[-len(c.history) :]
    assert len(c.history) > 1


def test_a_leader_that_was_cut_off_follows_when_it_is_back() -> None:
    fleet = learned(Fleet(*mesh(1, 2, 3)))
    fleet["a"].is_cut_off = True
    fleet.elect(None)
    before = fleet["a"].weights
    fleet.run(MINUTE)
    fleet.elect("b")
    fleet.run(2 * MINUTE)
    assert fleet["a"].weights == before != fleet["b"].weights
    fleet["a"].is_cut_off = False
    fleet.run(MINUTE)

    assert fleet["a"].weights == fleet["b"].weights
    assert fleet["a"].team.epoch == fleet["b"].team.epoch == 2


def test_what_a_former_leader_says_late_changes_nothing() -> None:
    """It was stopped for a moment that was longer than its Lease."""
    fleet = learned(Fleet(*mesh(1, 2, 3), clients=(1, 1, 1)))
    a = fleet["a"]
    a.is_cut_off = True
    a.means = {1: FAST, 2: SLOW, 3: SLOW}
    fleet["b"].is_elected[0] = True
    fleet.run(3 * MINUTE)  # it computes for itself, wrongly
    assert a.weights != fleet["b"].weights
    histories = fleet["b"].history.copy(), fleet["c"].history.copy()
    a.is_elected[0] = a.is_cut_off = False
    fleet.run(3)

    assert (fleet["b"].history, fleet["c"].history) == histories
    assert a.weights == fleet["b"].weights == fleet["c"].weights


def test_endpoints_that_come_have_the_same_weights_everywhere_at_once() -> None:
    fleet = learned(Fleet(*mesh(1, 2, 3), clients=(1, 1)))
    fleet.apply(slice_of([f"10.0.0.{last}" for last in (1, 2, 3, 4)]))
    pushes = len(fleet["b"].world.pushes)
    a, b = fleet["a"].weights, fleet["b"].weights
    fleet.run(3)

    assert a == b == fleet["a"].weights == fleet["b"].weights
    assert address(4) in a
    assert len(fleet["b"].world.pushes) == pushes


def test_endpoints_that_come_and_go_all_the_time_keep_no_one_from_being_heard() -> None:
    fleet = learned(Fleet(*mesh(1, 2, 3), clients=(0, 1)))
    for number in range(60):
        lasts = (1, 2, 3, 4) if number % 2 else (1, 2, 3)
        fleet.apply(slice_of([f"10.0.0.{last}" for last in lasts]))
        fleet.run(2)
    (standing,) = fleet["a"].world.loop.standings(fleet.now)

    assert min(each.evidence_age or 0 for each in standing.endpoints) < 2 * ROUND


def test_who_cannot_hear_the_others_does_not_lead() -> None:
    fleet = Fleet(*mesh(1, 2, 3))
    fleet["a"].is_cut_off = True
    fleet["a"].world.loop.hear(None, fleet.now)
    fleet.elect("a")
    fleet.run(MINUTE)

    assert len(fleet["a"].history) == 1


def test_ports_beyond_the_bound_are_weighed_by_each_replica() -> None:
    """From what its own clients see; nobody waits for a leader there."""
    fleet = Fleet(*mesh(1, 2, 3), most=2)
    fleet["b"].means = {1: FAST, 2: SLOW, 3: SLOW}
    fleet.elect("a")
    fleet.run(2 * MINUTE)
    a, b = (fleet[each].world.shares for each in "ab")

    assert a[3] > 1.5 * a[1]
    assert b[1] > 1.5 * b[3]


def test_two_that_began_without_hearing_each_other_do_not_stay_apart() -> None:
    fleet = learned(Fleet(*mesh(1, 2, 3), clients=(1, 1, 1)))
    fleet["b"].means = {1: FAST, 2: SLOW, 3: SLOW}
    fleet["b"].is_cut_off = True
    fleet.elect("b")
    fleet.run(MINUTE)
    fleet.elect("c")
    fleet.run(MINUTE)
    assert fleet["b"].team.epoch == fleet["c"].team.epoch == 2
    assert fleet["b"].weights != fleet["c"].weights
    fleet["b"].is_cut_off = False
    fleet.run(5)

    assert fleet["a"].weights == fleet["b"].weights == fleet["c"].weights
    assert fleet["c"].team.epoch == 3


def test_who_heard_of_newer_weights_takes_those_of_the_next_leader() -> None:
    """Which has never heard of the one that they are from, nor anybody who was."""
    fleet = learned(Fleet(*mesh(1, 2, 3), clients=(1, 1)))
    for name in "baba":
        fleet.elect(name)
        fleet.run(5)
    fleet["b"].is_cut_off = True
    fleet.kill("a")
    for name in "ab":
        fleet.bury(name)
    fleet.join("c")
    fleet.elect("c")
    fleet.run(MINUTE)
    assert fleet["c"].team.epoch < fleet["b"].team.epoch
    fleet["b"].is_cut_off = False
    fleet.run(5)

    assert fleet["c"].team.epoch == fleet["b"].team.epoch
    assert fleet["c"].weights == fleet["b"].weights


def test_who_becomes_deaf_leads_no_more() -> None:
    fleet = learned(Fleet(*mesh(1, 2, 3)))
    fleet["a"].world.loop.hear(None, fleet.now)
    fleet["a"].world.loop.look(fleet.now)

    assert not fleet["a"].team.is_leading


def test_weights_that_clients_kept_show_wherever_these_are() -> None:
    """The leader's own clients are new, and have base weights."""
    fleet = Fleet(*mesh(1, 3), clients=(0, 0))
    fleet.elect("a")
    b = fleet["b"].world.loop
    b.keep([CLUSTER])
    loads = [seen(address(each), n, mean=4 / n) for each, n in {1: 9, 3: 90}.items()]
    for _ in range(14):
        fleet.run(INTERVAL)
        b.submit(LoadReport(node_id="b", clusters=(report(*loads),)), fleet.now)
    first = fleet["a"].world.pushes[0]

    assert first.cause is Cause.KEPT
    assert first.weights[address(3)] > 3 * first.weights[address(1)]


def part(turn: Turn, metrics: tuple[str, ...] = ()) -> Word:
    """Return what a replica says that saw something."""
    seen = Observation(now=0.0, seconds=10.0, bases={}, endpoints={})
    return Word(epoch=turn.epoch, parts={KEY: Part(turn, seen, metrics)})


def leading(*words: Mapping[str, Word]) -> Team:
    """Return a team that leads and has heard these in turn."""
    team = Team(lambda: True)
    team.hear({})
    team.look()
    for each in words:
        team.hear(each)
    return team


def test_what_a_replica_saw_counts_once_also_when_it_was_away() -> None:
    team = leading({"b": part(Turn(1, 5))})
    assert len(list(team.parts(KEY, ()))) == 1
    for gone in ({}, {"c": part(Turn(1, 5))}):
        team.hear(gone)
        team.hear({"b": part(Turn(1, 5))})

        assert not list(team.parts(KEY, ()))
    for number in range(100):
        team.hear({f"c{number}": part(Turn(1, 5))})
        assert list(team.parts(KEY, ()))
    assert len(team._used) < 20


def test_what_was_seen_in_another_epoch_or_metric_does_not_count() -> None:
    for absurd in part(Turn(0, 5)), part(Turn(1, 5), ("cpu_utilization",)):
        assert not list(leading({"b": absurd}).parts(KEY, ()))


EVENTS = st.sampled_from(
    ["lead a", "lead b", "lead c", "none", "cut a", "cut b", "cut c", "grow", "shrink"]
)


@settings(max_examples=40)
@given(st.lists(st.tuples(EVENTS, st.integers(1, 60)), max_size=12))
def test_weights_are_never_given_up_and_come_together_again(
    scenes: list[tuple[str, int]],
) -> None:
    """Whoever leads, or believes to, and whoever is cut off in between.

    Only one is elected who can be heard, as Leases have it; an old leader may believe
    that it still leads for as long as it is cut off.
    """
    fleet = learned(Fleet(*mesh(1, 2, 3), clients=(2, 1, 1)))
    for event, seconds in scenes:
        what, _, name = event.partition(" ")
        if what == "lead" and not fleet[name].is_cut_off:
            for each in fleet.replicas:
                each.is_elected[0] = each.name == name or (
                    each.is_cut_off and each.is_elected[0]
                )
        elif what == "none":
            fleet.elect(None)
        elif what == "cut":
            fleet[name].is_cut_off = not fleet[name].is_cut_off
            if not fleet[name].is_cut_off:
                fleet[name].is_elected[0] = False
        elif what in {"grow", "shrink"}:
            lasts = (1, 2, 3, 4) if what == "grow" else (1, 2, 3)
            fleet.apply(slice_of([f"10.0.0.{last}" for last in lasts]))
        fleet.run(seconds)
        for each in fleet.replicas:
            assert each.world.shares[3] > 1.3 * each.world.shares[1]
    for each in fleet.replicas:
        each.is_cut_off = False
    fleet.elect("b")
    fleet.run(MINUTE)
    fleet.run(1.5 * ROUND - fleet.now % ROUND)

    assert fleet["a"].weights == fleet["b"].weights == fleet["c"].weights
