"""Let candidates compete, and record what each did.

A profile and candidates in; their records for `decision`, and figures for people, out.
All are loaded at the same time, at the same rate and by servers that are alike, so the
order in which they are named is of no importance.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xds_server.lab.advice.candidate import Candidate, Terms
from xds_server.lab.advice.decision import Batch, Record
from xds_server.lab.advice.profile import Profile
from xds_server.lab.backend import HIT_HEADER, KEY_HEADER
from xds_server.lab.contest import Contender, addresses_of, run_contest
from xds_server.lab.open_loop import Answer, quantile

_MOST_RATE: Final = 500.0
"""Requests a second, of all together: this machine has to do other things, too."""
_LEAST_BATCH: Final = 40
"""Requests in a batch, in the mean: of so few a 95th percentile can be told."""
_MOST_BATCHES: Final = 20
_LEAST_BATCHES: Final = 5
_SETTLING: Final = 0.3
"""The part of the time in which queues and caches fill, and nothing is measured."""
_LOST: Final = 30.0
"""Seconds that a batch without an answer counts for: as long as clients wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one candidate did. Latencies are of answers, in seconds.

    `shares` are those of the endpoints, in order; `hit_share` is unset without keys.
    """

    candidate: Candidate
    record: Record
    requests: int
    median: float
    p95: float
    p99: float
    error_share: float
    shares: tuple[float, ...]
    hit_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long to measure: *slowdown* times as slow as what is asked about.

    For `settling` seconds nothing counts, then there are so many batches of `batch`
    seconds.
    """

    slowdown: float
    settling: float
    batches: int
    batch: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.settling + self.batches * self.batch


def plan(profile: Profile, candidates: Sequence[Candidate], seconds: float) -> Plan:
    """Return how to spend *seconds*.

    Raises:
        ValueError: They are too few to tell anything.
    """
    slowdown = max(1.0, profile.rate * len(candidates) / _MOST_RATE)
    settling = max(_SETTLING * seconds, *(each.settling for each in candidates))
    measured = seconds - settling
    requests = measured * profile.rate / slowdown
    batches = min(_MOST_BATCHES, int(requests / _LEAST_BATCH))
    if batches < _LEAST_BATCHES:
        message = f"{seconds:g} s are too few: {requests:.0f} requests would count"
        raise ValueError(message)
    return Plan(
        slowdown=slowdown,
        settling=settling,
        batches=batches,
        batch=measured / batches,
    )


async def measure(
    profile: Profile,
    candidates: Sequence[Candidate],
    how: Plan,
    *,
    envoy: Path,
    seed: int,
) -> tuple[Standing, ...]:
    """Measure *candidates* as the plan says *how*; return how each did.

    Raises:
        LabError: Something does not start.
    """
    contenders = [
        Contender(
            name=each.name,
            spec={"loadBalancer": each.measured(profile, _terms(profile, number))},
        )
        for number, each in enumerate(candidates)
    ]
    randomness = random.Random(seed)  # noqa: S311 - reproducible
    async with run_contest(
        contenders,
        profile.servers(how.slowdown),
        rate=profile.rate / how.slowdown,
        seed=seed,
        envoy=envoy,
        make_request=profile.request_maker(randomness),
    ) as contest:
        begin = asyncio.get_running_loop().time() + how.settling
        stretches = await contest.run(how.seconds)
        return tuple(
            _standing(
                each,
                _in_batches(stretches[each.name].answers, begin, how),
                contest.servers(each.name),
                has_keys=profile.keys is not None,
                slowdown=how.slowdown,
            )
            for each in candidates
        )


def _terms(profile: Profile, number: int) -> Terms:
    """Return what the policy of a contender calls things in the lab."""
    addresses = addresses_of(number, len(profile.hosts))
    return Terms(addresses=addresses, key_header=KEY_HEADER)


def _in_batches(
    answers: Iterable[Answer], begin: float, how: Plan
) -> Sequence[Sequence[Answer]]:
    """Return *answers* by the batch in which they were due; the first one at *begin*.

    What was due while queues filled, or in a batch that was just begun, does not count.
    """
    batches: list[list[Answer]] = [[] for _ in range(how.batches)]
    for each in answers:
        number = int((each.due - begin) // how.batch)
        if 0 <= number < how.batches:
            batches[number].append(each)
    return batches


def _standing(
    candidate: Candidate,
    batches: Sequence[Sequence[Answer]],
    servers: Sequence[str],
    *,
    has_keys: bool,
    slowdown: float,
) -> Standing:
    answers = [each for batch in batches for each in batch]
    latencies = _latencies(answers, slowdown)
    served = Counter(each.server for each in answers if each.server)
    answered = max(1, served.total())
    hits = sum(HIT_HEADER in each.headers for each in answers)
    return Standing(
        candidate=candidate,
        record=Record(
            name=candidate.name,
            batches=tuple(
                Batch(
                    p95=quantile(_latencies(batch, slowdown), 0.95),
                    error_share=_error_share(batch),
                )
                for batch in batches
            ),
        ),
        requests=len(answers),
        median=quantile(latencies, 0.5),
        p95=quantile(latencies, 0.95),
        p99=quantile(latencies, 0.99),
        error_share=_error_share(answers),
        shares=tuple(served[each] / answered for each in servers),
        hit_share=hits / answered if has_keys else None,
    )


def _latencies(answers: Iterable[Answer], slowdown: float) -> list[float]:
    """Return how long good answers took, in order, and at the speed that is meant."""
    found = sorted(each.seconds / slowdown for each in answers if each.is_ok)
    return found or [_LOST]


def _error_share(answers: Sequence[Answer]) -> float:
    if not answers:
        return 1.0
    return sum(not each.is_ok for each in answers) / len(answers)
