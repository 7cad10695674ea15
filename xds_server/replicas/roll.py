"""The other replicas that live, and what each says.

In: the Leases that replicas keep (`member`). Out: a text for each that has not run out,
as long as the roll can be heard. The Lease of one that has run out is deleted: it came
to an end that nobody could tell of.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from xds_server.replicas.lease import (
    API_VERSION,
    Lease,
    LeaseName,
    Sight,
    Term,
    collection_path,
)
from xds_server.replicas.member import REPORT, ROLL
from xds_server.sources.kube_api import KubeApi, KubeConfigError, KubeError, decode
from xds_server.sources.reflector import (
    Changed,
    Collection,
    News,
    Patience,
    Reflector,
    Replaced,
)

_LOOK: Final = timedelta(seconds=2)
_PATIENCE: Final = Patience(silence=timedelta(seconds=30))
_QUIET: Final = 0.8
"""Nothing in that part of the time that Leases last is a watch that hangs, before any
runs out. Our own is among them: something is heard in a third of it."""

_NOT_DEAD: Final = (404, 409)
"""What a delete is told of a Lease that is gone, or was renewed after all."""


@dataclass(slots=True)
class _Other:
    lease: Lease
    sight: Sight


class Roll:
    """All replicas that elect by the Lease *name*, but *replica* itself.

    *changed* is called when one comes, goes or says something else; *report* is told
    why nothing can be heard, and None once it can be.
    """

    def __init__(
        self,
        api: KubeApi,
        name: LeaseName,
        replica: str,
        *,
        changed: Callable[[], None],
        report: Callable[[KubeError | KubeConfigError | None], None],
        term: Term = Term(),  # noqa: B008 - frozen
    ) -> None:
        self._api = api
        self._namespace = name.namespace
        self._own = name.of_replica(replica).name
        self._quiet = _QUIET * term.duration.total_seconds()
        self.own = ""
        """What this replica says, or has said before it was started again."""
        self._prefix = f"{name.name}-"
        self._changed = changed
        self._report = report
        self._others: dict[str, _Other] = {}
        self._dead: dict[str, str] = {}
        self._heard_at = float("-inf")
        self._is_heard = False
        self._leases = Collection(
            kind="Lease",
            api_version=API_VERSION,
            path=collection_path(name.namespace),
            query={"labelSelector": f"{ROLL}={name.name}"},
        )

    @property
    def is_heard(self) -> bool:
        """Whether this is known: all were listed, and what happens to them is heard."""
        return self._is_heard

    @property
    def reports(self) -> Mapping[str, str]:
        """What the other replicas say, by their names."""
        return {
            name.removeprefix(self._prefix): other.lease.metadata.annotations.get(
                REPORT, ""
            )
            for name, other in sorted(self._others.items())
        }

    async def run(self) -> None:
        """Call the roll for ever."""
        reflector = Reflector(self._api, self._leases, self._hear, _PATIENCE)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reflector.run(), name="mirror leases")
            while True:
                await asyncio.sleep(_LOOK.total_seconds())
                await self._strike()

    def _hear(self, news: News) -> None:
        before = self._is_heard, self.reports
        if isinstance(news, Replaced):
            leases = [decode(each, Lease) for each in news.objects]
            names = {each.metadata.name for each in leases}
            for name in self._others.keys() - names:
                del self._others[name]
            for each in leases:
                self._see(each)
            self._is_heard = True
        elif isinstance(news, Changed):
            if not self._is_heard:  # what the others did meanwhile comes in a moment
                self._renew_sights()
            lease = decode(news.object, Lease)
            if news.is_deleted:
                self._others.pop(lease.metadata.name, None)
            else:
                self._see(lease)
            self._is_heard = True
        else:
            self._report(news.error)
            self._is_heard = self._is_heard and news.error is None
        if isinstance(news, Replaced | Changed):
            self._heard_at = asyncio.get_running_loop().time()
        if (self._is_heard, self.reports) != before:
            self._changed()

    def _see(self, lease: Lease) -> None:
        name, now = lease.metadata.name, asyncio.get_running_loop().time()
        if name == self._own:
            self.own = lease.metadata.annotations.get(REPORT, "")
            return
        self._dead.pop(name, None)
        if other := self._others.get(name):
            other.lease = lease
            other.sight.see(lease, now)
        else:
            self._others[name] = _Other(lease, Sight(lease, now))

    def _renew_sights(self) -> None:
        """See all Leases as if they had just changed."""
        now = asyncio.get_running_loop().time()
        for other in self._others.values():
            other.sight = Sight(other.lease, now)

    async def _strike(self) -> None:
        """Take those off the roll whose Leases have run out.

        Unless nothing at all was heard of late, which says more of the watch.
        """
        now = asyncio.get_running_loop().time()
        if self._heard_at + self._quiet < now:
            if self._is_heard:
                self._is_heard = False
                self._changed()
            return
        for name, other in tuple(self._others.items()):
            if other.sight.expires_at() <= now:
                del self._others[name]
                self._dead[name] = other.lease.metadata.resource_version
                self._changed()
        await self._bury()

    async def _bury(self) -> None:
        """Delete the Leases of those struck off."""
        for name, version in tuple(self._dead.items()):
            try:
                await self._api.delete(LeaseName(self._namespace, name).path, version)
            except (KubeError, KubeConfigError) as error:
                status = error.status if isinstance(error, KubeError) else 0
                if status not in _NOT_DEAD:
                    self._report(error)
                    return
            self._dead.pop(name, None)
            self._report(None)
