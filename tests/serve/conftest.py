"""What tests over gRPC share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio

from tests.serve.setting import GRACE, Setting, assignment, cluster
from tests.serve.wire import (
    channel_to,
)


@pytest_asyncio.fixture
async def setting() -> AsyncIterator[Setting]:
    """A ready server with two clusters, and one assignment."""
    setting = Setting()
    setting.world.publish(cluster("a"), cluster("b"), assignment("a"))
    setting.world.snapshot.declare_ready()
    async with setting.listening, AsyncExitStack() as channels:
        setting.address = await setting.listening.enter_async_context(
            setting.server.listening("127.0.0.1:0", grace=GRACE)
        )
        setting.channel = await channels.enter_async_context(
            channel_to(setting.address)
        )
        yield setting
