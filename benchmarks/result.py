"""One row of the benchmark table."""

from dataclasses import dataclass


class UnavailableError(Exception):
    """A benchmark cannot run here: what is missing, and what would help."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(f"{message}\nhint: {hint}")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured, what is aimed at, and the baseline of the same run."""

    what: str
    measured: str
    aim: str
    baseline: str = ""
    ratio: float | None = None
