"""A lone change passes at once, a storm is gathered; the time is virtual."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from xds_server.debounce import Debounce

pytestmark = pytest.mark.looptime


class Delivered:
    """A debounce of 10 ms, at most 100 ms, and when there was a pulse, in ms."""

    def __init__(self) -> None:
        self.at: list[int] = []
        self.debounce = Debounce(
            quiet=timedelta(milliseconds=10), ceiling=timedelta(milliseconds=100)
        )

    async def follow(self) -> None:
        async for _ in self.debounce.pulses():
            self.at.append(round(asyncio.get_running_loop().time() * 1000))


@pytest_asyncio.fixture
async def delivered() -> AsyncIterator[Delivered]:
    """Return one that is followed."""
    delivered = Delivered()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(delivered.follow())
        yield delivered
        following.cancel()


async def test_lone_changes_are_delivered_at_once(delivered: Delivered) -> None:
    delivered.debounce.touch()
    await asyncio.sleep(0.05)
    delivered.debounce.touch()
    await asyncio.sleep(0.05)

    assert delivered.at == [0, 50]


async def test_what_follows_is_delivered_together_when_it_is_quiet(
    delivered: Delivered,
) -> None:
    for _ in range(5):
        delivered.debounce.touch()
        await asyncio.sleep(0.002)
    await asyncio.sleep(1)

    assert delivered.at == [0, 18]


async def test_a_storm_is_delivered_at_the_ceiling(delivered: Delivered) -> None:
    """And then gathered anew, without an end."""
    for _ in range(200):
        delivered.debounce.touch()
        await asyncio.sleep(0.002)
    await asyncio.sleep(1)

    assert len(delivered.at) == 5
    gaps = [b - a for a, b in zip(delivered.at, delivered.at[1:], strict=False)]
    assert all(98 <= gap <= 104 for gap in gaps[:3])
    assert delivered.at[-1] == 408


async def test_a_second_touch_is_not_lost(delivered: Delivered) -> None:
    delivered.debounce.touch()
    await asyncio.sleep(0.001)
    delivered.debounce.touch()
    await asyncio.sleep(1)

    assert delivered.at == [0, 11]
