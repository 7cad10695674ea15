"""Durations as Go writes them, and with it the metrics API: `15.2s`, `1m0.5s`.

https://pkg.go.dev/time#Duration.String
"""

import re
from typing import Final

_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(h|ms|m|us|µs|ns|s)")
_SECONDS: Final = {
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}


def parse_go_duration(text: str) -> float | None:
    """Read a duration that is not negative, in seconds; None where *text* is none."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
