"""What wire tests share: a listening server, and clients of it in any variant."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
import pytest_asyncio

from tests.serve.conversation import resource
from tests.serve.setting import Setting, listening
from tests.serve.wire import World
from tests.wire.client import BARRIER_TYPE, AnyClient, connect_to
from tests.wire.mesh import Mesh, serving_mesh
from tests.wire.variant import Variant
from xds_server.xds import EXTENSION, PUSH_ORDER, SECRET, VIRTUAL_HOST

Connect = Callable[[], AnyClient]


@pytest_asyncio.fixture
async def setting() -> AsyncIterator[Setting]:
    """A ready server with `a` and `b` of each type."""
    world = World(EXTENSION, SECRET, VIRTUAL_HOST, BARRIER_TYPE)
    # A busy machine takes its time over 10,000 requests; no test here waits for this.
    setting = Setting(world, answer_timeout=timedelta(hours=1))
    for type_url in PUSH_ORDER:
        world.publish(resource(type_url, "a"), resource(type_url, "b"))
    world.snapshot.declare_ready()
    async with listening(setting):
        yield setting


@pytest.fixture
def world(setting: Setting) -> World:
    """What the server serves."""
    return setting.world


@pytest.fixture
def connect(setting: Setting, variant: Variant) -> Connect:
    """Return a function that makes another client of the test's variant."""
    return lambda: connect_to(setting, variant)


@pytest.fixture
def client(connect: Connect) -> AnyClient:
    """A client of the test's variant."""
    return connect()


@pytest_asyncio.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """A server of a Service with two endpoints."""
    async with serving_mesh() as mesh:
        yield mesh
