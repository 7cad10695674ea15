"""What tests over gRPC share."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.serve.setting import Setting, assignment, cluster, listening


@pytest_asyncio.fixture
async def setting() -> AsyncIterator[Setting]:
    """A ready server with two clusters, and one assignment."""
    setting = Setting()
    setting.world.publish(cluster("a"), cluster("b"), assignment("a"))
    setting.world.snapshot.declare_ready()
    async with listening(setting):
        yield setting
