"""How weights that the control plane computes are put to the test.

A policy in; shares and latencies beside those of turns and of least request, from the
same time, out. The servers are no Pods whose CPU somebody measures: a policy that goes
by it is measured as if it went by time. Whoever computes weights of what servers can do
needs servers that differ, and a load that lets them feel it: the endpoints of the rig
are all alike, so the policy gets a contest of its own.

Speeds are 1, 1, 2, 4 and again; what is asked for is 60 % of what all can do. The
shares come out at p/sum(p), p the speed, as far as the way to a server, which takes the
same time for all, does not count.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from xds_server.api.policy import PerformanceBalance, PerformanceBased
from xds_server.lab import theory, verdict
from xds_server.lab.contest import Contender, Server, Stretch, run_contest
from xds_server.lab.subject import Measurement, Subject, UnmeasurableError

_SPEEDS: Final = (1, 1, 2, 4)
_WORKERS: Final = 6
_RATE: Final = 150.0
"""Requests a second."""
_UTILIZATION: Final = 0.6
_PERIOD: Final = timedelta(seconds=2)
_SETTLING: Final = 10
"""Periods until the weights are there: a step makes up for 30 % of what is left."""
_MEASURED: Final = 12.0
"""Seconds."""
_LEAST, _MOST = 2, 8
"""Endpoints in the contest: more would have to share the processors of this machine."""
OURS, TURNS, FEWEST = "performance-based", "round-robin", "least-request"


async def measure_loop(subject: Subject) -> Measurement:
    """Let it compute weights for servers that differ, and see who waits how long."""
    performance = subject.load_balancer.performance_based or PerformanceBased()
    number = len(subject.eligible)
    if performance.reported:
        message = "the metrics are the applications' own, which the lab has not"
        raise UnmeasurableError(message)
    if number < _LEAST:
        message = "there is one endpoint, which gets everything"
        raise UnmeasurableError(message)
    speeds = [_SPEEDS[i % len(_SPEEDS)] for i in range(min(number, _MOST))]
    period = min(performance.update_period, _PERIOD)
    stretches = await _compete(subject, performance.balance, speeds, period)
    return _judge(subject, speeds, stretches)


async def _compete(
    subject: Subject, balance: PerformanceBalance, speeds: list[int], period: timedelta
) -> Mapping[str, Stretch]:
    block = {"balance": str(balance), "updatePeriod": f"{period.total_seconds():g}s"}
    contenders = [
        Contender(name=name, spec={"loadBalancer": load_balancer})
        for name, load_balancer in (
            (OURS, {"type": "PerformanceBased", "performanceBased": block}),
            (TURNS, {"type": "RoundRobin"}),
            (FEWEST, {"type": "LeastRequest"}),
        )
    ]
    capacity = _RATE / _UTILIZATION
    servers = [
        Server(service_time=_WORKERS * sum(speeds) / capacity / speed, workers=_WORKERS)
        for speed in speeds
    ]
    async with run_contest(
        contenders,
        servers,
        rate=_RATE,
        seed=subject.randomness.randrange(10**9),
        envoy=subject.rig.binary,
    ) as contest:
        await contest.run(_SETTLING * period.total_seconds())
        return await contest.run(_MEASURED)


def _judge(
    subject: Subject, speeds: list[int], stretches: Mapping[str, Stretch]
) -> Measurement:
    """Judge our own stretch; endpoints beyond those in the contest have no counts."""
    ours = stretches[OURS]
    shares = theory.shares_of(speeds)
    total = sum(bool(answer.server) for answer in ours.answers)
    counts, expected = [0] * len(subject.weights), [0.0] * len(subject.weights)
    for endpoint, share, part in zip(
        subject.eligible, ours.shares, shares, strict=False
    ):
        counts[endpoint], expected[endpoint] = round(share * total), part
    latencies = {name: each.figures for name, each in stretches.items()}
    performance = subject.load_balancer.performance_based
    is_by_cpu = performance is not None and performance.is_by_cpu
    return Measurement(
        promise=f"p/sum(p), p what a server can do; here servers of speeds "
        f"{':'.join(map(str, speeds))}, and weights every few seconds"
        + (", by the time of answers: these are no Pods" if is_by_cpu else ""),
        expected=tuple(expected),
        counts=tuple(counts),
        checks=(
            verdict.check_proportions(ours.shares, shares),
            *(
                verdict.check_latency(latencies[OURS], latencies[name], name, most)
                for name, most in ((TURNS, 0.9), (FEWEST, 1.5))
            ),
        ),
    )
