"""Which candidate to recommend, by what was measured: a pure function.

Records of all candidates, the simplest first, in; one of them, and by whom each other
one is beaten, out.

All were measured at the same time, and a record is what happened in the same short
periods (batches). Two are compared by a paired t-test of the differences in each: what
disturbs the machine disturbs both, and what goes on from one request to the next, a
queue, goes on inside a batch. A null hypothesis is that the other one is no better by
more than the margin:

- errors: its error share is lower by at most 1 % of all requests;
- latency: its 95th percentile (of answers, in a batch) is lower by at most 10 %, in the
  mean of its logarithm.

It is rejected below `ALPHA` divided by the number of comparisons (Bonferroni), so all
of a decision is wrong in 1 of 100 runs at most; where the two are alike, and not just
at the margin, far less often.

Who has more errors than another one is out, whatever its latency: to fail is quick. Of
the others the simplest wins that none of them beats. What is not proved to be better
does not beat: a short run recommends the simple.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf, log, sqrt
from statistics import fmean, stdev
from typing import Final

from xds_server.lab.distribution import student

MARGIN: Final = 0.10
"""The part by which a latency must be lower to count."""
ERROR_MARGIN: Final = 0.01
"""The part of all requests by which errors must be fewer to count."""
ALPHA: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a candidate did in one short period: seconds, and a part of 0..1."""

    p95: float
    error_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The batches of one candidate; those at one position are of the same period."""

    name: str
    batches: tuple[Batch, ...]


class Ground(StrEnum):
    """In what a candidate is beaten."""

    ERRORS = "errors"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defeat:
    """Who is better, in what, and with which p-value."""

    by: str
    ground: Ground
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The name of whom to recommend, and a defeat of each who has one.

    `level` is what a p-value had to be below.
    """

    winner: str
    defeats: Mapping[str, Defeat]
    level: float


def decide(records: Sequence[Record]) -> Decision:
    """Return whom of *records*, of which there is at least one, to recommend.

    They have the same number of batches, at least two.
    """
    pairs = len(records) * (len(records) - 1)
    level = ALPHA / max(1, 2 * pairs)
    failing = _Round(records, Ground.ERRORS, _fewer_errors, level)
    slow = _Round(failing.unbeaten, Ground.LATENCY, _less_latency, level)
    winner = slow.unbeaten[0].name
    defeats = {**failing.defeats(winner), **slow.defeats(winner)}
    return Decision(winner=winner, defeats=defeats, level=level)


class _Round:
    """Each of *records* compared with each other one on one *ground*.

    Better is who has the better mean, so nobody is beaten in a circle: the best is not
    beaten at all.
    """

    def __init__(
        self,
        records: Sequence[Record],
        ground: Ground,
        p_value: Callable[[Record, Record], float],
        level: float,
    ) -> None:
        found = {
            loser.name: [
                Defeat(by=each.name, ground=ground, p_value=p)
                for each in records
                if each is not loser and (p := p_value(each, loser)) < level
            ]
            for loser in records
        }
        self._beaten = {name: each for name, each in found.items() if each}
        self.unbeaten = [each for each in records if each.name not in self._beaten]

    def defeats(self, winner: str) -> Mapping[str, Defeat]:
        """Return who beat each that is beaten: the *winner*, or else the clearest."""
        return {
            name: min(each, key=lambda defeat: (defeat.by != winner, defeat.p_value))
            for name, each in self._beaten.items()
        }


def _fewer_errors(better: Record, worse: Record) -> float:
    differences = [
        two.error_share - one.error_share
        for one, two in zip(better.batches, worse.batches, strict=True)
    ]
    return _p_value(differences, ERROR_MARGIN)


def _less_latency(better: Record, worse: Record) -> float:
    differences = [
        log(two.p95 / one.p95)
        for one, two in zip(better.batches, worse.batches, strict=True)
    ]
    return _p_value(differences, -log(1 - MARGIN))


def _p_value(differences: Sequence[float], bound: float) -> float:
    """Return the one-sided p-value of a mean that is not above *bound*."""
    above = fmean(differences) - bound
    error = stdev(differences) / sqrt(len(differences))
    if error == 0:
        return student(inf if above > 0 else -inf, len(differences) - 1)
    return student(above / error, len(differences) - 1)
