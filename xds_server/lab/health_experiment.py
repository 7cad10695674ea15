"""How a health check is put to the test: an endpoint fails it for a while.

An upstream on the rig and what was measured of its algorithm in; the same with one more
check out: the endpoint gets nothing while it fails, though it serves as before, and
then gets traffic again. Where the lab cannot do that, the report says so.
"""

import math
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Final

from xds_server.api.policy import HealthCheck
from xds_server.lab.health import OFTEN, failing_status, is_measurable
from xds_server.lab.subject import Measurement, Subject
from xds_server.lab.verdict import Check

_REQUESTS_EACH: Final = 25
"""So many an endpoint: the chance that one with a mean share gets none is e^-25."""


async def add_health(
    subject: Subject, measurement: Measurement, check: HealthCheck
) -> Measurement:
    """Return *measurement* with what *check* promises."""
    status = failing_status(check)
    if status is None or not is_measurable(check) or len(subject.eligible) == 1:
        promise = f"{measurement.promise}; its health check is not measured"
        return replace(measurement, promise=promise)
    number = _REQUESTS_EACH * len(subject.eligible)
    (victim, _), *_ = Counter(await subject.send_plain(number)).most_common(1)
    backend = subject.stand.backends[victim]
    healthy = backend.check_status
    everyone = range(len(subject.stand.backends))
    backend.check_status = status
    await subject.rig.wait_for(
        subject.stand, set(everyone) - {victim}, _patience(check)
    )
    during = (await subject.send_plain(number)).count(victim)
    backend.check_status = healthy
    await subject.rig.wait_for(subject.stand, set(everyone), _patience(check))
    await subject.settle()
    after = (await subject.send_plain(number)).count(victim)
    return replace(
        measurement,
        promise=f"{measurement.promise}; nothing while its check fails",
        checks=(*measurement.checks, _judge(victim, during, after, number)),
    )


def _judge(victim: int, during: int, after: int, number: int) -> Check:
    return Check(
        test="failed health check",
        holds=during == 0 and after > 0,
        finding=f"endpoint {victim + 1} got {during} of {number} requests while its "
        f"check failed, {after} after",
        false_alarm_rate=math.exp(-_REQUESTS_EACH),
    )


def _patience(check: HealthCheck) -> timedelta:
    """Return how long it may take Envoy to change its mind."""
    answers = max(check.unhealthy_threshold, check.healthy_threshold) + 1
    jitter = 1 + check.jitter_percent / 100
    return answers * 2 * OFTEN * jitter + timedelta(seconds=20)
