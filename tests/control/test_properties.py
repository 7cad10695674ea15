"""What holds of the controller whatever it is shown."""

import math
from dataclasses import replace
from random import Random

import msgspec
from hypothesis import assume, given, settings, strategies as st

from tests.control.observations import (
    PERIOD,
    History,
    absurd_histories,
    answered,
    histories,
    names,
    observation,
    randoms,
    run,
    sums,
)
from xds_server.control.controller import Controller, Decision
from xds_server.control.evidence import Load, compare
from xds_server.control.health import error_factor
from xds_server.control.observation import EndpointSums, Observation
from xds_server.control.parameter import Parameters, Signal
from xds_server.control.state import State, Window

PARAMETERS = Parameters()


def _shares(decision: Decision) -> dict[str, float]:
    total = math.fsum(each.weight for each in decision.endpoints.values())
    return {name: each.weight / total for name, each in decision.endpoints.items()}


@given(absurd_histories(), st.sampled_from(Signal))
def test_any_input_gives_finite_and_positive_weights(
    history: History, signal: Signal
) -> None:
    controller = Controller(Parameters(signal=signal))
    for period in history:
        decision = controller.step(period)

        assert decision.weights.keys() == period.bases.keys()
        assert all(1 <= weight < 2**32 for weight in decision.weights.values())
        for standing in decision.endpoints.values():
            assert 0 < standing.weight < math.inf
            assert 0 <= standing.health <= 1
            assert 0 <= standing.age < math.inf

    Controller().restore(controller.save())  # which refuses what is not sound


@given(absurd_histories(), absurd_histories())
def test_any_change_of_endpoints_gives_finite_and_positive_weights(
    history: History, others: History
) -> None:
    controller = Controller()
    run(controller, history)
    for other in others:
        weights = controller.reweigh(other.bases)

        assert weights.keys() == other.bases.keys()
        assert all(weight >= 1 for weight in weights.values())


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_endpoints_is_nothing(history: History, random: Random) -> None:
    mixed = [_reorder(period, random) for period in history]

    expected = run(Controller(), history).weights
    assert expected == run(Controller(), mixed).weights


def _reorder(period: Observation, random: Random) -> Observation:
    there = list(period.bases)
    random.shuffle(there)
    return replace(
        period,
        bases={name: period.bases[name] for name in there},
        endpoints={name: period.endpoints[name] for name in there},
    )


@given(histories(), st.data())
def test_more_load_is_never_a_larger_share(
    history: History, data: st.DataObject
) -> None:
    """The others are never worse off for it, either."""
    *_, last = history
    name = data.draw(st.sampled_from(sorted(last.bases)))
    seen = last.endpoints[name]
    factor = data.draw(st.floats(1, 100))
    more = replace(seen, load=seen.load * factor)
    heavier = replace(last, endpoints={**last.endpoints, name: more})

    before = _shares(run(Controller(), history))[name]
    after = _shares(run(Controller(), [*history[:-1], heavier]))[name]
    assert after <= before * (1 + 1e-9)


@given(st.integers(1, 6), randoms())
def test_equal_endpoints_keep_equal_weights(count: int, random: Random) -> None:
    decision = run(
        Controller(),
        [
            observation(dict.fromkeys(names(count), sums(random)), now=PERIOD * number)
            for number in range(6)
        ],
    )

    assert set(decision.weights.values()) == {1000}


@given(histories(), st.integers(-10, 10))
def test_a_mesh_of_another_speed_has_the_same_weights(
    history: History, power: int
) -> None:
    """Times that are all longer by a factor, with as many answers."""

    def slower(seen: EndpointSums) -> EndpointSums:
        return replace(seen, load=seen.load * 2.0**power, least_in_progress=None)

    def alike(seen: EndpointSums) -> EndpointSums:
        return replace(seen, least_in_progress=None)

    scaled, plain = (
        [
            replace(p, endpoints={n: change(e) for n, e in p.endpoints.items()})
            for p in history
        ]
        for change in (slower, alike)
    )

    assert run(Controller(), scaled).weights == run(Controller(), plain).weights


@given(histories())
def test_quicker_steps_are_the_same_steps(history: History) -> None:
    """An eighth of the time, and as many answers in it."""
    quick = Controller(Parameters.for_period(PERIOD / 8))
    usual = Controller(Parameters.for_period(PERIOD))
    for period in history:
        short = replace(
            period,
            now=period.now / 8,
            seconds=period.seconds / 8,
            endpoints={
                name: replace(seen, load=seen.load / 8)
                for name, seen in period.endpoints.items()
            },
        )

        assert quick.step(short).weights == usual.step(period).weights


@given(histories(length=1, most=19))
def test_too_few_answers_are_no_reason_to_push(history: History) -> None:
    """Fewer than 20 of each endpoint in all, and nothing for a minute."""
    (first,) = history
    controller = Controller()
    base = controller.reweigh(first.bases)
    assert controller.step(first).weights == base
    for number in range(1, 7):
        quiet = replace(
            first,
            now=PERIOD * number,
            endpoints=dict.fromkeys(first.bases, EndpointSums()),
        )
        decision = controller.step(quiet)

        assert not decision.push
        assert decision.weights == base


@settings(max_examples=15)
@given(histories())
def test_without_reports_weights_stay_for_a_minute_and_then_fade(
    history: History,
) -> None:
    """After half an hour they are within 2 % of what the policy says."""
    assume(len(history[-1].bases) > 1)
    bases = history[-1].bases
    now = history[-1].now + PERIOD
    known = dict.fromkeys(bases, answered(100, 7.0))
    controller = Controller()
    held = run(controller, [*history, observation(known, now=now, bases=bases)])
    silence = [
        Observation(now=now + PERIOD * n, seconds=0, bases=bases, endpoints={})
        for n in range(1, 181)
    ]
    for period in silence[:6]:
        decision = controller.step(period)

        assert not decision.push
        assert decision.weights == held.weights
    neutral = run(controller, silence[6:])
    total = sum(bases.values())
    for name, share in _shares(neutral).items():
        assert math.isclose(share, bases[name] / total, rel_tol=0.02)


@given(
    st.integers(0, 5000),
    st.integers(0, 5000),
    st.integers(0, 5000),
    st.floats(0, 1),
)
def test_more_errors_never_leave_more(
    total: int, failed: int, more: int, fleet: float
) -> None:
    few, many = sorted((min(failed, total), min(more, total)))
    left, less = (
        error_factor(Window(succeeded=total - bad, failed=bad), fleet, PARAMETERS)
        for bad in (few, many)
    )

    assert 0 <= less <= left <= 1


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e6), st.floats(20, 1e6))))
def test_a_failing_endpoint_never_gains(
    endpoints: list[tuple[float, float, float]],
) -> None:
    """However little it has in progress: who fails fast has nothing."""
    there = names(len(endpoints))
    health = {n: factor for n, (factor, _, _) in zip(there, endpoints, strict=True)}
    loads = {
        name: Load(value=value, answers=answers)
        for name, (_, value, answers) in zip(there, endpoints, strict=True)
    }
    errors = compare(loads, health, PARAMETERS)

    assert errors.keys() == (loads.keys() if len(loads) > 1 else set())
    most_loss, most_gain = PARAMETERS.most_loss, PARAMETERS.most_gain
    assert all(-most_loss <= error <= most_gain for error in errors.values())
    failing = [name for name in errors if health[name] < PARAMETERS.failing_below]
    assert all(errors[name] <= 0 for name in failing)


@given(histories(length=8))
def test_errors_take_at_most_half_of_the_weight_away(
    history: History,
) -> None:
    controller = Controller()
    decision = run(controller, history)
    state = controller.save()
    full = {
        name: math.exp(each.log_weight) * state.bases[name]
        for name, each in state.endpoints.items()
    }
    left = math.fsum(full[n] * each.health for n, each in decision.endpoints.items())

    assert left >= 0.5 * math.fsum(full.values()) * (1 - 1e-9)


@given(st.integers(1, 7), st.integers(20, 5000), st.floats(0, 0.5))
def test_where_all_fail_nobody_is_to_blame(
    count: int, answers: int, success: float
) -> None:
    failing = answered(answers, answers * 0.01, failed=round(answers * (1 - success)))
    assume(failing.failed >= answers / 2)
    decision = run(Controller(), [observation(dict.fromkeys(names(count), failing))])

    assert {each.health for each in decision.endpoints.values()} == {1.0}


@given(histories(length=8), st.integers(0, 8))
def test_saved_and_restored_it_goes_on_as_if_nothing_had_been(
    history: History, cut: int
) -> None:
    there = Controller()
    for period in history[:cut]:
        there.step(period)
    encoded = msgspec.json.encode(there.save())
    restored = Controller()
    restored.restore(msgspec.json.decode(encoded, type=State))

    assert restored.save() == there.save()
    for period in history[cut:]:
        assert restored.step(period) == there.step(period)
