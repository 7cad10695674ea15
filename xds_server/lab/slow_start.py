"""How slow start is put to the test: an endpoint joins and gets less for a while.

An upstream on the rig in, balanced in turns; its shares when all endpoints are warm,
and what a new one gets while it is not, out.
"""

import asyncio
import math
from typing import Final

from xds_server.api.policy import SlowStart
from xds_server.lab import theory, verdict
from xds_server.lab.subject import Measurement, Subject
from xds_server.lab.verdict import Check

REQUESTS: Final = 400
_WATCHED: Final = 0.25
"""The part of the window in which the new endpoint is watched."""
_BATCH: Final = 10


async def measure_slow_start(subject: Subject, slow_start: SlowStart) -> Measurement:
    """Judge the shares of warm endpoints, and of one that joins them."""
    weights = subject.weights
    checks: list[Check] = []
    if len(subject.eligible) > 1:
        checks.append(await _join(subject, slow_start))
    await subject.settle()
    sequence = await subject.send_plain(subject.requests or REQUESTS)
    counts = verdict.count(sequence, len(weights))
    shares = theory.shares_of(weights)
    slack = subject.concurrency + len(weights) + theory.rounds_behind(slow_start)
    checks.append(verdict.check_counts(counts, shares, slack))
    return Measurement(
        promise="w/sum(w) each, in turn; a new endpoint less, until its window is over",
        expected=shares,
        counts=counts,
        checks=tuple(checks),
    )


async def _join(subject: Subject, slow_start: SlowStart) -> Check:
    """Let the last endpoint leave, join again, and count what it gets at first.

    Time runs from before Envoy can know of it, so what is allowed is never too little.
    """
    *stay, new = subject.eligible
    others = set(range(len(subject.weights))) - {new}
    await subject.keep(others)
    await subject.settle()
    loop = asyncio.get_running_loop()
    joined = loop.time()
    await subject.keep(None)
    watched = slow_start.window.total_seconds() * _WATCHED
    seen = total = 0
    allowed = 0.0
    while loop.time() < joined + watched or not total:
        sequence = await subject.send_plain(_BATCH)
        part = theory.warm_part(slow_start, loop.time() - joined)
        cold = subject.weights[new] * part
        allowed += len(sequence) * cold / (cold + sum(subject.weights[i] for i in stay))
        seen += sequence.count(new)
        total += len(sequence)
    equal = theory.shares_of(subject.weights)[new]
    slack = subject.concurrency + len(subject.weights)
    return verdict.check_warming(seen, total, math.ceil(allowed) + slack, equal)
