"""Who leads, in virtual time: never two, and somebody whenever the server is there."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum, auto

import looptime
import pytest
from hypothesis import given, settings, strategies as st

from tests.replicas.leases import LeaseApi, Leases
from xds_server.replicas.election import Election
from xds_server.replicas.lease import LeaseName, Term
from xds_server.sources.kube_api import KubeConfigError, KubeError

NAME = LeaseName("system", "xds-server")
TERM = Term()
TAKEOVER = (TERM.duration + 2 * TERM.retry).total_seconds()
"""Within so many seconds another leads where one has vanished."""


@dataclass
class World:
    """A Lease, and who leads by it; `terms` has who began to, in order."""

    leases: Leases = field(default_factory=Leases)
    leading: list[str] = field(default_factory=list)
    terms: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    forgiven_until: float = float("-inf")
    """Two may lead before this: the Lease was deleted."""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when *condition* holds."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()


@dataclass
class Candidate:
    """One replica: how it reaches the server."""

    world: World
    identity: str

    def __post_init__(self) -> None:
        self.api = LeaseApi(self.world.leases)
        self.troubles: list[KubeError | KubeConfigError | None] = []
        self.election = Election(
            self.api, NAME, self.identity, report=self.troubles.append
        )

    async def run(self) -> None:
        """Stand for election."""
        await self.election.run(self.lead)

    async def lead(self) -> None:
        """Lead until that is over."""
        now = asyncio.get_running_loop().time()
        assert not self.world.leading or now < self.world.forgiven_until
        self.world.leading.append(self.identity)
        self.world.terms.append(self.identity)
        self.world.changed.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.world.leading.remove(self.identity)
            self.world.changed.set()


def candidates(world: World, count: int) -> list[Candidate]:
    """Return candidates called 0, 1 and so on."""
    return [Candidate(world, str(number)) for number in range(count)]


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run *scene* in virtual time."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(scene())


def test_one_leads_and_another_at_once_when_it_stops() -> None:
    world = World()
    first, second = candidates(world, 2)

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            one = tasks.create_task(first.run())
            await world.until(lambda: "0" in world.leading)
            other = tasks.create_task(second.run())
            await asyncio.sleep(60)
            assert world.terms == ["0"]
            one.cancel()
            async with asyncio.timeout(2 * TERM.retry.total_seconds()):
                await world.until(lambda: "1" in world.leading)
            assert not first.election.is_leading
            other.cancel()

    play(scene)
    (lease,) = world.leases.stored.values()
    assert lease.spec.lease_transitions == 2
    assert not lease.spec.holder_identity
    assert first.troubles[-1] is None


def test_who_was_stopped_for_longer_than_its_lease_leads_no_more() -> None:
    """From the first moment: its tasks have not run since."""
    world = World()
    (first,) = candidates(world, 1)

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(first.run())
            await world.until(lambda: bool(world.leading))
            before = first.election.is_leading
            first.election._renewed_at -= TERM.deadline.total_seconds()
            after = first.election.is_leading
            assert (before, after) == (True, False)
            running.cancel()

    play(scene)


def test_who_is_cut_off_stops_before_another_begins() -> None:
    world = World()
    both = candidates(world, 2)

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run()) for each in both]
            await asyncio.sleep(10)
            (name,) = world.leading
            leader = both[int(name)]
            leader.api.is_cut_off = True
            async with asyncio.timeout(TAKEOVER):
                async with asyncio.timeout(TERM.deadline.total_seconds() + 0.1):
                    await world.until(lambda: not world.leading)
                await world.until(lambda: bool(world.leading))
            assert world.leading != [name]
            assert isinstance(leader.troubles.pop(), KubeError)
            leader.api.is_cut_off = False
            await asyncio.sleep(30)
            assert leader.troubles[-1] is None
            assert world.leading != [name]
            for each in running:
                each.cancel()

    play(scene)
    assert len(world.terms) == 2


def test_a_call_that_hangs_is_no_reason_to_go_on_leading() -> None:
    world = World()
    (only,) = candidates(world, 1)

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(only.run())
            await asyncio.sleep(10)
            only.api.back = timedelta(hours=1).total_seconds()
            async with asyncio.timeout(TERM.deadline.total_seconds() + 0.1):
                await world.until(lambda: not world.leading)
            running.cancel()

    play(scene)


@pytest.mark.parametrize("attempt", range(5))
def test_a_renewal_counts_from_when_others_may_have_seen_it(attempt: int) -> None:
    """Its answer takes 7 s, and is the last that is heard."""
    del attempt  # pauses differ
    world = World()
    both = candidates(world, 2)

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run()) for each in both]
            await asyncio.sleep(10)
            leader = both[int(world.leading[0])]
            leader.api.back = 7.0
            await asyncio.sleep(9.5)
            leader.api.is_cut_off = True
            await asyncio.sleep(TAKEOVER)
            assert world.leading not in ([], [leader.identity])
            for each in running:
                each.cancel()

    play(scene)


def test_a_namespace_that_is_not_there_is_told() -> None:
    """Nothing can be created in it: that is another 404 than of a Lease."""
    world = World()
    (only,) = candidates(world, 1)
    only.api.has_namespace = False

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(only.run())
            await asyncio.sleep(10)
            running.cancel()

    play(scene)
    assert isinstance(only.troubles[-1], KubeError)
    assert world.terms == []


def test_work_that_fails_is_the_end_and_the_lease_is_free() -> None:
    world = World()
    (only,) = candidates(world, 1)

    async def fail() -> None:
        message = "no more"
        raise ValueError(message)

    with pytest.raises(
        ExceptionGroup, check=lambda group: bool(group.subgroup(ValueError))
    ):
        play(lambda: only.election.run(fail))

    (lease,) = world.leases.stored.values()
    assert not lease.spec.holder_identity


class Act(StrEnum):
    """What may happen to one candidate, or to the Lease."""

    CUT = auto()
    MEND = auto()
    SLOW_THERE = auto()
    SLOW_BACK = auto()
    QUICK = auto()
    DELETE = auto()


STEPS = st.lists(
    st.tuples(st.floats(0.1, 25), st.integers(0, 2), st.sampled_from(Act)),
    max_size=12,
)


def act(world: World, candidate: Candidate, what: Act) -> None:
    """Let it happen."""
    match what:
        case Act.CUT | Act.MEND:
            candidate.api.is_cut_off = what is Act.CUT
        case Act.SLOW_THERE:
            candidate.api.there = 4.0
        case Act.SLOW_BACK:
            candidate.api.back = 7.0
        case Act.QUICK:
            candidate.api.there = candidate.api.back = 0.01
        case Act.DELETE:
            world.leases.stored.clear()
            now = asyncio.get_running_loop().time()
            world.forgiven_until = now + TERM.deadline.total_seconds() + 1


@pytest.mark.thorough
@settings(max_examples=50, deadline=None)
@given(steps=STEPS)
def test_never_two_lead_whatever_happens_and_one_does_in_the_end(
    steps: list[tuple[float, int, Act]],
) -> None:
    """Calls fail, take long, lose their answers; the Lease may be deleted.

    A deletion forgets who held it: two may lead until the one hears of it.
    """
    world = World()
    three = candidates(world, 3)

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run()) for each in three]
            for pause, number, what in steps:
                await asyncio.sleep(pause)
                act(world, three[number], what)
            for candidate in three:
                act(world, candidate, Act.MEND)
                act(world, candidate, Act.QUICK)
            await asyncio.sleep(3 * TAKEOVER)
            leading = [one.identity for one in three if one.election.is_leading]
            assert world.leading == leading
            assert len(leading) == 1
            for each in running:
                each.cancel()

    play(scene)
