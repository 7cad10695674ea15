"""The four distributions that verdicts need, from scipy, with types.

scipy comes with the extra `[lab]`, and is imported when the first number is asked for.
"""

from collections.abc import Sequence
from types import ModuleType

from xds_server.lab.error import LabError


def require_scipy() -> ModuleType:
    """Return `scipy.stats`; raises `LabError` where it is not installed."""
    try:
        from scipy import (  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra; it has no types
            stats,
        )
    except ImportError:
        message = "verdicts need scipy"
        raise LabError(message, hint="pip install 'xds-server[lab]'") from None
    assert isinstance(stats, ModuleType)  # noqa: S101 - narrows
    return stats


def chi_square(
    observed: Sequence[float], expected: Sequence[float]
) -> tuple[float, float]:
    """Return Pearson's statistic and its p-value."""
    statistic, p_value = require_scipy().chisquare(observed, expected)
    return float(statistic), float(p_value)


def binomial(seen: int, total: int, share: float, *, alternative: str) -> float:
    """Return the exact p-value of *seen* of *total* where *share* is the chance.

    *alternative* is `two-sided`, `greater` or `less`.
    """
    test = require_scipy().binomtest(seen, total, share, alternative=alternative)
    return float(test.pvalue)


def normal(deviation: float) -> float:
    """Return the two-sided p-value of *deviation* standard deviations."""
    return float(2 * require_scipy().norm.sf(abs(deviation)))


def student(deviation: float, degrees: int) -> float:
    """Return the p-value of a t statistic that is as large or larger."""
    return float(require_scipy().t.sf(deviation, degrees))
