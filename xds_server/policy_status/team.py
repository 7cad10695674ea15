"""This server as one of several replicas: it tells what it has counted, and may lead.

In: the Lease by which they elect, and surveys. Out: what the others have counted, and
one coroutine that runs while this replica leads.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from uuid import uuid4

from xds_server.policy_status.report import Counts, Replica, Reporter, Unheard
from xds_server.policy_status.survey import Peer
from xds_server.policy_status.trouble import Topic, Troubles
from xds_server.replicas.election import Election
from xds_server.replicas.lease import LeaseName
from xds_server.replicas.member import Member
from xds_server.replicas.roll import Roll
from xds_server.sources.kube_api import KubeApi

_MOST_REPLICAS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which replica this is, `own`, of those that elect by the Lease `lease`."""

    lease: LeaseName
    own: str


class Team:
    """All replicas, as far as this one has to do with the others."""

    def __init__(
        self,
        api: KubeApi,
        place: Place,
        survey: Callable[[], Counts],
        troubles: Troubles,
    ) -> None:
        self._api = api
        self._place = place
        self._troubles = troubles
        self._roll: Roll | None = None
        self._replica = lru_cache(_MOST_REPLICAS)(Replica)
        self._member = Member(
            api,
            place.lease,
            place.own,
            report=partial(troubles.judge, Topic.REPORT),
        )
        self._reporter = Reporter(survey, self._member.say, troubles=troubles)
        self._election = Election(
            api,
            place.lease,
            f"{place.own}_{uuid4().hex[:8]}",
            report=partial(troubles.judge, Topic.ELECTION),
        )

    @property
    def is_leading(self) -> bool:
        """Whether this replica leads."""
        return self._election.is_leading

    @property
    def peers(self) -> Sequence[Peer]:
        """What the other replicas have counted."""
        if self._roll is None or not self._roll.is_heard:
            return [Unheard()]
        reports = self._roll.reports
        return [self._replica(name, text) for name, text in reports.items()]

    def recount(self) -> None:
        """Hear that what is counted here may be something else."""
        self._reporter.recount()

    async def run(
        self,
        lead: Callable[[], Coroutine[None, None, None]],
        changed: Callable[[], None],
    ) -> None:
        """Be one of them for ever; *lead* runs while this is the one that leads.

        *changed* is called when the others have counted something else, meanwhile.
        """

        async def call_the_roll_and_lead() -> None:
            self._roll = Roll(
                self._api,
                self._place.lease,
                self._place.own,
                changed=changed,
                report=partial(self._troubles.judge, Topic.ROLL),
            )
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._roll.run(), name="roll of replicas")
                    tasks.create_task(lead(), name="leader")
            finally:
                self._roll = None
                for topic in (Topic.ROLL, Topic.STATUSES, Topic.EVENTS):
                    self._troubles.solve(topic)  # another's, from now on

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._member.run(), name="own Lease")
            tasks.create_task(self._reporter.run(), name="report to replicas")
            tasks.create_task(
                self._election.run(call_the_roll_and_lead), name="election"
            )
