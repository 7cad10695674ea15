"""A lone change passes at once, a storm is gathered; the time is virtual."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import looptime

from xds_server.debounce import Debounce

Scenario = Callable[[Debounce], Awaitable[None]]


async def follow(scenario: Scenario) -> list[int]:
    """Return when there was a pulse, in ms: 10 ms quiet, 100 ms ceiling."""
    debounce = Debounce(
        quiet=timedelta(milliseconds=10), ceiling=timedelta(milliseconds=100)
    )
    loop = asyncio.get_running_loop()
    pulses: list[int] = []

    async def listen() -> None:
        async for _ in debounce.pulses():
            pulses.append(round(loop.time() * 1000))  # noqa: PERF401 - as they come

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(listen())
        await scenario(debounce)
        await asyncio.sleep(1)
        listening.cancel()
    return pulses


def pulses_of(scenario: Scenario) -> list[int]:
    """Run *scenario* in no time; return when there was a pulse, in ms."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(follow(scenario))


async def touch_every_2_ms(debounce: Debounce, times: int) -> None:
    for _ in range(times):
        debounce.touch()
        await asyncio.sleep(0.002)


def test_lone_changes_are_delivered_at_once() -> None:
    async def scenario(debounce: Debounce) -> None:
        debounce.touch()
        await asyncio.sleep(0.05)
        debounce.touch()

    assert pulses_of(scenario) == [0, 50]


def test_what_follows_is_delivered_together_when_it_is_quiet() -> None:
    async def scenario(debounce: Debounce) -> None:
        await touch_every_2_ms(debounce, 5)

    assert pulses_of(scenario) == [0, 18]


def test_a_storm_is_delivered_at_the_ceiling() -> None:
    """And then gathered anew, without an end."""

    async def scenario(debounce: Debounce) -> None:
        await touch_every_2_ms(debounce, 200)

    first, *middle, last = pulses_of(scenario)

    assert (first, last) == (0, 408)
    assert len(middle) == 3
    gaps = [after - before for before, after in zip([0, *middle], middle, strict=False)]
    assert all(98 <= gap <= 104 for gap in gaps)


def test_a_second_touch_is_not_lost() -> None:
    async def scenario(debounce: Debounce) -> None:
        debounce.touch()
        await asyncio.sleep(0.001)
        debounce.touch()

    assert pulses_of(scenario) == [0, 11]
