"""What a replica says stands in a Lease of its own, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine

import looptime
import pytest

from tests.replicas.leases import LeaseApi, Leases
from xds_server.replicas.lease import LeaseName
from xds_server.replicas.member import REPORT, Member
from xds_server.sources.kube_api import KubeError

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
        assert not await member.recall()
        await say(member, "hello")
        assert await member.recall() == ("hello" if stays else "")

    play(scene)
    found = api.leases.stored.get(PATH)
    assert (found is not None) == stays
    assert found is None or found.metadata.annotations == {REPORT: "hello"}


def test_an_api_server_that_does_not_say_is_no_replica_that_said_nothing() -> None:
    api = LeaseApi(Leases())
    api.is_cut_off = True
    member = Member(api, NAME, "a", report=lambda _: None)

    async def scene() -> None:
        with pytest.raises(KubeError):
            await member.recall()

    play(scene)
