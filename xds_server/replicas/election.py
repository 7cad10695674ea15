"""Which of several replicas leads: the one that holds a Lease, as client-go has it.

In: the Lease, read and applied on condition of its version. Out: one coroutine that
runs while the Lease is held. Nobody begins before a Lease has run out or was given up,
and who cannot renew it stops before it does; so no two lead at a time, as long as their
clocks run at about the same rate.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from random import uniform
from typing import Final

import msgspec
import structlog

from xds_server.replicas.lease import (
    FIELD_MANAGER,
    Lease,
    LeaseName,
    LeaseSpec,
    Sight,
    Term,
    collection_path,
    lease_body,
    micro_time,
)
from xds_server.sources.kube_api import (
    Json,
    KubeApi,
    KubeConfigError,
    KubeError,
    decode,
)

_NOT_FOUND, _CONFLICT = 404, 409
_JITTER: Final = 1.2
_FAREWELL: Final = 2.0
"""So many seconds a leader that stops has to give its Lease up."""

logger = structlog.get_logger(__name__)


class Election:
    """A candidate, *identity*, for the Lease *name*.

    *report* is told why the Lease cannot be had or renewed, and None once it can be.
    """

    def __init__(
        self,
        api: KubeApi,
        name: LeaseName,
        identity: str,
        *,
        report: Callable[[KubeError | KubeConfigError | None], None],
        term: Term = Term(),  # noqa: B008 - frozen
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._name = name
        self._identity = identity
        self._report = report
        self._term = term
        self._clock = clock
        self._lease: Lease | None = None
        self._sight: Sight | None = None
        self._renewed_at = float("-inf")
        self._is_leading = False

    @property
    def is_leading(self) -> bool:
        """Whether this replica leads.

        One that was stopped for longer than its Lease does not, from the first moment.
        """
        deadline = self._renewed_at + self._term.deadline.total_seconds()
        return self._is_leading and asyncio.get_running_loop().time() < deadline

    async def run(self, lead: Callable[[], Coroutine[None, None, None]]) -> None:
        """Stand for election for ever; *lead* runs while it is won."""
        while True:
            try:
                await self._win()
                self._is_leading = True
                logger.info("elected", lease=str(self._name), identity=self._identity)
                async with asyncio.TaskGroup() as tasks:
                    work = tasks.create_task(lead(), name="lead")
                    await self._keep()
                    work.cancel()
                logger.warning("not elected any more", lease=str(self._name))
            finally:
                self._is_leading = False
                await self._give_up()

    async def _win(self) -> None:
        while not await self._try():
            await self._pause()

    async def _keep(self) -> None:
        """Renew the Lease until that fails for too long, or another has it."""
        while True:
            deadline = self._renewed_at + self._term.deadline.total_seconds()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._pause()
                    while not await self._try():
                        if self._lease is not None and not self._is_mine(self._lease):
                            return
                        await self._pause()
            except TimeoutError:
                return

    async def _pause(self) -> None:
        retry = self._term.retry.total_seconds()
        await asyncio.sleep(uniform(retry, _JITTER * retry))  # noqa: S311

    async def _try(self) -> bool:
        """Take the Lease or renew it; return whether it is held now."""
        try:
            is_held = await self._take()
        except (KubeError, KubeConfigError) as error:
            if self._is_outdated(error):
                self._lease = None
            else:
                self._report(error)
            return False
        self._report(None)
        return is_held

    def _is_outdated(self, error: KubeError | KubeConfigError) -> bool:
        """Whether the Lease is another than it was read: somebody was faster."""
        if not isinstance(error, KubeError):
            return False
        is_gone = error.status == _NOT_FOUND and self._lease is not None
        return is_gone or error.status == _CONFLICT

    async def _take(self) -> bool:
        lease = self._lease
        if lease is None or not self._is_mine(lease):
            lease = await self._look()
        began_at = asyncio.get_running_loop().time()
        if lease is None:
            body = lease_body(self._name, self._spec(LeaseSpec()))
            answer = await self._api.create(collection_path(self._name.namespace), body)
        elif self._is_mine(lease) or self._has_run_out(lease):
            version = lease.metadata.resource_version
            body = lease_body(
                self._name, self._spec(lease.spec), resourceVersion=version
            )
            answer = await self._apply(body)
        else:
            return False
        self._lease = decode(answer, Lease)
        self._renewed_at = began_at  # others may have seen it ever since
        return True

    async def _look(self) -> Lease | None:
        """Return the Lease as it is; None if there is none."""
        try:
            body = await self._api.get(self._name.path, {})
        except KubeError as error:
            if error.status != _NOT_FOUND:
                raise
            self._lease = None
            return None
        self._lease = lease = decode(body, Lease)
        now = asyncio.get_running_loop().time()
        self._sight = self._sight or Sight(lease, now)
        self._sight.see(lease, now)
        return lease

    def _is_mine(self, lease: Lease) -> bool:
        return lease.spec.holder_identity == self._identity

    def _has_run_out(self, lease: Lease) -> bool:
        now = asyncio.get_running_loop().time()
        is_free = not lease.spec.holder_identity
        return is_free or self._sight is None or self._sight.expires_at() <= now

    def _spec(self, before: LeaseSpec) -> LeaseSpec:
        """Return the Lease held by us from now on, or on."""
        now = micro_time(self._clock())
        is_ours = before.holder_identity == self._identity
        return LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=round(self._term.duration.total_seconds()),
            acquire_time=before.acquire_time if is_ours else now,
            renew_time=now,
            lease_transitions=before.lease_transitions + (not is_ours),
        )

    async def _give_up(self) -> None:
        """Let another begin at once, if the Lease is ours and the server hears it."""
        lease, self._lease = self._lease, None
        if lease is None or not self._is_mine(lease):
            return
        spec = msgspec.structs.replace(
            lease.spec, holder_identity="", lease_duration_seconds=1
        )
        version = lease.metadata.resource_version
        with suppress(KubeError, KubeConfigError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._apply(lease_body(self._name, spec, resourceVersion=version))

    async def _apply(self, body: Json) -> bytes:
        return await self._api.apply(self._name.path, body, manager=FIELD_MANAGER)
