"""Durations as Kubernetes' Gateway API writes them (GEP-2257): `500ms`, `1m30s`."""

import re
from datetime import timedelta
from typing import Final

FORM: Final = "^([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$"
"""The same in RE2, but for the empty text."""

LONGEST: Final = 41
"""Characters that a duration may have."""

_DURATION: Final = re.compile(
    r"(?=[0-9])"
    r"(?:(?P<hours>[0-9]{1,9})h)?"
    r"(?:(?P<minutes>[0-9]{1,9})m)?"
    r"(?:(?P<seconds>[0-9]{1,9})s)?"
    r"(?:(?P<milliseconds>[0-9]{1,9})ms)?"
)
_UNITS: Final = (
    ("h", timedelta(hours=1)),
    ("m", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
    ("ms", timedelta(milliseconds=1)),
)


def parse_duration(text: str) -> timedelta | None:
    """Read a duration; None where the text is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict(default="0")
    return timedelta(**{unit: int(number) for unit, number in parts.items()})


def format_duration(duration: timedelta) -> str:
    """Write a duration of whole milliseconds, largest unit first."""
    text = ""
    rest = duration
    for name, unit in _UNITS:
        count, rest = divmod(rest, unit)
        text += f"{count}{name}" if count else ""
    return text or "0s"
