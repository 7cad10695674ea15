"""This replica on the roll: a Lease of its own, which says that it lives, and more.

In: what the replica has to say, a text of at most `LONGEST` characters. Out: a Lease
with that in an annotation, renewed while the replica lives, deleted when it stops.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from xds_server.replicas.lease import (
    FIELD_MANAGER,
    Lease,
    LeaseName,
    LeaseSpec,
    Term,
    lease_body,
    micro_time,
)
from xds_server.sources.kube_api import KubeApi, KubeConfigError, KubeError, decode
from xds_server.sources.retry import attempts

ROLL: Final = "traffic.xds-server.dev/replica-of"
"""The label of the Leases of replicas: the name of that by which they elect."""
REPORT: Final = "traffic.xds-server.dev/report"
"""The annotation with what a replica says."""
LONGEST: Final = 200_000
"""So many characters fit beside what others may annotate (256 KiB in all)."""

_LONGEST_PAUSE: Final = 5.0
_FAREWELL: Final = 2.0


class Member:
    """The replica *replica* of those that elect by the Lease *name*.

    *report* is told why the Lease cannot be kept, and None once it can be. A Lease that
    *stays* when the replica stops is heard until it runs out.
    """

    def __init__(
        self,
        api: KubeApi,
        name: LeaseName,
        replica: str,
        *,
        report: Callable[[KubeError | KubeConfigError | None], None],
        term: Term = Term(),  # noqa: B008 - frozen
        stays: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._name = name
        self._replica = replica
        self._report = report
        self._term = term
        self._stays = stays
        self._clock = clock
        self._text = ""
        self._version = ""
        self._is_new = asyncio.Event()

    def say(self, text: str) -> None:
        """Let all other replicas know *text*."""
        if text != self._text:
            self._text = text
            self._is_new.set()

    async def run(self) -> None:
        """Be on the roll for ever, from the first word on."""
        await self._is_new.wait()
        try:
            while True:
                self._is_new.clear()
                await self._renew()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._term.duration.total_seconds() / 3):
                        await self._is_new.wait()
        finally:
            if not self._stays:
                await self._leave()

    async def _renew(self) -> None:
        async for attempt in attempts(self._report, longest_pause=_LONGEST_PAUSE):
            with attempt:
                await self._apply()
        self._report(None)

    async def _apply(self) -> None:
        name = self._name.of_replica(self._replica)
        body = lease_body(
            name,
            LeaseSpec(
                holder_identity=self._replica,
                lease_duration_seconds=round(self._term.duration.total_seconds()),
                renew_time=micro_time(self._clock()),
            ),
            labels={ROLL: self._name.name},
            annotations={REPORT: self._text},
        )
        answer = await self._api.apply(name.path, body, manager=FIELD_MANAGER)
        lease = decode(answer, Lease)
        self._version = lease.metadata.resource_version

    async def _leave(self) -> None:
        """Take the Lease away, unless another has it by now."""
        with suppress(KubeError, KubeConfigError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._api.delete(
                    self._name.of_replica(self._replica).path, self._version
                )
