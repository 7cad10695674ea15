"""Reports of sidecars become the weights of endpoints, port by port."""

import pytest

from tests.control.mesh import (
    CLUSTER,
    FAST,
    INTERVAL,
    PERIOD,
    UNEQUAL,
    WEB,
    World,
    address,
    measured,
    mesh,
    report,
)
from tests.mesh.documents import policy, service, slice_of
from xds_server.api.kubernetes import EndpointPort, ServicePort
from xds_server.api.policy import PerformanceBalance
from xds_server.control import loop as module
from xds_server.control.audit import Dropped
from xds_server.control.controller import Reason
from xds_server.control.demand import Demand
from xds_server.control.parameter import Parameters
from xds_server.control.standing import Cause


def test_the_faster_server_gets_more() -> None:
    world = World(*mesh(1, 2, 3))
    world.learn()

    assert world.shares[3] > 1.5 * world.shares[1]
    assert world.shares[1] == pytest.approx(world.shares[2], rel=0.01)


def test_of_equal_servers_is_said_once_that_they_are() -> None:
    world = World(*mesh(1, 2, 3))
    for _ in range(4):
        world.period(dict.fromkeys((1, 2, 3), FAST))

    assert len(set(world.weights.values())) == 1
    assert [push.cause for push in world.pushes] == [Cause.REPORTS]


def test_nothing_is_said_before_there_were_requests() -> None:
    """Clients have base weights, or those of a server before this one."""
    world = World(*mesh(1, 2, 3))
    world.period({1: FAST, 2: FAST}, answers=0)
    world.apply(slice_of(["10.0.0.1", "10.0.0.2"]))

    assert awaits_weights(world)
    assert world.weights == {address(1): 1, address(2): 1}
    assert world.pushes == []
    assert world.loop.save() == {}

    world.period({1: FAST, 2: FAST})

    assert not awaits_weights(world)
    assert len(world.pushes) == len(world.loop.save()) == 1


def test_what_clients_kept_is_where_a_loop_without_a_past_begins() -> None:
    """It shows in what they send to whom."""
    world = World(*mesh(1, 2, 3))
    world.loop.keep([CLUSTER, "shop/other/80"])
    world.period_of({1: 40, 2: 40, 3: 160})

    assert world.pushes[0].cause is Cause.KEPT
    assert world.shares[3] == pytest.approx(4 / 6, rel=0.01)

    world.period_of({1: 40, 2: 40, 3: 160})

    assert world.shares[3] == pytest.approx(4 / 6, rel=0.01)


@pytest.mark.parametrize(("kept", "requests"), [((), 160), ((CLUSTER,), 4)])
def test_traffic_is_no_reason_for_weights_where_it_tells_nothing(
    kept: tuple[str, ...], requests: int
) -> None:
    """Nobody had weights that it could show, or there is too little of it."""
    world = World(*mesh(1, 2, 3))
    world.loop.keep(kept)
    world.period_of({1: requests // 4, 2: requests // 4, 3: requests})

    assert len(set(world.weights.values())) == 1


def test_what_was_saved_is_known_better_than_by_traffic() -> None:
    one = World(*mesh(1, 2, 3))
    one.learn()
    two = World(*mesh(1, 2, 3), saved=one.loop.save())
    assert not awaits_weights(two)
    two.loop.keep([CLUSTER])
    two.period_of({1: 160, 2: 40, 3: 40})

    assert two.shares[3] > two.shares[1]


def awaits_weights(world: World) -> bool:
    (upstream,) = world.index.services[WEB].upstreams
    return upstream.awaits_weights


def test_a_step_is_taken_once_a_period() -> None:
    world = World(*mesh(1, 2, 3))
    world.learn()
    start = world.now
    for passed in (2, 4, 6, 8, 9.9):
        world.now = start + passed
        world.loop.submit(report(UNEQUAL), world.now)

        assert world.tick() == ()

    assert world.loop.due == start + PERIOD

    world.now = start + PERIOD
    (event,) = world.tick()

    assert event.service == WEB
    assert event.port == 80
    assert world.loop.due == start + 2 * PERIOD


def test_a_late_step_does_not_move_the_next_one() -> None:
    world = World(*mesh(1, 2, 3))
    world.now += PERIOD + 3
    world.tick()

    assert world.loop.due == 1000.0 + 2 * PERIOD

    world.now += 1000
    world.tick()

    assert world.loop.due == world.now + PERIOD


def test_a_period_is_never_shorter_than_two_reports() -> None:
    world = World(*mesh(1, 2, 3, load_balancer=measured(seconds=1)))

    assert world.loop.due == 1000.0 + 2 * INTERVAL


def test_a_period_becomes_longer_where_clients_report_less_often() -> None:
    world = World(*mesh(1, 2, 3))
    world.interval = 8.0
    world.now += PERIOD
    world.tick()

    assert world.loop.due == world.now + 16


@pytest.mark.parametrize(
    ("period", "interval"), [(10, 2), (6, 2), (3, 1), (1, 0.5), (3600, 2)]
)
def test_reports_are_wanted_several_times_in_the_shortest_period(
    period: float, interval: float
) -> None:
    world = World(*mesh(1, 2, 3, load_balancer=measured(seconds=period)))

    assert world.loop.demand == Demand(clusters=frozenset([CLUSTER]), interval=interval)

    world.delete(service())

    assert world.loop.demand == Demand(clusters=frozenset(), interval=2)


def test_a_new_endpoint_is_pushed_at_once_at_the_median() -> None:
    world = World(*mesh(1, 2, 3))
    world.learn()
    before = world.weights
    world.apply(slice_of([f"10.0.0.{last}" for last in (1, 2, 3, 4)]))

    assert world.pushes[-1].cause is Cause.ENDPOINTS
    assert world.shares[4] == pytest.approx(world.shares[1], rel=0.01)
    assert world.weights[address(3)] != world.weights[address(1)]
    ratio = (before[address(3)] or 0) / (before[address(1)] or 1)
    assert world.shares[3] / world.shares[1] == pytest.approx(ratio, rel=0.01)


def test_an_endpoint_that_went_comes_back_as_it_was() -> None:
    world = World(*mesh(1, 2, 3))
    world.learn()
    before = world.weights
    world.apply(slice_of(["10.0.0.1", "10.0.0.2"]))
    assert world.weights.keys() == {address(1), address(2)}
    world.apply(slice_of([f"10.0.0.{last}" for last in (1, 2, 3)]))

    assert world.weights == before


def test_what_does_not_concern_endpoints_pushes_nothing() -> None:
    world = World(*mesh(1, 2, 3))
    before = len(world.pushes)
    world.apply(service(annotations={"note": "nothing"}))

    assert len(world.pushes) == before


@pytest.mark.parametrize("what", ["service", "policy"])
def test_a_port_that_is_weighed_no_more_takes_its_loop_along(what: str) -> None:
    documents = mesh(1, 2, 3)
    world = World(*documents)
    world.learn()
    gone = documents[0] if what == "service" else documents[2]
    world.delete(gone)

    assert world.loop.demand.clusters == frozenset()
    assert world.loop.due is None
    assert world.loop.save() == {}

    world.apply(gone)

    assert len(set(world.weights.values())) == 1


def test_only_ports_whose_policy_says_so_are_weighed() -> None:
    world = World(
        *mesh(1, 2), service("api"), slice_of(["10.0.0.9"], name="api-1", service="api")
    )

    assert world.loop.demand.clusters == {CLUSTER}


def test_reports_on_other_clusters_are_dropped_and_counted() -> None:
    world = World(*mesh(1, 2, 3))
    world.loop.submit(report(UNEQUAL, cluster="shop/api/80"), world.now)

    assert world.loop.dropped == {Dropped.UNKNOWN_CLUSTER: 1}
    assert world.loop.reports == 1


def test_a_variant_alone_that_is_weighed_gives_the_bases() -> None:
    plain, selected = (
        policy("plain"),
        policy("selected", load_balancer=measured(), clients={"app": "batch"}),
    )
    world = World(*mesh(1, 2, 3)[:2], plain, selected)
    world.learn()
    (upstream,) = world.index.services[WEB].upstreams
    (variant,) = upstream.variants

    assert {each.weight for each in upstream.endpoints} == {None}
    weights = {each.authority: each.weight or 0 for each in variant.upstream.endpoints}
    assert weights[address(3)] > weights[address(1)]


def test_another_period_goes_on_from_the_same_weights() -> None:
    world = World(*mesh(1, 2, 3))
    world.learn()
    before = world.weights
    world.apply(policy(load_balancer=measured(seconds=5)))

    assert world.weights == before
    assert world.loop.due == world.now + 5


def test_another_metric_goes_on_from_the_same_shares_without_the_old_sums() -> None:
    world = World(*mesh(1, 2, 3))
    world.learn()
    before = world.shares
    world.apply(policy(load_balancer=measured(metrics=["cpu_utilization"])))
    world.period(UNEQUAL)

    assert world.shares == pytest.approx(before, rel=0.01)


def test_the_next_process_goes_on_from_what_was_saved() -> None:
    """The same weights, so clients have nothing to be told; then the same steps."""
    one = World(*mesh(1, 2, 3))
    one.learn()
    two = World(*mesh(1, 2, 3), saved=one.loop.save())

    assert two.weights == one.weights
    assert [push.cause for push in two.pushes] == [Cause.SAVED]

    one.period(UNEQUAL)
    two.now = one.now - PERIOD
    two.period(UNEQUAL)

    assert two.weights == one.weights


def test_endpoints_that_are_new_since_the_restart_begin_at_the_median() -> None:
    one = World(*mesh(1, 2, 3))
    one.learn()
    two = World(*mesh(1, 3, 4, 5), saved=one.loop.save())

    assert two.shares[3] > 1.5 * two.shares[1]
    assert two.weights.keys() == {address(last) for last in (1, 3, 4, 5)}


def test_what_was_saved_of_ports_that_are_gone_is_forgotten() -> None:
    one = World(*mesh(1, 2, 3))
    one.learn()
    two = World(saved=one.loop.save())
    two.loop.settle()
    two.apply(*mesh(1, 2, 3))

    assert len(set(two.weights.values())) == 1


def test_how_a_port_stands_is_told() -> None:
    world = World(*mesh(1, 2, 3))
    world.learn()
    world.now += 1
    (standing,) = world.loop.standings(world.now)
    fast = standing.endpoints[2]

    assert (standing.namespace, standing.service, standing.port) == (*WEB, 80)
    assert standing.reporters == 1
    assert standing.report_age == standing.push_age == 1
    assert standing.pushes == len(world.pushes)
    assert fast.address == address(3)
    assert fast.rate == pytest.approx(5 * 40 / PERIOD)
    assert fast.latency == pytest.approx(FAST)
    assert fast.load == pytest.approx(FAST * 5 * 40 / PERIOD)
    assert fast.reason is Reason.FASTER
    assert fast.weight == world.weights[fast.address]
    assert world.pushes[-1].reasons[fast.address] is Reason.FASTER


def test_before_the_first_step_there_is_nothing_to_tell_but_weights() -> None:
    world = World(*mesh(1, 2))
    (standing,) = world.loop.standings(world.now)

    assert standing.report_age is None
    assert {each.reason for each in standing.endpoints} == {None}
    assert {each.share for each in standing.endpoints} == {0.5}


def test_memories_are_those_of_the_period_that_is_kept() -> None:
    """Where reports come seldom, what is remembered has to last as much longer."""
    world = World(*mesh(1, 2, 3, load_balancer=measured(seconds=4)))
    world.learn()
    before = world.weights
    world.interval = 20.0
    world.now += PERIOD
    world.take(world.tick())
    (standing,) = world.loop.standings(world.now)

    assert standing.period == 40
    assert world.weights == before
    (loop,) = (each.loop for each in world.loop._members.values())
    assert loop._controller._parameters == Parameters.for_period(40)


def test_what_balances_by_the_weights_may_become_another() -> None:
    """With round robin an endpoint never loses as fast as with least request."""
    world = World(*mesh(1, 2, 3))
    world.learn()
    before = world.weights
    world.apply(policy(load_balancer=measured(balance=PerformanceBalance.ROUND_ROBIN)))

    assert world.weights == before
    (loop,) = (each.loop for each in world.loop._members.values())
    expected = Parameters.for_period(PERIOD, in_turns=True)
    assert loop._controller._parameters == expected


def test_of_many_steps_that_are_due_some_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a turn of the event loop each, and none for ever."""
    monkeypatch.setattr(module, "MOST_AT_ONCE", 1)
    ports = [ServicePort(name=f"http-{port}", port=port) for port in (80, 81)]
    served = [EndpointPort(name=each.name, port=8080) for each in ports]
    world = World(
        service(ports=ports),
        slice_of(["10.0.0.1", "10.0.0.2"], ports=served),
        policy(load_balancer=measured()),
    )
    world.now += PERIOD
    due = [world.loop.due]
    for _ in range(2):
        world.tick()
        due.append(world.loop.due)

    assert due == [world.now, world.now, world.now + PERIOD]
