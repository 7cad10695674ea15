"""The property that carries all others: what `check` accepts, Envoy acknowledges.

Random meshes and policies go the whole way, from a file that a server follows to two
real Envoys, some at a time. In the end each Envoy has every cluster, has refused
nothing, and has not written a word of warning. `make fuzz` tries 10,000 policies.
"""

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies as st

from tests.fuzz.meshes import Mesh, meshes
from tests.fuzz.written import Json
from tests.integration.envoy.judges import run_judges
from tests.integration.envoy.world import LOOPBACK
from xds_server.mesh.model import Section

POLICIES: Final = int(os.environ.get("XDS_TEST_FUZZ_POLICIES", "500"))
SEED: Final = int(os.environ.get("XDS_TEST_FUZZ_SEED", "1"))
AT_ONCE: Final = 25
GATHERED: Final = 200
ROUNDS_OF_A_SEED: Final = 1_000_000
SECONDS_A_POLICY: Final = 2.0

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.thorough,
    pytest.mark.timeout(120 + SECONDS_A_POLICY * POLICIES),
]


def batches(chosen: int) -> Iterator[Sequence[Mesh]]:
    """Yield random meshes without end, the same for a seed."""
    for round_ in count():
        found = list(gather(chosen + ROUNDS_OF_A_SEED * round_))
        for first in range(0, len(found), AT_ONCE):
            yield found[first : first + AT_ONCE]


def gather(chosen: int) -> Iterable[Mesh]:
    """Return some meshes, each in a namespace of its own."""
    found: list[Mesh] = []

    @seed(chosen)
    @settings(
        max_examples=GATHERED,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        found.append(data.draw(meshes(f"n{chosen}-{len(found)}")))

    draw()
    return found


async def test_what_check_accepts_envoy_acknowledges(tmp_path: Path) -> None:
    in_force = 0
    sections: set[Section] = set()
    async with run_judges(tmp_path) as judges:
        for batch in batches(SEED):
            verdict = await judges.judge(batch)
            in_force += verdict.policies
            sections |= verdict.sections
            if in_force >= POLICIES:
                break
    print(f"\nseed {SEED}: {in_force} policies in force, none refused")  # noqa: T201 - what a long run found

    assert sections == set(Section)


async def test_the_judges_are_strict(tmp_path: Path) -> None:
    """A port that is taken is nothing that `check` could know of."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        service = service_at(taken.getsockname()[1])
        async with run_judges(tmp_path) as judges:
            with pytest.raises(AssertionError, match="cannot bind"):
                await judges.judge([Mesh([service], policies=0)])


def service_at(port: int) -> Json:
    """Return a Service for which each sidecar listens on *port*."""
    annotations = {"traffic.xds-server.dev/listen-port": str(port)}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": "db", "annotations": annotations},
        "spec": {"ports": [{"name": "db", "port": 5432}]},
    }
