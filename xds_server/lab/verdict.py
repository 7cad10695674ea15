"""Does what was measured fit what the theory says?

Samples and expectations in; checks out, each with its test, statistic, p-value and the
rate at which it would cry wolf. Two kinds: exact ones, where a single request out of
place refutes, and statistical ones. A statistical check refutes below `ALPHA`, and
whoever measures repeats it once with fresh data before he believes it: right behaviour
is refuted with a probability of `ALPHA` squared, 1e-8, and a run of a hundred checks
with 1e-6. How large the samples must be to refute what is wrong: see `experiment`.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from xds_server.lab.distribution import binomial, chi_square, normal
from xds_server.lab.open_loop import Figures

ALPHA: Final = 1e-4
"""A statistical check fails below this p-value; that has to happen twice."""
FALSE_ALARM_RATE: Final = ALPHA * ALPHA
_PROPORTION_SLACK: Final = 0.35
_LEAST_EXPECTED: Final = 5
"""Below this many expected requests a cell of a chi-square test is joined to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One test of one claim.

    `finding` says in words what was seen. `statistic` and `p_value` are unset where a
    check is exact; its false-alarm rate is 0. Where `has_margin`, no theory says how
    much of what was seen is chance: what is claimed leaves room, and nothing is known
    of the rate.
    """

    test: str
    holds: bool
    finding: str
    statistic: float | None = None
    p_value: float | None = None
    false_alarm_rate: float = 0.0
    has_margin: bool = False

    @property
    def exact(self) -> bool:
        """Whether a repetition could not change the answer."""
        return self.false_alarm_rate == 0 and not self.has_margin


def count(sequence: Sequence[int], endpoints: int) -> tuple[int, ...]:
    """Return how often each of *endpoints* occurs in *sequence*."""
    found = Counter(sequence)
    return tuple(found[endpoint] for endpoint in range(endpoints))


def check_rotation(sequence: Sequence[int], endpoints: Sequence[int]) -> Check:
    """Round robin: the same endpoints over and over, in the same order, all of them."""
    period = len(endpoints)
    first = sequence[:period]
    wrong = sum(
        served != sequence[position % period]
        for position, served in enumerate(sequence)
    )
    complete = sorted(first) == sorted(endpoints)
    turns = f"{len(sequence)} requests in turns of {period}"
    return Check(
        test="exact rotation",
        holds=complete and wrong == 0,
        statistic=float(wrong),
        finding=f"{turns}: {wrong} out of turn"
        + ("" if complete else ", and a turn does not reach every endpoint"),
    )


def check_windows(sequence: Sequence[int], weights: Sequence[int]) -> Check:
    """Weighted round robin: each run of sum(weights) requests has every weight."""
    period = sum(weights)
    windows = [
        sequence[start : start + period]
        for start in range(0, len(sequence) - period + 1, period)
    ]
    wrong = sum(count(window, len(weights)) != tuple(weights) for window in windows)
    return Check(
        test="exact windows",
        holds=bool(windows) and wrong == 0,
        statistic=float(wrong),
        finding=f"{len(windows)} windows of {period} requests: {wrong} do not hold "
        f"{':'.join(map(str, weights))}",
    )


def check_counts(counts: Sequence[int], shares: Sequence[float], slack: float) -> Check:
    """Return whether no count is more than *slack* requests from its share."""
    total = sum(counts)
    worst = max(
        abs(seen - total * share) for seen, share in zip(counts, shares, strict=True)
    )
    return Check(
        test="largest deviation",
        holds=worst <= slack + 1e-9,
        statistic=worst,
        finding=f"{worst:.4g} of {total} requests off at most, {slack:.4g} allowed",
    )


def check_chi_square(counts: Sequence[int], shares: Sequence[float]) -> Check:
    """Pearson's chi-square: independent draws with these probabilities.

    What has no share must get nothing. Cells too small for the chi-square distribution
    are joined, the smallest first.
    """
    forbidden = sum(n for n, share in zip(counts, shares, strict=True) if share == 0)
    cells = _joined(counts, shares)
    degrees = len(cells) - 1
    if degrees:
        observed, expected = zip(*cells, strict=True)
        statistic, p_value = chi_square(observed, expected)
    else:
        statistic, p_value = 0.0, 1.0
    return Check(
        test=f"chi-square, {degrees} degrees of freedom",
        holds=p_value >= ALPHA and forbidden == 0,
        statistic=statistic,
        p_value=p_value,
        false_alarm_rate=FALSE_ALARM_RATE,
        finding=f"{sum(counts)} requests"
        + (f", {forbidden} where none may go" if forbidden else ""),
    )


def _joined(
    counts: Sequence[int], shares: Sequence[float]
) -> list[tuple[float, float]]:
    """Return (observed, expected) of each cell, small ones joined; sums are equal."""
    allowed = sum(n for n, share in zip(counts, shares, strict=True) if share > 0)
    whole = math.fsum(shares)
    cells = sorted(
        (
            (float(n), allowed * share / whole)
            for n, share in zip(counts, shares, strict=True)
            if share > 0
        ),
        key=lambda cell: cell[1],
    )
    while len(cells) > 1 and cells[0][1] < _LEAST_EXPECTED:
        (seen, expected), (other_seen, other_expected), *rest = cells
        joined = (seen + other_seen, expected + other_expected)
        cells = sorted([joined, *rest], key=lambda cell: cell[1])
    return cells


def check_neighbours(sequence: Sequence[int], shares: Sequence[float]) -> Check:
    """Independence: the same endpoint twice in a row as often as by chance.

    Round robin passes every test of counts and fails here. The variance counts that
    neighbouring pairs share a request.
    """
    pairs = len(sequence) - 1
    seen = sum(a == b for a, b in pairwise(sequence))
    once = math.fsum(share**2 for share in shares)
    twice = math.fsum(share**3 for share in shares)
    variance = pairs * once * (1 - once) + 2 * (pairs - 1) * (twice - once**2)
    expected = pairs * once
    deviation = (seen - expected) / math.sqrt(variance) if variance > 0 else 0.0
    p_value = normal(deviation)
    return Check(
        test="equal neighbours, z",
        holds=p_value >= ALPHA,
        statistic=deviation,
        p_value=p_value,
        false_alarm_rate=FALSE_ALARM_RATE,
        finding=f"{seen} of {pairs} pairs, {expected:.0f} expected",
    )


def check_affinity(first: Sequence[int], again: Sequence[int]) -> Check:
    """Return whether every key went to the same endpoint both times."""
    strayed = sum(a != b for a, b in zip(first, again, strict=True))
    return Check(
        test="affinity",
        holds=strayed == 0,
        statistic=float(strayed),
        finding=f"{strayed} of {len(first)} keys changed their endpoint",
    )


def check_placement(served: Sequence[int], owners: Sequence[int]) -> Check:
    """Return whether every key went to the owner of its hash in the rebuilt table."""
    strayed = sum(a != b for a, b in zip(served, owners, strict=True))
    return Check(
        test="placement",
        holds=strayed == 0,
        statistic=float(strayed),
        finding=f"{strayed} of {len(served)} keys are not where their hash belongs",
    )


def check_stability(
    before: Sequence[int], after: Sequence[int], removed: int, expected: float
) -> Check:
    """Return whether the keys of the endpoints that stayed moved as rarely as expected.

    *expected* is the part of their hashes that moves by construction of the table.
    """
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a != removed]
    moved = sum(a != b for a, b in pairs)
    back = sum(served == removed for served in after)
    p_value = 1.0
    if pairs:
        p_value = binomial(moved, len(pairs), expected, alternative="greater")
    return Check(
        test="stability, binomial",
        holds=p_value >= ALPHA and back == 0,
        statistic=float(moved),
        p_value=p_value,
        false_alarm_rate=FALSE_ALARM_RATE,
        finding=f"one endpoint of {len({*before})} removed: {moved} of {len(pairs)} "
        f"keys of the others moved, {len(pairs) * expected:.0f} expected"
        + (f", and {back} keys still went to it" if back else ""),
    )


def check_busy(seen: int, total: int, share: float, equal: float) -> Check:
    """Least request: a busy endpoint gets *share*, less than its *equal* share."""
    p_value = binomial(seen, total, share, alternative="two-sided")
    return Check(
        test="busy endpoint, binomial",
        holds=p_value >= ALPHA and seen < total * equal,
        statistic=float(seen),
        p_value=p_value,
        false_alarm_rate=FALSE_ALARM_RATE,
        finding=f"the busy endpoint got {seen} of {total} requests, "
        f"{total * share:.0f} expected, {total * equal:.0f} would be equal",
    )


def check_bounds(counts: Sequence[int], bounds: Sequence[int]) -> Check:
    """Bounded load: no endpoint has more in flight than its bound."""
    over = sum(seen > bound for seen, bound in zip(counts, bounds, strict=True))
    seen = "/".join(map(str, counts))
    allowed = "/".join(map(str, bounds))
    return Check(
        test="bounded load",
        holds=over == 0,
        statistic=float(over),
        finding=f"{sum(counts)} requests of one key in flight: {seen}, "
        f"at most {allowed}",
    )


def check_warming(seen: int, total: int, allowed: int, equal: float) -> Check:
    """Slow start: a new endpoint gets no more than is *allowed*.

    *equal* is its share when it is warm, for whoever reads the finding.
    """
    return Check(
        test="slow start",
        holds=seen <= allowed,
        statistic=float(seen),
        finding=f"a new endpoint got {seen} of its first {total} requests, "
        f"at most {allowed}; warm it would be {total * equal:.0f}",
    )


def check_proportions(shares: Sequence[float], expected: Sequence[float]) -> Check:
    """Computed weights: each share is near what is *expected*, by its own measure."""
    worst = max(
        (abs(share / part - 1), position)
        for position, (share, part) in enumerate(zip(shares, expected, strict=True))
    )
    off, position = worst
    return Check(
        test="proportions",
        holds=off <= _PROPORTION_SLACK,
        has_margin=True,
        statistic=off,
        finding=f"server {position + 1} got {shares[position]:.1%}, "
        f"{expected[position]:.1%} expected; {_PROPORTION_SLACK:.0%} of that may lack",
    )


def check_latency(ours: Figures, theirs: Figures, name: str, most: float) -> Check:
    """The slowest 1 % wait no more than *most* times as long as by another way."""
    ratio = ours.p99 / theirs.p99
    return Check(
        test=f"p99 beside {name}",
        holds=ratio <= most,
        has_margin=True,
        statistic=ratio,
        finding=f"p50/p99 {_milliseconds(ours)}, by {name} {_milliseconds(theirs)}; "
        f"at most {most:g} times as long",
    )


def _milliseconds(figures: Figures) -> str:
    return f"{figures.median * 1e3:.0f}/{figures.p99 * 1e3:.0f} ms"
