"""How groups of backends divide the traffic, whatever the number of their members.

Each group's share and its members' weights inside it in; whole weights in the same
proportions out.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

LARGEST_SUM: Final = 4_294_967_295
"""Above it Envoy refuses the assignments of ring_hash and maglev."""
LARGEST_EXACT: Final = 1_000_000
_PARTS_EACH: Final = 1_000


def divide(
    members: Sequence[tuple[int, int]], shares: Sequence[float]
) -> tuple[int, ...]:
    """Return a weight for each of *members*, pairs of (group, weight inside the group).

    A group's members have its share together; a group without any weight leaves its
    share to the others in proportion. The result is exact where no number exceeds a
    million, nor their sum what Envoy takes; else each is rounded to the nearest
    thousandth of an equal part, and no member with a share falls to 0.
    """
    totals = [0] * len(shares)
    for group, weight in members:
        totals[group] += weight
    exact = [
        Fraction(repr(shares[group])) * weight / totals[group]
        if weight
        else Fraction(0)
        for group, weight in members
    ]
    return _whole(exact)


def _whole(parts: Sequence[Fraction]) -> tuple[int, ...]:
    total = sum(parts)
    if not total:
        return (0,) * len(parts)
    denominator = math.lcm(*(part.denominator for part in parts))
    divisor = math.gcd(*(int(part * denominator) for part in parts))
    weights = tuple(int(part * denominator) // divisor for part in parts)
    if max(weights) <= LARGEST_EXACT and sum(weights) <= LARGEST_SUM:
        return weights
    scale = max(LARGEST_EXACT, _PARTS_EACH * len(parts)) / total
    return tuple(max(1, round(part * scale)) if part else 0 for part in parts)
