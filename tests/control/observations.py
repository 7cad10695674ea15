"""What a controller is shown in tests: plain observations, and random ones."""

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from hypothesis import strategies as st

from xds_server.control.controller import Controller, Decision
from xds_server.control.observation import EndpointSums, Observation

History = list[Observation]

PERIOD: Final = 10.0


def answered(
    answers: int,
    load: float,
    *,
    failed: int = 0,
    least_in_progress: float | None = None,
) -> EndpointSums:
    """Return sums of *answers*, that took *load* seconds together."""
    return EndpointSums(
        issued=answers,
        succeeded=answers - failed,
        failed=failed,
        answers=answers,
        load=load,
        least_in_progress=least_in_progress,
    )


def observation(
    endpoints: Mapping[str, EndpointSums],
    *,
    now: float = 0.0,
    seconds: float = PERIOD,
    bases: Mapping[str, int] | None = None,
) -> Observation:
    """Return an observation of *endpoints*, each with a base weight of 1."""
    return Observation(
        now=now,
        seconds=seconds,
        bases=bases or dict.fromkeys(endpoints, 1),
        endpoints=endpoints,
    )


def run(controller: Controller, periods: Sequence[Observation]) -> Decision:
    """Make a step for each of *periods*, which follow each other; return the last."""
    decisions = [controller.step(period) for period in periods]
    return decisions[-1]


def names(count: int) -> list[str]:
    return [f"10.0.0.{number}:80" for number in range(1, count + 1)]


def sums(random: Random, *, most: int = 10_000) -> EndpointSums:
    """Return what may be seen of an endpoint: sane, with at most *most* answers."""
    answers = random.choice((0, random.randint(0, 60), random.randint(0, most)))
    answers = min(answers, most)
    return answered(
        answers,
        answers * 10 ** random.uniform(-4, 1),
        failed=random.choice((0, 0, answers // 3, answers)),
        least_in_progress=random.choice((None, random.uniform(0, min(most, 50) / 3))),
    )


def history(random: Random, *, length: int = 6, most: int = 10_000) -> History:
    """Return the observations of up to *length* periods of the same endpoints."""
    there = names(random.randint(1, 7))
    bases = {name: random.choice((1, 1, 1, 2, 50)) for name in there}
    return [
        observation(
            {name: sums(random, most=most) for name in there},
            now=PERIOD * number,
            seconds=random.choice((PERIOD, PERIOD, 2.0, 0.0)),
            bases=bases,
        )
        for number in range(random.randint(1, length))
    ]


def randoms() -> st.SearchStrategy[Random]:
    return st.integers(0, 2**32).map(Random)


def histories(*, length: int = 6, most: int = 10_000) -> st.SearchStrategy[History]:
    """Draw histories; of a seed, because drawing each number takes a hundred times."""
    return randoms().map(lambda random: history(random, length=length, most=most))


_ABSURD: Final = (0, 0.0, 1, 7, 50, -3, 10**400, 1e308, 1e-308, math.inf, math.nan)


def absurd_histories() -> st.SearchStrategy[History]:
    """Draw observations that nobody should make: any number, endpoint and time."""
    return randoms().map(_absurd_history)


def _absurd_history(random: Random) -> History:
    def number() -> float:
        return random.choice(_ABSURD)

    def count() -> int:
        return random.choice([each for each in _ABSURD if isinstance(each, int)])

    def some() -> list[str]:
        return random.sample(names(4), random.randint(0, 4))

    def anything() -> EndpointSums:
        return EndpointSums(
            issued=count(),
            succeeded=count(),
            failed=count(),
            answers=count(),
            load=_float(number()),
            least_in_progress=random.choice((None, _float(number()))),
        )

    return [
        Observation(
            now=_float(number()),
            seconds=_float(random.choice((number(), PERIOD))),
            bases={name: count() for name in some()},
            endpoints={name: anything() for name in some()},
        )
        for _ in range(random.randint(1, 8))
    ]


def _float(number: float) -> float:
    return number if isinstance(number, float) else float(min(number, 10**300))
