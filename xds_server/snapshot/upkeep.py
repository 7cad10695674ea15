"""Names that clients must hear of again and again, by how often that must be.

Each name's interval in; the intervals that there are, and the names of one, out.
"""

from collections.abc import Collection
from datetime import timedelta


class Upkeep:
    """Many names and few intervals: asking for these costs nothing."""

    def __init__(self) -> None:
        self._intervals: dict[str, timedelta] = {}
        self._names: dict[timedelta, set[str]] = {}

    @property
    def intervals(self) -> Collection[timedelta]:
        """All that there are, each once."""
        return self._names.keys()

    def names(self, interval: timedelta) -> Collection[str]:
        """Return the names that are due each *interval*."""
        return self._names.get(interval, ())

    def set(self, name: str, interval: timedelta | None) -> None:
        """Let *name* be due each *interval*, or never."""
        before = self._intervals.pop(name, None)
        if before is not None:
            self._names[before].remove(name)
            if not self._names[before]:
                del self._names[before]
        if interval is not None:
            self._intervals[name] = interval
            self._names.setdefault(interval, set()).add(name)
