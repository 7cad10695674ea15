"""The loop has its time from the event loop, which is a virtual one here."""

import asyncio
from collections.abc import Awaitable, Callable

import looptime

from tests.control.mesh import CLUSTER, INTERVAL, WEB, measured, mesh, report
from xds_server.control.loop import ControlLoop
from xds_server.control.source import ControlSource
from xds_server.control.team import Team
from xds_server.control.word import Learned, Turn, Word
from xds_server.mesh.event import Applied, Weighed
from xds_server.mesh.index import Index

Scenario = Callable[[ControlSource, Index], Awaitable[None]]


def batches_of(scenario: Scenario) -> list[tuple[float, Weighed]]:
    """Run *scenario* in no time; return which weights were told, and when."""
    told: list[tuple[float, Weighed]] = []

    async def follow() -> None:
        source = ControlSource(ControlLoop(report_interval=lambda: INTERVAL))
        loop = asyncio.get_running_loop()

        async def listen() -> None:
            async for events in source.batches():
                told.extend((round(loop.time(), 3), each) for each in events)

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            await scenario(source, Index())
            listening.cancel()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(follow())
    return told


def put(source: ControlSource, index: Index, *, seconds: float = 10.0) -> None:
    """Let the servers be there, and be weighed."""
    documents = mesh(1, 2, 3, load_balancer=measured(seconds=seconds))
    index.apply([Applied(document=each) for each in documents])
    source.heed(index.services)


async def go_on(source: ControlSource, seconds: float) -> None:
    """Let time pass, in which clients report."""
    for _ in range(round(seconds / INTERVAL)):
        await asyncio.sleep(INTERVAL)
        source.submit(report({1: 0.08, 2: 0.08, 3: 0.02}))


def test_weights_are_told_when_a_period_is_over() -> None:
    async def scenario(source: ControlSource, index: Index) -> None:
        await asyncio.sleep(3)
        put(source, index)
        await go_on(source, 44)

    assert [when for when, _ in batches_of(scenario)] == [13, 23, 33, 43]


def test_a_period_that_becomes_shorter_is_not_waited_for() -> None:
    async def scenario(source: ControlSource, index: Index) -> None:
        put(source, index, seconds=100)
        await go_on(source, 6)
        put(source, index, seconds=4)
        await go_on(source, 10)

    assert [when for when, _ in batches_of(scenario)] == [10, 14]


def test_nothing_is_told_of_what_is_gone() -> None:
    async def scenario(source: ControlSource, index: Index) -> None:
        put(source, index)
        await go_on(source, 8)
        source.heed({WEB: None})
        await go_on(source, 20)

    assert batches_of(scenario) == []


def test_how_ports_stand_is_told_by_the_same_clock() -> None:
    async def scenario(source: ControlSource, index: Index) -> None:
        put(source, index)
        await go_on(source, 4)
        await asyncio.sleep(1.5)
        (standing,) = source.standings()

        assert f"{standing.namespace}/{standing.service}/{standing.port}" == CLUSTER
        assert standing.report_age == 1.5
        assert standing.push_age is None

    batches_of(scenario)


def test_a_step_that_the_leader_says_is_sooner_is_not_waited_for() -> None:
    async def follow() -> int:
        team = Team(lambda: False)
        loop = ControlLoop(report_interval=lambda: INTERVAL, team=team)
        source, clock = ControlSource(loop), asyncio.get_running_loop()

        async def listen() -> None:
            async for _ in source.batches():
                pass

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            put(source, Index(), seconds=100)
            await asyncio.sleep(2)
            soon = Learned(Turn(1, 1), 6.0, None)
            word = Word(epoch=1, speaks=True, learned={(*WEB, 80): soon})
            loop.hear({"a": word}, clock.time())
            await asyncio.sleep(6)
            listening.cancel()
        return loop.changes

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        assert runner.run(follow()) == 1
