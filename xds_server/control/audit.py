"""What of a load report may be believed at all: numbers that an Envoy can have counted.

Reports come from the network. What is absurd is dropped and counted, never raised.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from xds_server.load import ClusterLoad, EndpointLoad

LONGEST_REPORT: Final = 600.0
"""Seconds that a report may be about: an Envoy reports every few."""
MOST_A_SECOND: Final = 1_000_000
"""Requests a second that one client may have sent to one endpoint; no Envoy can."""
MOST_IN_PROGRESS: Final = 1_000_000
MOST_MEAN: Final = 3_600_000_000.0
"""The largest mean of a metric: an hour, for times in microseconds."""


class Dropped(StrEnum):
    """Why something of a report does not count."""

    UNKNOWN_CLUSTER = "unknown cluster"
    """No weights are computed for it."""
    UNKNOWN_ENDPOINT = "unknown endpoint"
    """It is none of its cluster, or not any more."""
    ABSURD = "absurd"
    """Numbers that nobody can have counted."""
    REPEATED = "repeated"
    """It covers time that reports of this client have covered already."""
    TOO_MANY_CLIENTS = "too many clients"


class Seen(NamedTuple):
    """What a believable report says of one endpoint."""

    issued: int
    succeeded: int
    failed: int
    in_progress: int
    answers: int
    load: float


def is_believable_time(load: ClusterLoad) -> bool:
    """Return whether a report can be about so many seconds; NaN is none."""
    return 0 < load.seconds <= LONGEST_REPORT


def believe(load: EndpointLoad, seconds: float, metrics: Sequence[str]) -> Seen | None:
    """Return what *load* says of an endpoint, None where that is absurd.

    Of *metrics* the one counts whose mean is the largest.
    """
    _, issued, succeeded, failed, in_progress, told = load
    most = MOST_A_SECOND if seconds < 1 else MOST_A_SECOND * seconds
    is_believable = (
        0 <= issued <= most
        and 0 <= succeeded <= most
        and 0 <= failed <= most
        and 0 <= in_progress <= MOST_IN_PROGRESS
    )
    if not is_believable:
        return None
    answers, total = 0, 0.0
    for name in metrics:
        if (found := told.get(name)) is None:
            continue
        number, part = found
        if not (0 <= number <= most and 0 <= part <= number * MOST_MEAN):
            return None
        if not answers or part * answers > total * number:
            answers, total = number, part
    return Seen(issued, succeeded, failed, in_progress, answers, total)
