"""One row of the benchmark table."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured, what is aimed at, and the baseline of the same run."""

    what: str
    measured: str
    aim: str
    baseline: str = ""
    ratio: float | None = None
