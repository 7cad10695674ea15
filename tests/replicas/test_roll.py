"""Who is on the roll, in virtual time: who renews, for as long as that can be heard."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta

import looptime
import msgspec

from tests.replicas.leases import LeaseApi, Leases
from xds_server.replicas.lease import (
    Lease,
    LeaseName,
    LeaseSpec,
    ObjectMeta,
    Term,
    collection_path,
)
from xds_server.replicas.member import REPORT
from xds_server.replicas.roll import Roll
from xds_server.sources.kube_api import KubeConfigError, KubeError
from xds_server.sources.reflector import Changed, Replaced, Troubled

NAME = LeaseName("system", "xds-server")
RENEWAL = 5.0
DURATION = 15


def lease(replica: str, renewal: int, says: str = "") -> msgspec.Raw:
    """Return the Lease of *replica* as it is after so many renewals."""
    return msgspec.Raw(
        msgspec.json.encode(
            Lease(
                metadata=ObjectMeta(
                    name=f"xds-server-{replica}",
                    resource_version=str(renewal),
                    annotations={REPORT: says},
                ),
                spec=LeaseSpec(
                    lease_duration_seconds=DURATION, renew_time=str(renewal)
                ),
            )
        )
    )


@dataclass
class World:
    """The roll of the replica `a`, and what it hears."""

    api: LeaseApi = field(default_factory=lambda: LeaseApi(Leases()))
    troubles: list[KubeError | KubeConfigError | None] = field(default_factory=list)
    changes: int = 0
    renewals: int = 0
    term: Term = field(default_factory=Term)

    def __post_init__(self) -> None:
        self.roll = Roll(
            self.api,
            NAME,
            "a",
            changed=self.count,
            report=self.troubles.append,
            term=self.term,
        )

    def heard(self) -> tuple[str, ...] | None:
        """Who is on the roll; None while it is not heard."""
        return tuple(self.roll.reports) if self.roll.is_heard else None

    def count(self) -> None:
        """Count a change."""
        self.changes += 1

    async def pass_time(self, seconds: float, *renewing: str) -> None:
        """Let time pass while some replicas renew, and look through the roll."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            for each in renewing:
                self.renewals += 1
                renewed = lease(each, self.renewals)
                self.roll._hear(Changed(renewed, is_deleted=False))
            await asyncio.sleep(RENEWAL)
            await self.roll._strike()


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run *scene* in virtual time."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(scene())


def test_who_does_not_renew_is_struck_off() -> None:
    """Its Lease goes too; we ourselves are never on our roll."""
    world = World()
    path = f"{collection_path('system')}/xds-server-c"

    async def scene() -> None:
        assert world.heard() is None
        world.api.leases.stored[path] = msgspec.json.decode(lease("c", 0), type=Lease)
        listed = [lease("a", 0, "ours"), lease("b", 0, "yes"), lease("c", 0, "no")]
        world.roll._hear(Replaced(tuple(listed)))
        assert world.heard() == ("b", "c")
        assert world.roll.reports == {"b": "yes", "c": "no"}
        assert world.roll.own == "ours"
        await world.pass_time(2 * DURATION, "a", "b")
        assert world.heard() == ("b",)

    play(scene)
    assert path not in world.api.leases.stored


def test_leases_that_last_may_be_silent_for_as_much_longer() -> None:
    world = World(term=Term(duration=timedelta(seconds=3 * DURATION)))

    async def scene() -> None:
        world.roll._hear(Replaced((lease("b", 0),)))
        await world.pass_time(DURATION)
        assert world.roll.is_heard
        await world.pass_time(2 * DURATION)
        assert not world.roll.is_heard

    play(scene)


def test_a_watch_that_hangs_takes_nobody_off() -> None:
    """What the others have counted is not known then, and is again when it goes on."""
    world = World()

    async def scene() -> None:
        world.roll._hear(Replaced((lease("a", 0), lease("b", 0))))
        await world.pass_time(2 * DURATION, "a", "b")
        assert world.heard() == ("b",)
        before = world.changes
        await world.pass_time(4 * DURATION)
        assert world.heard() is None
        assert world.changes == before + 1
        world.roll._hear(Changed(lease("a", 9999), is_deleted=False))
        await world.roll._strike()
        assert world.heard() == ("b",)
        await world.pass_time(2 * DURATION, "a")
        assert world.heard() == ()

    play(scene)


def test_a_watch_that_breaks_is_told_and_the_roll_waits_for_news() -> None:
    world = World()

    async def scene() -> None:
        world.roll._hear(Replaced((lease("b", 0),)))
        world.roll._hear(Troubled(KubeError("connection refused")))
        assert world.heard() is None
        world.roll._hear(Troubled(None))
        world.roll._hear(Changed(lease("b", 1), is_deleted=False))
        assert world.heard() == ("b",)

    play(scene)
    assert [each is None for each in world.troubles] == [False, True]
