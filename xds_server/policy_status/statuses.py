"""The statuses of policies, written by this server: alone, or while it leads.

In: what happens to policies and streams. Out: word of that for whoever counts here, and
a `StatusWriter` that runs when it is this server's turn.
"""

from collections.abc import Callable, Iterable, Sequence

from xds_server.api.problem import Problem
from xds_server.engine import Connection, Head, Observer, Rejection
from xds_server.policy_status.survey import Peer, Survey
from xds_server.policy_status.team import Place, Team
from xds_server.policy_status.trouble import Troubles
from xds_server.policy_status.writer import StatusWriter
from xds_server.sources.kube_api import KubeApi
from xds_server.sources.reflector import Collection


class PolicyStatuses(Observer):
    """Keeps the statuses of policies up to date.

    *survey* is asked for the policies as they are now, with what peers have counted;
    *mirrored* are the collections that they are in; *place* is that among several
    replicas, None for a server that is alone.
    """

    def __init__(
        self,
        api: KubeApi,
        mirrored: Iterable[Collection],
        survey: Callable[[Sequence[Peer]], Survey],
        place: Place | None = None,
    ) -> None:
        self._api = api
        self.troubles = Troubles()
        self._team = (
            Team(api, place, lambda: survey(()), self.troubles) if place else None
        )
        self._writer = StatusWriter(
            api,
            mirrored,
            lambda: survey(self._team.peers if self._team else ()),
            troubles=self.troubles,
        )

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What keeps statuses or Events from being written."""
        return self.troubles.problems

    @property
    def is_leading(self) -> bool:
        """Whether this server writes."""
        return self._team is None or self._team.is_leading

    def hear(self) -> None:
        """Hear that the mesh says something else of a policy."""
        self._writer.hear()
        if self._team:
            self._team.recount()

    def recount(self) -> None:
        """Hear that the counts may be others."""
        self._writer.recount()
        if self._team:
            self._team.recount()

    def on_connect(self, connection: Connection) -> None:
        """Count anew."""
        del connection
        self.recount()

    def on_disconnect(self, connection: Connection) -> None:
        """Count anew."""
        del connection
        self.recount()

    def on_ack(self, connection: Connection, head: Head) -> None:
        """Count anew."""
        del connection, head
        self.recount()

    def on_nack(self, connection: Connection, rejection: Rejection) -> None:
        """Count anew."""
        del connection, rejection
        self.recount()

    async def run(self) -> None:
        """Write for ever, whenever it is this server's turn.

        Raises:
            KubeConfigError: the configuration cannot be read.
        """
        async with self._api.connected():
            if self._team is None:
                await self._writer.run()
            else:
                await self._team.run(self._writer.run, self._writer.hear)
