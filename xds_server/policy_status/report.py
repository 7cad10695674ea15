"""What each replica tells the others: how far every policy has come at its sidecars.

In: what is counted here. Out: a text for the roll of replicas, and what the text of
another replica says. It is JSON, deflated, in base64: 10,000 policies take 125 kB.
"""

import asyncio
import base64
import binascii
import zlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, Protocol

import msgspec

from xds_server.api.document import Revision
from xds_server.api.problem import ObjectKey
from xds_server.policy_status.alarm import Alarm
from xds_server.policy_status.census import Reach
from xds_server.policy_status.trouble import Topic, Troubles
from xds_server.replicas.member import LONGEST

_VERSION: Final = 1
_CHUNK: Final = 100
_REST: Final = 10
"""Counting takes a tenth of the time at most, however many policies there are."""
_DIGITS: Final = 12
"""So many of a uid tell it from the others."""


class Counts(Protocol):
    """How far all policies have come here, at one moment."""

    def keys(self) -> Sequence[ObjectKey]:
        """Return which there are."""
        ...

    def count(self, key: ObjectKey) -> tuple[Revision, tuple[Reach, ...]] | None:
        """Return how far one has come, by target, and which revision of it."""
        ...


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How far policies have come.

    `policies` has, by the beginning of a uid, the generation and for each target an
    index in `reaches`: most are the same.
    """

    version: int = _VERSION
    reaches: tuple[Reach, ...] = ()
    policies: dict[str, tuple[int, tuple[int, ...]]] = {}

    def reach(self, revision: Revision, target: int) -> Reach | None:
        """Return how far a policy has come; None if that revision was not counted."""
        generation, numbers = self.policies.get(_short(revision.uid), (0, ()))
        if generation != revision.generation or target >= len(numbers):
            return None
        return self.reaches[numbers[target]]


class Replica:
    """Another replica, as a `Peer` of a survey: what *text* says, if it can be read."""

    def __init__(self, name: str, text: str) -> None:
        self._uncounted = Reach(uncounted=(f"replica {name}",))
        self._report = _decode(text)

    def reach(self, revision: Revision, target: int) -> Reach:
        """Return how far a policy has come there."""
        return self._report.reach(revision, target) or self._uncounted


class Unheard:
    """All other replicas, while they cannot be heard."""

    def reach(self, revision: Revision, target: int) -> Reach:
        """Return that nothing is known of them."""
        del revision, target
        return Reach(uncounted=("other replicas",))


class Reporter:
    """Counts what has come of policies here whenever that may have changed.

    *say* takes the text. `settle` is from a change to a count, `interval` is the least
    time between two.
    """

    def __init__(
        self,
        survey: Callable[[], Counts],
        say: Callable[[str], None],
        *,
        troubles: Troubles,
        settle: timedelta = timedelta(milliseconds=250),
        interval: timedelta = timedelta(seconds=2),
    ) -> None:
        self._survey = survey
        self._say = say
        self._troubles = troubles
        self._settle = settle
        self._interval = interval
        self._alarm = Alarm()

    def recount(self) -> None:
        """Hear that the counts may be others."""
        self._alarm.ring()

    async def run(self) -> None:
        """Report for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._settle.total_seconds())
            self._alarm.clear()
            began_at = loop.time()
            self._tell(await _count(self._survey()))
            pause = max(
                self._interval.total_seconds(), _REST * (loop.time() - began_at)
            )
            await asyncio.sleep(pause)
            await self._alarm.wait()

    def _tell(self, report: Report) -> None:
        text = encode(report)
        if len(text) > LONGEST:
            message = f"{len(report.policies)} policies do not fit in a Lease"
            self._troubles.note(Topic.COUNTS, ValueError(message))
            text = encode(Report())
        else:
            self._troubles.solve(Topic.COUNTS)
        self._say(text)


async def _count(counts: Counts) -> Report:
    policies: dict[str, tuple[int, tuple[int, ...]]] = {}
    reaches: dict[Reach, int] = {}
    for number, key in enumerate(counts.keys(), start=1):
        if not number % _CHUNK:
            await asyncio.sleep(0)
        if (counted := counts.count(key)) is not None:
            revision, targets = counted
            numbers = (reaches.setdefault(each, len(reaches)) for each in targets)
            policies[_short(revision.uid)] = revision.generation, tuple(numbers)
    return Report(reaches=tuple(reaches), policies=policies)


def encode(report: Report) -> str:
    """Return *report* as a text; equal ones are equal texts."""
    return base64.b64encode(zlib.compress(msgspec.json.encode(report))).decode()


def _decode(text: str) -> Report:
    """Return the report in *text*; an empty one if a later release wrote it."""
    try:
        body = zlib.decompress(base64.b64decode(text, validate=True))
        report = msgspec.json.decode(body, type=Report)
    except (binascii.Error, zlib.error, msgspec.DecodeError):
        return Report()
    is_sound = report.version == _VERSION and all(
        0 <= number < len(report.reaches)
        for _, numbers in report.policies.values()
        for number in numbers
    )
    return report if is_sound else Report()


def _short(uid: str) -> str:
    return uid.replace("-", "")[:_DIGITS]
