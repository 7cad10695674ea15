"""What a replica says stands in a Lease of its own, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine

import looptime
import pytest

from tests.replicas.leases import LeaseApi, Leases
from xds_server.replicas.lease import LeaseName
from xds_server.replicas.member import REPORT, Member

NAME = LeaseName("system", "xds-server")
PATH = NAME.of_replica("a").path


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run *scene* in virtual time."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(scene())


async def say(member: Member, text: str) -> None:
    """Let a replica say something, and stop."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(member.run())
        member.say(text)
        await asyncio.sleep(1)
        running.cancel()


@pytest.mark.parametrize("stays", [False, True])
def test_what_was_said_goes_with_the_replica_or_stays(stays: bool) -> None:  # noqa: FBT001
    api = LeaseApi(Leases())
    member = Member(api, NAME, "a", report=lambda _: None, stays=stays)

    async def scene() -> None:
        await say(member, "hello")

    play(scene)
    found = api.leases.stored.get(PATH)
    assert (found is not None) == stays
    assert found is None or found.metadata.annotations == {REPORT: "hello"}
