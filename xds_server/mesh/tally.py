"""All problems that there are, counted, since one may be found from several sides.

What was said of something and what is said of it now in; all that is wrong, and what
came and went since the last look, out.
"""

from collections import Counter
from collections.abc import Iterable

from xds_server.api.problem import Problem, in_order


class Tally:
    """The problems that hold now."""

    def __init__(self) -> None:
        self._counts: Counter[Problem] = Counter()
        self._before: dict[Problem, int] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them once, by place."""
        return tuple(in_order(self._counts))

    def replace(self, before: Iterable[Problem], after: Iterable[Problem]) -> None:
        """Say *after* instead of *before*."""
        for problem in before:
            self._add(problem, -1)
        for problem in after:
            self._add(problem, 1)

    def settle(self) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
        """Return the problems that came and those that went since the last call."""
        touched, self._before = self._before, {}
        came = [p for p, count in touched.items() if not count and p in self._counts]
        went = [p for p, count in touched.items() if count and p not in self._counts]
        return tuple(in_order(came)), tuple(in_order(went))

    def _add(self, problem: Problem, count: int) -> None:
        self._before.setdefault(problem, self._counts[problem])
        self._counts[problem] += count
        if not self._counts[problem]:
            del self._counts[problem]
