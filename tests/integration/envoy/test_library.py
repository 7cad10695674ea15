"""The control plane of `examples/`, run as its reader would, with a real Envoy.

It is a script of its own that knows nothing of policies: what it serves goes through
the public API alone.
"""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.integration.envoy.world import LOOPBACK, PATIENCE, print_bootstrap, until
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.envoy import find_envoy, run_envoy
from xds_server.lab.process import Child, run_child
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import Request, Target, send
from xds_server.mesh.model import Protocol

pytestmark = pytest.mark.envoy

EXAMPLE: Final = Path(__file__).parents[3] / "examples" / "own_control_plane.py"


@dataclass(kw_only=True)
class World:
    """The example, an Envoy that follows it, and what it may list."""

    endpoints: Path
    script: Child
    target: Target
    backends: Sequence[Backend]

    def list_endpoints(self, *addresses: object) -> None:
        """Let the file list *addresses*, all at once."""
        draft = self.endpoints.with_suffix(".draft")
        draft.write_text("\n".join(map(str, addresses)))
        draft.replace(self.endpoints)

    async def printed(self, *words: str) -> None:
        """Wait until the script has printed a line with all of *words*."""

        async def is_there() -> bool:
            lines = self.script.log.read_text().splitlines()
            return any(all(word in line for word in words) for line in lines)

        await self.script.wait_for(is_there, " ".join(words), PATIENCE)

    async def servers(self) -> set[str]:
        """Return who serves a few requests."""
        return set(await send(self.target, [Request()] * 4))

    async def served_by(self, *backends: Backend) -> None:
        """Wait until requests go to *backends* and no others."""
        expected = {str(backend.address) for backend in backends}

        async def is_so() -> bool:
            return await self.servers() == expected

        await until(is_so)


@asynccontextmanager
async def run_world(home: Path, mode: str) -> AsyncIterator[World]:
    """Run everything, with the first backend listed; yield when Envoy listens."""
    backends = [
        Backend(
            address=Address(f"127.0.7.{last}", free_port()), protocol=Protocol.HTTP1
        )
        for last in (1, 2, 3)
    ]
    (folder := home / "listed").mkdir()
    (endpoints := folder / "endpoints.txt").write_text(str(backends[0].address))
    xds, admin, listener = (Address(LOOPBACK, free_port()) for _ in range(3))
    command = [sys.executable, *map(str, (EXAMPLE, endpoints, xds, listener.port))]
    bootstrap = home / "envoy.yaml"
    await print_bootstrap(
        bootstrap,
        *("--node-id", "me", "--mode", mode),
        *("--xds-address", str(xds), "--admin-address", str(admin)),
    )
    async with (
        serve_backends(backends),
        run_child("example", command, home / "example.log") as script,
        run_envoy(find_envoy(), bootstrap, admin) as envoy,
    ):
        await envoy.wait_for_listeners(frozenset([listener]))
        yield World(
            endpoints=endpoints,
            script=script,
            target=Target(listener=listener, authority="web", protocol=Protocol.HTTP1),
            backends=backends,
        )


@pytest.mark.parametrize("mode", ["delta", "sotw"])
async def test_a_control_plane_of_fifty_lines(tmp_path: Path, mode: str) -> None:
    """It serves traffic, follows its file, and names what Envoy rejects.

    Neither a rejected nor an unreadable list takes the last good one away.
    """
    async with run_world(tmp_path, mode) as world:
        first, second, third = world.backends
        await world.served_by(first)
        world.list_endpoints(second.address, third.address)
        await world.served_by(second, third)
        world.list_endpoints("localhost:80")
        await world.printed("me rejected web:", "malformed IP address: localhost")
        after_rejection = await world.servers()
        world.list_endpoints("nonsense")
        await world.printed("the last addresses stay")
        after_nonsense = await world.servers()
        world.list_endpoints(third.address)
        await world.served_by(third)

    expected = {str(second.address), str(third.address)}
    assert after_rejection == after_nonsense == expected
