"""What the controller does with one endpoint that differs, step by step."""

import math
from collections.abc import Callable, Mapping

import msgspec
import pytest
from msgspec.structs import replace

from tests.control.observations import PERIOD, answered, names, observation
from xds_server.control.controller import Controller, Decision, Reason
from xds_server.control.observation import EndpointSums, Observation
from xds_server.control.parameter import Parameters, Signal
from xds_server.control.state import State, Window

A, B, C, D = names(4)
USUAL = answered(1000, 20.0)
"""Two requests in progress, in a period of ten seconds."""


class Course:
    """Periods of one controller, one after the other."""

    def __init__(self, controller: Controller | None = None) -> None:
        self.controller = controller or Controller()
        self.now = 1000.0

    def go(
        self,
        endpoints: Mapping[str, EndpointSums],
        periods: int = 1,
        *,
        bases: Mapping[str, int] | None = None,
    ) -> Decision:
        """Show *endpoints* for some periods and return the last decision."""
        decisions = []
        for _ in range(periods):
            self.now += PERIOD
            shown = observation(endpoints, now=self.now, bases=bases)
            decisions.append(self.controller.step(shown))
        return decisions[-1]

    def wait(self, bases: Mapping[str, int], periods: int = 1) -> Decision:
        """Let periods pass without reports."""
        decisions = []
        for _ in range(periods):
            self.now += PERIOD
            shown = Observation(now=self.now, seconds=0, bases=bases, endpoints={})
            decisions.append(self.controller.step(shown))
        return decisions[-1]


def test_the_first_weights_are_neutral_and_pushed() -> None:
    decision = Course().go(dict.fromkeys((A, B, C), USUAL))

    assert decision.push
    assert decision.weights == {A: 1000, B: 1000, C: 1000}
    assert {each.reason for each in decision.endpoints.values()} == {Reason.HELD}


def test_who_has_less_to_do_gains_and_who_has_more_loses() -> None:
    decision = Course().go({A: answered(1000, 5.0), B: USUAL, C: answered(1000, 60.0)})

    assert decision.push
    assert decision.weights[A] > decision.weights[B] > decision.weights[C]
    assert decision.endpoints[A].reason is Reason.FASTER
    assert decision.endpoints[B].reason is Reason.HELD
    assert decision.endpoints[C].reason is Reason.SLOWER
    assert decision.endpoints[C].load == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("load", "balance", "step"),
    [
        (1e9, "least request", -0.9),
        (1e9, "in turns", -0.21),
        (1e-9, "least request", 0.21),
        (1e-9, "in turns", 0.21),
    ],
)
def test_what_a_step_does_is_bounded(load: float, balance: str, step: float) -> None:
    """However slow or fast an endpoint looks."""
    parameters = Parameters.for_period(PERIOD, in_turns=balance == "in turns")
    decision = Course(Controller(parameters)).go(
        {A: USUAL, B: USUAL, C: answered(1000, load)}
    )
    ratio = decision.endpoints[C].weight / decision.endpoints[A].weight

    assert ratio == pytest.approx(math.exp(step))


def test_what_is_pushed_stays_within_the_deadband() -> None:
    """It stands while what should be is no more than 5 % from it."""
    course = Course(Controller(Parameters(near=0, far=0)))
    course.go({A: USUAL, B: USUAL, C: answered(1000, 40.0)})
    decisions = [
        course.go({A: USUAL, B: USUAL, C: answered(1000, 22.0)}) for _ in range(10)
    ]

    assert {each.push for each in decisions} == {True, False}
    for decision in decisions:
        for name, weight in decision.weights.items():
            wanted = decision.endpoints[name].weight
            assert abs(math.log(weight / wanted)) <= (
                0.05 if not decision.push else 0.001
            )


def test_what_differs_by_little_stays_with_equal_weights() -> None:
    """Then Envoy has the better of two choices instead of a weighted schedule."""
    course = Course()
    course.go({A: USUAL, B: USUAL, C: answered(1000, 17.0)}, 1)
    decision = course.go({A: USUAL, B: USUAL, C: answered(1000, 17.0)}, 1)

    assert decision.endpoints[C].weight > 1020
    assert set(decision.weights.values()) == {1000}


def test_a_swinging_endpoint_is_moved_less_and_less() -> None:
    course = Course()
    slow, fast = answered(1000, 60.0), answered(1000, 5.0)
    gains = [
        course.go({A: USUAL, B: USUAL, C: seen}).endpoints[C].gain
        for seen in (slow, fast, slow, fast)
    ]

    assert gains == pytest.approx([0.3, 0.15, 0.075, 0.0375])


def test_who_fails_loses_its_traffic_and_gets_it_back() -> None:
    course = Course()
    course.go(dict.fromkeys((A, B, C, D), USUAL), 3)
    failing = answered(1000, 1.0, failed=1000)
    failed = course.go({A: USUAL, B: USUAL, C: USUAL, D: failing}, 6)

    assert failed.endpoints[D].reason is Reason.FAILING
    assert failed.endpoints[D].health < 0.01
    assert failed.weights[D] < failed.weights[A] / 40
    healing = course.go(dict.fromkeys((A, B, C, D), USUAL))
    assert healing.endpoints[D].reason is Reason.RECOVERING
    healed = course.go(dict.fromkeys((A, B, C, D), USUAL), 15)
    assert healed.weights[D] == 1000


def test_of_two_endpoints_the_failing_one_is_known() -> None:
    """The usual success is the upper median: that of the other one."""
    decision = Course().go({A: USUAL, B: answered(1000, 1.0, failed=1000)}, 4)

    assert decision.weights[A] > 10 * decision.weights[B]
    assert decision.endpoints[B].load is not None
    assert decision.endpoints[A].reason is not Reason.FAILING


def test_requests_that_never_end_count() -> None:
    """None of them has an answer, but they are in progress all the time."""
    hanging = EndpointSums(issued=300, least_in_progress=200.0)
    decision = Course().go({A: USUAL, B: USUAL, C: hanging}, 3)

    assert decision.endpoints[C].reason is Reason.SLOWER
    assert decision.weights[C] < 0.6 * decision.weights[A]


def test_an_endpoint_with_little_traffic_is_judged_by_its_latency() -> None:
    """Of 60 s, at the rate that its weight asks for: 30 answers are too few for 10 s.

    It is as fast as the others, so what is lost by its low weight is to be won back.
    """
    bases = dict.fromkeys((A, B, C), 1)
    controller = Controller()
    controller.adopt({A: 1000, B: 1000, C: 30}, bases)
    course = Course(controller)
    seen = {A: USUAL, B: USUAL, C: answered(30, 0.6)}
    decision = course.go(seen, 2)

    assert decision.endpoints[C].load == pytest.approx(0.13, rel=0.2)
    assert decision.endpoints[C].reason is Reason.FASTER


def test_a_new_endpoint_starts_at_the_median_at_once() -> None:
    course = Course()
    course.go({A: answered(1000, 5.0), B: USUAL, C: answered(1000, 60.0)}, 10)
    before = course.controller.reweigh(dict.fromkeys((A, B, C), 1))
    after = course.controller.reweigh(dict.fromkeys((A, B, C, D), 1))

    assert after[D] / after[B] == pytest.approx(1, rel=0.01)
    assert after[A] / after[B] == pytest.approx(before[A] / before[B], rel=0.01)
    step = course.go({A: USUAL, B: USUAL, C: USUAL, D: answered(10, 500.0)})
    assert step.endpoints[D].reason is Reason.NEW


def test_an_endpoint_that_fails_a_probe_comes_back_as_it_was() -> None:
    course = Course()
    before = course.go({A: USUAL, B: USUAL, C: answered(1000, 60.0)}, 10)
    course.go({A: USUAL, B: USUAL}, 3)
    back = course.controller.reweigh({A: 1, B: 1, C: 1})

    assert back[C] / back[A] == pytest.approx(
        before.weights[C] / before.weights[A], rel=0.01
    )
    step = course.go({A: USUAL, B: USUAL, C: USUAL})
    assert step.endpoints[C].reason is Reason.NEW


def test_all_endpoints_that_fail_their_probes_come_back_as_they_were() -> None:
    course = Course()
    before = course.go({A: answered(1000, 5.0), B: USUAL, C: USUAL}, 10)
    course.wait({}, 3)

    assert course.controller.reweigh({A: 1, B: 1, C: 1}) == before.weights


def test_an_endpoint_that_stays_away_is_forgotten() -> None:
    course = Course()
    course.go({A: USUAL, B: USUAL, C: answered(1000, 60.0)}, 10)
    course.go({A: USUAL, B: USUAL}, 37)
    back = course.controller.reweigh({A: 1, B: 1, C: 1})

    assert back == {A: 1000, B: 1000, C: 1000}
    assert not course.controller.save().absent


def test_no_more_are_remembered_than_were_there_together() -> None:
    controller = Controller()
    controller.reweigh({A: 1, B: 1})
    controller.reweigh({C: 1, D: 1})
    controller.reweigh({"10.0.0.5:80": 1, "10.0.0.6:80": 1})

    assert set(controller.save().absent) == {C, D}


def test_reweighing_the_same_endpoints_changes_nothing() -> None:
    course = Course()
    decision = course.go({A: answered(1000, 5.0), B: USUAL, C: USUAL}, 4)

    assert course.controller.reweigh({A: 1, B: 1, C: 1}) == decision.weights


def test_base_weights_count_beside_what_is_measured() -> None:
    """Twice the weight is twice the load, for as fast a server."""
    bases = {A: 1, B: 1, C: 2}
    seen = {A: USUAL, B: USUAL, C: answered(2000, 40.0)}
    decision = Course().go(seen, 4, bases=bases)

    assert decision.weights == {A: 750, B: 750, C: 1500}


def test_silence_is_held_and_then_fades() -> None:
    course = Course()
    held = course.go({A: answered(1000, 5.0), B: USUAL, C: USUAL}, 8)
    bases = dict.fromkeys((A, B, C), 1)
    quiet = course.wait(bases, 6)

    assert quiet.weights == held.weights
    assert not quiet.push
    assert quiet.endpoints[A].age == 60
    assert quiet.endpoints[A].reason is Reason.NO_EVIDENCE
    fading = course.wait(bases, 12)
    assert fading.endpoints[A].reason is Reason.FADING
    assert fading.weights[A] < held.weights[A]


@pytest.mark.parametrize("jump", [-1e9, -3.0, 0.0, 1e9, math.inf, math.nan])
def test_a_clock_that_jumps_moves_nothing(jump: float) -> None:
    """It is a minute at most, in which weights are held."""
    course = Course()
    held = course.go({A: answered(1000, 5.0), B: USUAL, C: USUAL}, 8)
    bases = dict.fromkeys((A, B, C), 1)
    jumped = Observation(now=course.now + jump, seconds=0, bases=bases, endpoints={})
    decision = course.controller.step(jumped)

    assert decision.weights == held.weights
    assert decision.endpoints[A].age <= 60


def test_a_level_is_compared_as_it_is_whatever_the_rate() -> None:
    """The mean of a utilization: half as many answers are not half of it."""
    course = Course(Controller(Parameters(signal=Signal.LEVEL)))
    decision = course.go(
        {A: answered(500, 250.0), B: answered(2000, 1000.0), C: answered(1000, 900.0)}
    )

    assert decision.endpoints[A].load == decision.endpoints[B].load == 0.5
    assert decision.endpoints[A].reason is Reason.HELD
    assert decision.endpoints[C].reason is Reason.SLOWER


def test_what_clients_do_is_adopted_with_the_first_reports() -> None:
    """After a restart they still have the weights of before."""
    seen = {A: answered(3999, 80.0), B: answered(1999, 40.0), C: answered(999, 20.0)}
    first = observation(seen)
    controller = Controller()
    controller.adopt_traffic(first)
    weights = controller.reweigh(first.bases)

    assert weights[A] / weights[B] == pytest.approx(2, rel=0.01)
    assert weights[B] / weights[C] == pytest.approx(2, rel=0.01)


def test_weights_of_another_are_adopted_whatever_they_are() -> None:
    bases = {A: 1, B: 1, C: 2, D: 1}
    controller = Controller()
    controller.adopt({A: 2000, B: 1000, C: 2000, D: math.nan, "gone": 5}, bases)
    weights = controller.reweigh(bases)

    assert weights[A] / weights[B] == pytest.approx(2, rel=0.01)
    assert weights[C] / weights[B] == pytest.approx(2, rel=0.01)
    assert weights[D] == weights[B]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: replace(state, pushed={A: 0}),
        lambda state: replace(state, pushed={A: 10**400}),
        lambda state: replace(state, pushed={"gone": 5}),
        lambda state: replace(state, bases={}),
        lambda state: replace(state, now=math.inf),
        lambda state: _with_log_weight(state, 100.0),
        lambda state: _with_log_weight(state, math.nan),
        lambda state: _with_short_memory(state, Window(answers=1e308)),
        lambda state: _with_sign(state, 10**30),
    ],
)
def test_a_spoilt_state_is_refused(spoil: Callable[[State], State]) -> None:
    course = Course()
    course.go(dict.fromkeys((A, B), USUAL))

    with pytest.raises(ValueError, match=r"."):
        Controller().restore(spoil(course.controller.save()))


def test_what_is_saved_can_be_read_again() -> None:
    course = Course()
    course.go({A: answered(1000, 5.0), B: USUAL}, 3)
    saved = course.controller.save()

    assert msgspec.json.decode(msgspec.json.encode(saved), type=State) == saved
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(saved), type=State) == saved


def _with_short_memory(state: State, short: Window) -> State:
    spoilt = replace(state.endpoints[A], short=short)
    return replace(state, endpoints={**state.endpoints, A: spoilt})


def _with_log_weight(state: State, log_weight: float) -> State:
    spoilt = replace(state.endpoints[A], log_weight=log_weight)
    return replace(state, endpoints={**state.endpoints, A: spoilt})


def _with_sign(state: State, sign: int) -> State:
    spoilt = replace(state.endpoints[A], sign=sign)
    return replace(state, endpoints={**state.endpoints, A: spoilt})
