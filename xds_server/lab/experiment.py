"""How each algorithm is put to the test.

One upstream on the rig in; what was promised, what was measured, and the checks out.

Sample sizes: with 2,000 independent draws over 4 endpoints, a chi-square test at
`verdict.ALPHA` finds shares that are 17 % off (root mean square) in 999 of 1,000 runs;
round robin in place of random draws is 20 standard deviations off in its neighbours.
What is exact needs no more than a few rounds. Hashes are in `hash_experiment`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from xds_server.api.policy import (
    LeastRequest,
    LoadBalancerType,
    PerformanceBased,
    PerformanceSource,
    Selection,
    Weighted,
)
from xds_server.lab import theory, verdict
from xds_server.lab.hash_experiment import measure_hash
from xds_server.lab.health_experiment import add_health
from xds_server.lab.loop_experiment import measure_loop
from xds_server.lab.slow_start import measure_slow_start
from xds_server.lab.subject import Measurement, Subject, UnmeasurableError
from xds_server.lab.traffic import Request, hold
from xds_server.mesh.model import Section

EXACT_REQUESTS: Final = 400
RANDOM_REQUESTS: Final = 2_000
BUSY_REQUESTS: Final = 1_200
REPORTED_REQUESTS: Final = 1_000
_LARGEST_PERIOD: Final = 5_000
_HELD: Final = 5
_REPORT_SLACK: Final = 0.06
"""Of the requests. Envoy begins a new schedule with each update of weights, at a random
place: some 10 updates come in a sample, and on a busy machine ten times as many."""
_REPORTED_RATE: Final = 100.0
_LEAST_UTILIZATION, _MOST_UTILIZATION = 0.1, 0.9
_WARM_UP: Final = 50
_NEAR: Final = 0.2
"""Of the requests that warm up: so much off a share is still near it."""
_LATE: Final = 20.0
"""Seconds that reports may be late."""
_MEASURED: Final = {Section.LOAD_BALANCER, Section.HEALTH_CHECK}
"""Others have nothing to act on here: nothing fails, and one request is at a time."""


Experiment = Callable[[Subject], Awaitable[Measurement]]


async def measure(subject: Subject) -> Measurement:
    """Put the policy of *subject* to the test.

    Raises `UnmeasurableError` where there is no test, `LabError` where Envoy does not
    answer as it should.
    """
    if not subject.eligible:
        message = "there is no endpoint"
        if subject.weights:
            message = "nothing to expect: all endpoints drain or have weight 0"
        raise UnmeasurableError(message)
    measurement = await _EXPERIMENTS[subject.load_balancer.type](subject)
    sections = subject.stand.upstream.sections
    if sections.health_check is not None:
        measurement = await add_health(subject, measurement, sections.health_check)
    unmeasured = [each for each in sections.present if each not in _MEASURED]
    if not unmeasured:
        return measurement
    promise = f"{measurement.promise}; not measured: {', '.join(unmeasured)}"
    return replace(measurement, promise=promise)


async def _measure_rotation(subject: Subject) -> Measurement:
    """Equal endpoints in turn: exact when one request is in flight."""
    endpoints = subject.eligible
    if subject.load_balancer.slow_start is not None:
        return await measure_slow_start(subject, subject.load_balancer.slow_start)
    wanted = subject.requests or EXACT_REQUESTS
    sequence = await subject.send_plain(_whole(wanted, len(endpoints)))
    counts = verdict.count(sequence, len(subject.weights))
    shares = theory.shares_of([min(weight, 1) for weight in subject.weights])
    check = (
        verdict.check_rotation(sequence, endpoints)
        if subject.concurrency == 1
        else verdict.check_counts(counts, shares, subject.concurrency)
    )
    return Measurement(
        promise="1/n each, in turn",
        expected=shares,
        counts=counts,
        checks=(check,),
    )


async def _measure_random(subject: Subject) -> Measurement:
    """Independent draws with equal chances."""
    shares = theory.shares_of([min(weight, 1) for weight in subject.weights])
    return await _measure_draws(subject, shares, "1/n each, by chance")


async def _measure_weighted(subject: Subject) -> Measurement:
    """Draws by weight, or weighted turns: exact when one request is in flight."""
    weights = subject.weights
    shares = theory.shares_of(weights)
    weighted = subject.load_balancer.weighted or Weighted()
    if weighted.selection is Selection.RANDOM:
        return await _measure_draws(subject, shares, "w/sum(w) each, by chance")
    if subject.load_balancer.slow_start is not None:
        return await measure_slow_start(subject, subject.load_balancer.slow_start)
    return await _measure_turns(subject, weights, "w/sum(w) each, in turn")


async def _measure_draws(
    subject: Subject, shares: tuple[float, ...], promise: str
) -> Measurement:
    sequence = await subject.send_plain(subject.requests or RANDOM_REQUESTS)
    counts = verdict.count(sequence, len(shares))
    checks = [verdict.check_chi_square(counts, shares)]
    if subject.concurrency == 1:
        checks.append(verdict.check_neighbours(sequence, shares))
    return Measurement(
        promise=promise, expected=shares, counts=counts, checks=tuple(checks)
    )


async def _measure_turns(
    subject: Subject, weights: tuple[int, ...], promise: str
) -> Measurement:
    """Weighted turns. A period too long to be sent is judged by its counts."""
    shares = theory.shares_of(weights)
    period = sum(weights)
    wanted = subject.requests or EXACT_REQUESTS
    whole = period <= max(wanted, _LARGEST_PERIOD)
    number = _whole(max(wanted, 2 * period), period) if whole else wanted
    sequence = await subject.send_plain(number)
    counts = verdict.count(sequence, len(weights))
    check = (
        verdict.check_windows(sequence, weights)
        if whole and subject.concurrency == 1
        else verdict.check_counts(
            counts, shares, subject.concurrency + (0 if whole else len(weights))
        )
    )
    return Measurement(promise=promise, expected=shares, counts=counts, checks=(check,))


async def _measure_least_request(subject: Subject) -> Measurement:
    """Keep one endpoint busy with requests that do not end, and see who gets more."""
    least_request = subject.load_balancer.least_request or LeastRequest()
    eligible = subject.eligible
    busy = eligible[0]
    held = [Request()] * (subject.concurrency + _HELD)
    if len(eligible) == 1:
        return await _measure_rotation(subject)
    await subject.keep({busy})
    async with hold(subject.stand.target, held) as holders:
        await subject.keep(None)
        await subject.settle()
        if set(subject.positions(holders)) != {busy}:
            message = "requests in flight are not where they were sent"
            raise UnmeasurableError(message)
        number = subject.requests or BUSY_REQUESTS
        sequence = await subject.send_plain(number)
    counts = verdict.count(sequence, len(subject.weights))
    if theory.is_scheduled(subject.load_balancer, subject.weights):
        return _judge_schedule(subject, least_request, busy, counts)
    return _judge_choices(subject, least_request, busy, counts)


def _judge_schedule(
    subject: Subject,
    least_request: LeastRequest,
    busy: int,
    counts: tuple[int, ...],
) -> Measurement:
    """Unequal weights: turns by weights that requests in flight reduce."""
    held = subject.concurrency + _HELD
    active = [held if i == busy else 0 for i in range(len(subject.weights))]
    bias = least_request.active_request_bias
    shares = theory.shares_of(theory.loaded_weights(subject.weights, active, bias))
    in_flight = subject.concurrency - 1
    slack = len(subject.eligible) + in_flight * math.ceil(sum(counts) / 10)
    if subject.load_balancer.slow_start is not None:
        slack += theory.rounds_behind(subject.load_balancer.slow_start)
    return Measurement(
        promise=f"w/(active+1)^bias each; endpoint {busy + 1} has {held} in flight",
        expected=shares,
        counts=counts,
        checks=(verdict.check_counts(counts, shares, slack),),
    )


def _judge_choices(
    subject: Subject,
    least_request: LeastRequest,
    busy: int,
    counts: tuple[int, ...],
) -> Measurement:
    """Equal weights: the least busy of a few random choices."""
    endpoints, total = len(subject.eligible), sum(counts)
    share = theory.busy_share(least_request, endpoints)
    idle = (1 - share) / (endpoints - 1)
    shares = tuple(
        share if i == busy else idle if weight else 0.0
        for i, weight in enumerate(subject.weights)
    )
    others = [i for i in range(len(counts)) if i != busy]
    checks = [verdict.check_busy(counts[busy], total, share, 1 / endpoints)]
    if endpoints > 2:  # noqa: PLR2004 - of two, one is left, and gets the rest
        idle_counts = [counts[i] for i in others]
        equal = theory.shares_of([shares[i] for i in others])
        checks.append(verdict.check_chi_square(idle_counts, equal))
    return Measurement(
        promise=f"(1/n)^choices for endpoint {busy + 1}, which is busy; others equal",
        expected=shares,
        counts=counts,
        checks=tuple(checks),
    )


async def _measure_reports(subject: Subject) -> Measurement:
    """Let each endpoint report how busy it is, and see who gets more."""
    performance = subject.load_balancer.performance_based or PerformanceBased()
    if performance.source is PerformanceSource.CONTROL_PLANE:
        return await measure_loop(subject)
    backends, count = subject.stand.backends, len(subject.stand.backends)
    step = (_MOST_UTILIZATION - _LEAST_UTILIZATION) / max(count - 1, 1)
    utilizations = [_LEAST_UTILIZATION + step * i for i in range(count)]
    for backend, utilization in zip(backends, utilizations, strict=True):
        backend.load = dict.fromkeys(performance.metrics, utilization)
        backend.load |= {"rps_fractional": _REPORTED_RATE}
    parts = [
        1 / utilization if weight else 0.0
        for utilization, weight in zip(utilizations, subject.weights, strict=True)
    ]
    shares = theory.shares_of(parts)
    await _warm_up(subject, performance, shares)
    sequence = await subject.send_plain(subject.requests or REPORTED_REQUESTS)
    for backend in backends:
        backend.load = {}
    counts = verdict.count(sequence, count)
    slack = max(_REPORT_SLACK * len(sequence), 2 * count)
    reported = "/".join(f"{utilization:.2g}" for utilization in utilizations)
    return Measurement(
        promise=f"p/sum(p), p = rate/utilization; reported {reported}",
        expected=shares,
        counts=counts,
        checks=(verdict.check_counts(counts, shares, slack),),
    )


async def _warm_up(
    subject: Subject, performance: PerformanceBased, shares: Sequence[float]
) -> None:
    """Send requests until Envoy uses the reports: blackout and two updates.

    Out of band the blackout begins with a report, and ends with one; on a busy machine
    these are late, so some time is given for the *shares* to come near.
    """
    await subject.settle()
    wait = performance.blackout_period + 2 * performance.update_period
    if performance.source is PerformanceSource.ORCA_OUT_OF_BAND:
        wait += 4 * performance.report_period
    loop = asyncio.get_running_loop()
    end = loop.time() + wait.total_seconds()
    while (now := loop.time()) < end + _LATE:
        counts = verdict.count(await subject.send_plain(_WARM_UP), len(shares))
        if now >= end and verdict.check_counts(counts, shares, _NEAR * _WARM_UP).holds:
            return


def _whole(number: int, period: int) -> int:
    """Return *number*, rounded up to whole periods."""
    return math.ceil(number / period) * period


_EXPERIMENTS: Final[dict[LoadBalancerType, Experiment]] = {
    LoadBalancerType.ROUND_ROBIN: _measure_rotation,
    LoadBalancerType.RANDOM: _measure_random,
    LoadBalancerType.WEIGHTED: _measure_weighted,
    LoadBalancerType.LEAST_REQUEST: _measure_least_request,
    LoadBalancerType.RING_HASH: measure_hash,
    LoadBalancerType.MAGLEV: measure_hash,
    LoadBalancerType.IP_HASH: measure_hash,
    LoadBalancerType.PERFORMANCE_BASED: _measure_reports,
}
