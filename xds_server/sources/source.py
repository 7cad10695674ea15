"""What all sources have in common: a name, and batches of events.

A port and its error: sources implement it, whoever puts the rooms together uses it.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from xds_server.mesh.event import Event


class SourceError(Exception):
    """A source cannot begin; the message says what is in the way."""


class Source(Protocol):
    """Where documents come from."""

    @property
    def name(self) -> str:
        """What `Listed` calls it."""
        ...

    def batches(self) -> AsyncIterator[tuple[Event, ...]]:
        """Yield all there is, with `Listed` once that is told; then what changes.

        Raises:
            SourceError: it cannot begin.
        """
        ...
