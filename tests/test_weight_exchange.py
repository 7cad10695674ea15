"""Replicas have one set of weights by the Leases that each keeps, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import looptime
import msgspec
import pytest

from tests.control.mesh import INTERVAL, UNEQUAL, World, mesh, report
from tests.replicas.leases import LeaseApi, Leases
from xds_server.control.memory import YOUNG
from xds_server.control.team import Team
from xds_server.control.word import decode
from xds_server.mesh.event import Listed, Weighed
from xds_server.replicas.lease import Lease, LeaseName
from xds_server.replicas.member import LONGEST, REPORT
from xds_server.replicas.roll import Roll
from xds_server.sources.kube_api import KubeConfigError, KubeError
from xds_server.sources.reflector import Changed, News, Replaced, Troubled
from xds_server.weight_exchange import WeightExchange

NAME = LeaseName("system", "xds-server")
START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the roll be heard from the Leases there are, instead of by a watch."""
    monkeypatch.setattr(Roll, "run", hear)


async def hear(roll: Roll) -> None:
    """Tell *roll* of all Leases, and of each that changes."""
    api = roll._api
    assert isinstance(api, LeaseApi)
    told: dict[str, Lease] = {}
    is_first = True
    while True:
        await asyncio.sleep(0.1)
        if api.is_cut_off:
            roll._hear(Troubled(KubeError("forbidden", 403)))
            continue
        now = dict(api.leases.stored)
        news = [each for path, each in now.items() if told.get(path) != each]
        raw = [msgspec.Raw(msgspec.json.encode(each)) for each in news]
        if is_first:
            roll._hear(Replaced(tuple(raw)))
        else:
            for each in raw:
                roll._hear(Changed(each, is_deleted=False))
        told, is_first = now, False


@dataclass
class Replica:
    """One replica, and what it was told is wrong."""

    leases: Leases
    name: str
    is_elected: bool = False
    lasts: tuple[int, ...] = (1, 2, 3)
    started: datetime = START
    becomes_ready: bool = True
    has_listed: bool = False
    troubles: list[KubeError | KubeConfigError | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = LeaseApi(self.leases)
        self.world = World(team=Team(lambda: self.is_elected), now=0.0)
        self.exchange = WeightExchange(
            self.api,
            NAME,
            self.name,
            self.world.loop,
            said=self.troubles.append,
            heard=self.troubles.append,
            clock=self._now,
        )

    def _now(self) -> datetime:
        passed = asyncio.get_running_loop().time()
        return self.started + timedelta(seconds=passed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Replica"]:
        """Be a replica, whose endpoints are known once it has heard the others."""
        async with asyncio.TaskGroup() as tasks:
            every = [self.exchange.run(), self._follow(), self._live()]
            running = [tasks.create_task(each) for each in every]
            yield self
            for each in running:
                each.cancel()

    async def _follow(self) -> None:
        async for events in self.exchange.batches():
            self.world.now = asyncio.get_running_loop().time()
            weighed = [each for each in events if isinstance(each, Weighed)]
            self.world.take(weighed)
            if any(isinstance(each, Listed) for each in events):
                assert not self.has_listed
                self.has_listed = True
                self.world.apply(*mesh(*self.lasts))
                if self.becomes_ready:
                    self.world.loop.settle()

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            world = self.world
            world.now = asyncio.get_running_loop().time()
            world.loop.submit(report(UNEQUAL, node=self.name), world.now)
            world.take(world.tick())

    @property
    def weights(self) -> dict[str, int | None]:
        """The weights that its clients have."""
        return self.world.weights


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run *scene* in virtual time."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(scene())


def leader(leases: Leases) -> Replica:
    """Return a replica that leads."""
    return Replica(leases, "a", is_elected=True)


def said_by(leases: Leases, name: str) -> str:
    """Return what a replica says now."""
    path = NAME.about("weights").of_replica(name).path
    return leases.stored[path].metadata.annotations[REPORT]


def test_replicas_have_the_weights_of_the_one_that_leads() -> None:
    leases = Leases()

    async def scene() -> None:
        async with (
            leader(leases).running() as a,
            Replica(leases, "b").running() as b,
        ):
            await asyncio.sleep(65)
            assert a.world.shares[3] > 1.5 * a.world.shares[1]
            assert a.weights == b.weights
            written = leases.version
            await asyncio.sleep(600)
            # Once a period each, and hardly more.
            assert 2 * 60 <= leases.version - written <= 2 * 65

    play(scene)


def test_weights_outlive_the_one_that_computed_them() -> None:
    """Also where nobody else was there, and whoever comes has the same name."""
    leases = Leases()

    async def scene() -> None:
        async with leader(leases).running() as a:
            await asyncio.sleep(65)
        for name in ("b", "a"):
            async with Replica(leases, name).running() as later:
                await asyncio.sleep(1)
                assert later.weights == a.weights

    play(scene)


def test_weights_that_are_old_are_none() -> None:
    leases = Leases()

    async def scene() -> None:
        async with leader(leases).running() as a:
            await asyncio.sleep(65)
        late = START + YOUNG + timedelta(minutes=2)
        async with Replica(leases, "b", started=late).running() as b:
            await asyncio.sleep(1)
            assert len(set(b.weights.values())) == 1
            assert b.weights != a.weights

    play(scene)


def test_weights_that_stay_are_young() -> None:
    """They are said again, although nothing about them is new."""
    leases = Leases()

    async def scene() -> None:
        async with leader(leases).running() as a:
            await asyncio.sleep(65)
            a.is_elected = False
            await asyncio.sleep(2 * YOUNG.total_seconds())
            async with Replica(leases, "b").running() as b:
                await asyncio.sleep(1)
                assert b.weights == a.weights

    play(scene)


def test_who_must_not_hear_the_others_serves_all_the_same_and_does_not_lead() -> None:
    leases = Leases()

    async def scene() -> None:
        a = leader(leases)
        a.api.is_cut_off = True
        async with a.running():
            await asyncio.sleep(65)
            assert a.has_listed
            assert len(set(a.weights.values())) == 1
            assert any(a.troubles)

    play(scene)


def test_who_has_never_heard_the_others_has_listed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Routes are known, and weights can wait; what is wrong is told."""

    async def fail(roll: Roll) -> None:
        while True:
            roll._hear(Troubled(KubeError("no Leases today", 500)))
            await asyncio.sleep(1)

    monkeypatch.setattr(Roll, "run", fail)

    async def scene() -> None:
        async with leader(Leases()).running() as a:
            await asyncio.sleep(20)
            assert a.has_listed
            assert any(a.troubles)

    play(scene)


def test_who_hears_late_goes_on_from_what_it_had_said() -> None:
    leases = Leases()

    async def scene() -> None:
        async with leader(leases).running() as a:
            await asyncio.sleep(65)
        later = Replica(leases, "a")
        later.api.is_cut_off = True
        async with later.running():
            await asyncio.sleep(60)
            assert later.has_listed
            later.api.is_cut_off = False
            await asyncio.sleep(5)
            assert later.weights == a.weights

    play(scene)


@pytest.mark.parametrize("becomes_ready", [True, False])
def test_who_is_started_again_says_what_it_had_said(
    becomes_ready: bool,  # noqa: FBT001
) -> None:
    """As long as nobody leads, however often; nobody else may have these weights."""
    leases = Leases()

    async def scene() -> None:
        async with leader(leases).running() as a:
            await asyncio.sleep(65)
        for _ in range(3):
            again = Replica(leases, "a", becomes_ready=becomes_ready)
            async with again.running():
                await asyncio.sleep(100)
        async with Replica(leases, "b").running() as b:
            await asyncio.sleep(1)
            assert b.weights == a.weights

    play(scene)


def test_a_leader_that_becomes_deaf_computes_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its watch fails, while it is elected and can write."""
    leases, is_deaf, hear_of = Leases(), list[Roll](), Roll._hear

    def hear(roll: Roll, news: News) -> None:
        hear_of(
            roll, Troubled(KubeError("forbidden", 403)) if roll in is_deaf else news
        )

    monkeypatch.setattr(Roll, "_hear", hear)

    async def scene() -> None:
        async with (
            leader(leases).running() as a,
            Replica(leases, "b").running() as b,
        ):
            await asyncio.sleep(65)
            is_deaf.append(a.exchange._roll)
            await asyncio.sleep(15)
            before = a.weights
            await asyncio.sleep(100)
            assert b.weights == a.weights == before

    play(scene)


def test_endpoints_that_went_are_said_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ports go before them, and all is said again as soon as it fits."""
    leases = Leases()

    async def scene() -> None:
        async with leader(leases).running() as a:
            await asyncio.sleep(65)
            a.world.apply(*mesh(4, 5, 6))
            await asyncio.sleep(65)
            assert learned(said_by(leases, "a")) == (3, 3)
            room = len(said_by(leases, "a")) - 20
            monkeypatch.setattr("xds_server.weight_exchange.LONGEST", room)
            await asyncio.sleep(15)
            assert learned(said_by(leases, "a")) == (3, 0)
            monkeypatch.setattr("xds_server.weight_exchange.LONGEST", 250)
            await asyncio.sleep(15)
            assert learned(said_by(leases, "a")) == (0, 0)
            monkeypatch.setattr("xds_server.weight_exchange.LONGEST", LONGEST)
            await asyncio.sleep(15)
            assert learned(said_by(leases, "a")) == (3, 3)

    play(scene)


def test_what_clients_saw_is_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    leases = Leases()

    async def scene() -> None:
        async with (
            leader(leases).running(),
            Replica(leases, "b").running() as b,
        ):
            await asyncio.sleep(35)
            assert decode(said_by(leases, "b")).parts
            monkeypatch.setattr("xds_server.weight_exchange.LONGEST", 200)
            assert not decode(await b.exchange._text()).parts

    play(scene)


def learned(text: str) -> tuple[int, int]:
    """Return of how many endpoints a text tells, that there are and that went."""
    states = [each.state for each in decode(text).learned.values() if each.state]
    return (
        sum(len(each.endpoints) for each in states),
        sum(len(each.absent) for each in states),
    )


def test_what_does_not_fit_is_weighed_by_each_replica(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is said is made shorter until it does."""
    monkeypatch.setattr("xds_server.weight_exchange.LONGEST", 330)
    leases = Leases()

    async def scene() -> None:
        async with (
            leader(leases).running() as a,
            Replica(leases, "b", lasts=(1, 2)).running() as b,
        ):
            await asyncio.sleep(65)
            assert a.world.shares[3] > 1.5 * a.world.shares[1]
            assert len(said_by(leases, "a")) <= 330
            assert a.world.loop.word(0, 2).last == ("", "", 0)
            assert b.world.loop.word(0).parts == {}

    play(scene)
    assert LONGEST > 330
