"""What replicas tell each other of policies, and how much room it takes."""

import asyncio
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import looptime
import pytest
from hypothesis import given, strategies as st

from xds_server.api.document import Revision
from xds_server.api.problem import ObjectKey
from xds_server.policy_status.census import Nodes, Reach, Refusal
from xds_server.policy_status.report import Replica, Report, Reporter, encode
from xds_server.policy_status.trouble import Troubles

NAMES = st.lists(st.text(min_size=1, max_size=20), max_size=3).map(tuple)
NODES = st.builds(Nodes, first=NAMES, count=st.integers(0, 10**6))
REACHES = st.builds(
    Reach,
    interested=st.integers(0, 10**6),
    acknowledged=st.integers(0, 10**6),
    waiting=NODES,
    refusals=st.lists(
        st.builds(Refusal, nodes=NODES, text=st.text(), is_answered=st.booleans()),
        max_size=2,
    ).map(tuple),
)
UNKNOWN = Reach(uncounted=("replica b",))
ONE = Revision(uid="1" * 32, generation=1)


@dataclass
class Counted:
    """What is counted of some policies."""

    policies: Mapping[Revision, tuple[Reach, ...]]

    def __post_init__(self) -> None:
        self._found = {each.uid: (each, found) for each, found in self.policies.items()}

    def keys(self) -> Sequence[ObjectKey]:
        """Return which there are."""
        return [ObjectKey("TrafficPolicy", "a", each.uid) for each in self.policies]

    def count(self, key: ObjectKey) -> tuple[Revision, tuple[Reach, ...]] | None:
        """Return how far one has come."""
        return self._found.get(key.name)


def told(counted: Counted, troubles: Troubles | None = None) -> str:
    """Return what is said first of *counted*."""
    said: list[str] = []

    async def scene() -> None:
        reporter = Reporter(
            lambda: counted, said.append, troubles=troubles or Troubles()
        )
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(reporter.run())
            await asyncio.sleep(1)
            task.cancel()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(scene())
    (text,) = said
    return text


@given(targets=st.lists(REACHES, max_size=3).map(tuple))
def test_another_replica_hears_what_was_counted(targets: tuple[Reach, ...]) -> None:
    revision = Revision(uid=str(uuid.UUID(int=7, version=4)), generation=2)
    peer = Replica("b", told(Counted({revision: targets})))

    assert [peer.reach(revision, each) for each in range(len(targets))] == [*targets]
    assert peer.reach(revision, len(targets)) == UNKNOWN


def test_another_revision_was_not_counted() -> None:
    revision = Revision(uid="1" * 32, generation=2)
    peer = Replica("b", told(Counted({revision: (Reach(interested=1),)})))

    for other in (Revision(uid="1" * 32, generation=3), Revision(uid="2" * 32)):
        assert peer.reach(other, 0) == UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        "e30=",
        encode(Report(version=2)),
        encode(Report(policies={"1" * 12: (1, (0,))})),
        encode(Report(policies={"1" * 12: (1, (-1,))}, reaches=(Reach(),))),
    ],
)
def test_what_cannot_be_read_is_not_counted(text: str) -> None:
    assert Replica("b", text).reach(ONE, 0) == UNKNOWN


def mesh_of(policies: int) -> Counted:
    """Return what a mesh of so many policies might report."""
    rng = random.Random(1)  # noqa: S311 - the same mesh each time
    few = [
        Reach(interested=500, acknowledged=each, waiting=Nodes.of(["x"] * (500 - each)))
        for each in (500, 499, 498)
    ]
    return Counted(
        {
            Revision(
                uid=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                generation=rng.randint(1, 9),
            ): (rng.choice(few),)
            for _ in range(policies)
        }
    )


@pytest.mark.parametrize(("policies", "fit"), [(10_000, True), (20_000, False)])
def test_what_does_not_fit_into_a_lease_is_said(policies: int, *, fit: bool) -> None:
    """Then nobody counts on what is here: not even on the first of the policies."""
    troubles, counted = Troubles(), mesh_of(policies)
    first, (reach,) = next(iter(counted.policies.items()))
    peer = Replica("b", told(counted, troubles))

    assert peer.reach(first, 0) == (reach if fit else UNKNOWN)
    message = (
        f"cannot say in one Lease how far policies have come: "
        f"{policies} policies do not fit in a Lease"
    )
    assert [each.message for each in troubles.problems] == ([] if fit else [message])
