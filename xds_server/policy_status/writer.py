"""Writes what became of each policy onto the policy itself, in Kubernetes.

In: surveys of all policies, and word that one may have changed. Out: server-side
applies of `status.ancestors`, where it differs from what stands there, and an Event for
each rejection. What is to be written is in `survey`.

There is no queue of writes: every round asks what holds now, so what changes while it
waits is written once. One replica writes; `run` begins by reading what the one before
it wrote.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol

import msgspec

from xds_server.api.problem import ObjectKey
from xds_server.policy_status.alarm import Alarm
from xds_server.policy_status.census import Refusal
from xds_server.policy_status.condition import (
    CONTROLLER,
    Ancestors,
    differs_in_counts_alone,
    stamped,
)
from xds_server.policy_status.manifest import (
    events_path,
    rejection_event,
    status_body,
    status_path,
)
from xds_server.policy_status.survey import Description
from xds_server.policy_status.trouble import Topic, Troubles
from xds_server.replicas.lease import FIELD_MANAGER
from xds_server.sources.kube_api import KubeApi, KubeError, decode
from xds_server.sources.reflector import Collection, pages
from xds_server.sources.retry import attempts

_LONGEST_PAUSE: Final = 15.0
_REMEMBERED: Final = 32
"""So many of the last rejections of a policy are known to have been told."""
_CHUNK: Final = 100
"""So many policies are compared before others may run."""
_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409
_REFUSALS: Final = frozenset({400, _FORBIDDEN, _NOT_FOUND, 405, _CONFLICT, 413, 422})
"""What is wrong with one write, and not with the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast statuses are written.

    `interval` is between two writes, of any policies; `settle` from a change to the
    first write, so that sidecars can answer; `recount` from an answer of a sidecar to
    a new count; `counts` between two writes of a policy of which only the count is
    another; `refused` until a write that was refused is tried again.
    """

    interval: timedelta = timedelta(milliseconds=100)
    settle: timedelta = timedelta(milliseconds=500)
    recount: timedelta = timedelta(seconds=2)
    counts: timedelta = timedelta(seconds=5)
    refused: timedelta = timedelta(seconds=30)


class Policies(Protocol):
    """All policies, as they are at one moment."""

    def keys(self) -> Sequence[ObjectKey]:
        """Return which there are."""
        ...

    def describe(self, key: ObjectKey) -> Description | None:
        """Return what to say of one; None if it is gone."""
        ...


class _Metadata(msgspec.Struct, frozen=True):
    uid: str


class _Status(msgspec.Struct, frozen=True):
    ancestors: Ancestors = ()


class _Policy(msgspec.Struct, frozen=True):
    """A policy in the cluster, for what stands in its status."""

    metadata: _Metadata
    status: _Status = _Status()


class _Identified(msgspec.Struct, frozen=True):
    metadata: _Metadata


@dataclass(slots=True)
class _Record:
    """What stands on one policy, and when it may be touched again."""

    ancestors: Ancestors = ()
    written_at: float = float("-inf")
    tried_at: float = float("-inf")
    not_before: float = float("-inf")
    tell_not_before: float = float("-inf")
    is_refused: bool = False
    told: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def news(self, described: Description) -> tuple[Refusal, ...]:
        """Return the rejections that no Event has told of, and that may be told now."""
        if asyncio.get_running_loop().time() < self.tell_not_before:
            return ()
        refusals = (each for each in described.refusals if each.is_answered)
        return tuple(each for each in refusals if each.text not in self.told)


class StatusWriter:
    """Keeps the status of all policies up to date while it runs.

    *survey* is asked for the policies as they are now; *mirrored* are the collections
    that they are in.
    """

    def __init__(
        self,
        api: KubeApi,
        mirrored: Iterable[Collection],
        survey: Callable[[], Policies],
        *,
        troubles: Troubles,
        pace: Pace = Pace(),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._mirrored = [each for each in mirrored if each.kind == "TrafficPolicy"]
        self._survey = survey
        self._pace = pace
        self._clock = clock
        self._records: dict[str, _Record] = {}
        self._alarm = Alarm()
        self._troubles = troubles

    def hear(self) -> None:
        """Hear that the mesh says something else of a policy."""
        self._alarm.ring()

    def recount(self) -> None:
        """Hear that the counts may be others."""
        self._alarm.ring_in(self._pace.recount.total_seconds())

    async def run(self) -> None:
        """Write for ever, as the only replica that does."""
        await self._persist(self._read)
        self._alarm.ring()
        while True:
            await self._alarm.wait()
            await asyncio.sleep(self._pace.settle.total_seconds())
            await self._persist(self._round)

    async def _persist(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do *step*, with pauses until the server takes part in it."""
        async for attempt in attempts(
            partial(self._troubles.note, Topic.STATUSES), longest_pause=_LONGEST_PAUSE
        ):
            with attempt:
                await step()

    async def _read(self) -> None:
        """Read what stands on the policies: it is what the next writes change."""
        self._records = {}
        for collection in self._mirrored:
            try:
                async for page in pages(self._api, collection):
                    for each in page.items or ():
                        uid = decode(each, _Identified).metadata.uid
                        self._records[uid] = _Record(ancestors=_ancestors_in(each))
            except KubeError as error:
                if error.status != _NOT_FOUND:  # else there are none yet
                    raise

    async def _round(self) -> None:
        """Write what differs, for about as long as a survey is fresh."""
        self._alarm.clear()
        loop = asyncio.get_running_loop()
        due = [each async for each in self._due()]
        due.sort(key=lambda each: each[0].tried_at)
        stale_at = loop.time() + max(1.0, self._pace.settle.total_seconds())
        for record, described in due:
            if loop.time() > stale_at:
                self._alarm.ring()
                return
            record.tried_at = loop.time()
            await self._write(record, described)
            await self._tell(record, described)
        if not any(each.is_refused for each in self._records.values()):
            self._troubles.solve(Topic.STATUSES)

    async def _due(self) -> AsyncIterator[tuple[_Record, Description]]:
        """Yield the policies to write now, and see to it that others are not missed."""
        survey = self._survey()
        records: dict[str, _Record] = {}
        for number, key in enumerate(survey.keys(), start=1):
            if not number % _CHUNK:
                await asyncio.sleep(0)
            described = survey.describe(key)
            if described is None:
                continue
            uid = described.revision.uid
            record = records[uid] = self._records.get(uid) or _Record()
            delay = self._delay(record, described)
            if delay is None:
                record.is_refused = False  # there is nothing to refuse any more
            elif delay > 0:
                self._alarm.ring_in(delay)
            else:
                yield record, described
        self._records = records

    def _delay(self, record: _Record, described: Description) -> float | None:
        """Return in how many seconds to write a policy; None if there is no need."""
        after = stamped(record.ancestors, described.ancestors, "")
        news = record.news(described)
        if after == record.ancestors and not news:
            return None
        due = record.not_before
        if not news and differs_in_counts_alone(record.ancestors, after):
            due = max(due, record.written_at + self._pace.counts.total_seconds())
        return due - asyncio.get_running_loop().time()

    async def _write(self, record: _Record, described: Description) -> None:
        """Apply the status of one policy, if it is another than what stands there.

        Raises:
            KubeError: the server cannot take writes.
        """
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        after = stamped(record.ancestors, described.ancestors, now)
        if after == record.ancestors:
            return
        loop = asyncio.get_running_loop()
        try:
            await self._api.apply(
                status_path(described),
                status_body(described, after),
                manager=FIELD_MANAGER,
            )
        except KubeError as error:
            if error.status not in _REFUSALS:
                raise
            record.not_before = loop.time() + self._pace.refused.total_seconds()
            self._alarm.ring_in(self._pace.refused.total_seconds())
            if error.status not in (_NOT_FOUND, _CONFLICT):  # else the policy is gone
                record.is_refused = True
                self._troubles.note(Topic.STATUSES, error)
        else:
            record.ancestors, record.written_at = after, loop.time()
            record.is_refused = False
        await asyncio.sleep(self._pace.interval.total_seconds())

    async def _tell(self, record: _Record, described: Description) -> None:
        """Create an Event for each rejection that there is none of yet.

        They are for whoever looks at the time; one that is refused is tried again, as
        long as the rejection lasts.
        """
        for refusal in record.news(described):
            event = rejection_event(described, refusal, self._clock())
            try:
                await self._api.create(events_path(described), event)
            except KubeError as error:
                if error.status not in _REFUSALS:
                    raise
                if error.status not in (_NOT_FOUND, _CONFLICT):  # else it is there
                    self._troubles.note(Topic.EVENTS, error)
                    wait = self._pace.refused.total_seconds()
                    record.tell_not_before = asyncio.get_running_loop().time() + wait
                    self._alarm.ring_in(wait)
                    return
            else:
                self._troubles.solve(Topic.EVENTS)
            record.told.append(refusal.text)
            await asyncio.sleep(self._pace.interval.total_seconds())


def _ancestors_in(policy: msgspec.Raw) -> Ancestors:
    """Return what we said of a policy; nothing where it is no status of ours."""
    try:
        status = msgspec.json.decode(policy, type=_Policy).status
    except msgspec.ValidationError:
        return ()
    ours = (each for each in status.ancestors if each.controller_name == CONTROLLER)
    return tuple(ours)
