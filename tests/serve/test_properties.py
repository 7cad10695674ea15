"""Any interleaving of requests, changes, answers and reconnects ends in agreement.

Two clients of one view, each behind a slow network, so that responses are shared while
their streams are in different states. At the end everything arrives, and then each
client holds what is published; on the way no response says what need not be said.
"""

import os
from collections.abc import Callable
from random import Random
from typing import Final

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.serve.model import Content
from tests.serve.peer import DeltaPeer, Peer, SotwPeer
from xds_server.serve.cohort import Cohorts
from xds_server.snapshot.table import Table
from xds_server.snapshot.view import Snapshot, Update, View
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource

NAMES: Final = ("a", "b", "")
TYPES: Final = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
THOROUGHNESS: Final = int(os.environ.get("XDS_TEST_THOROUGHNESS", "1"))
"""How many times more examples than usual are tried."""

types = st.sampled_from(TYPES)
names = st.sets(st.sampled_from(NAMES), max_size=3)
names_or_wildcard = st.sets(st.sampled_from((*NAMES, "*")), max_size=3)
which = st.sampled_from((0, 1))


class AdsMachine(RuleBasedStateMachine):
    """What happens to a server; subclasses say how clients ask."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = {type_url: Table(type_url) for type_url in TYPES}
        self.content: dict[str, Content] = {type_url: {} for type_url in TYPES}
        self.replaced: dict[str, dict[str, bytes | None]] = {t: {} for t in TYPES}
        self.snapshot = Snapshot()
        self.view = View(self.tables.values())
        self.cohorts = Cohorts()
        self.history: dict[str, bytes] = {}
        self.peers: tuple[Peer, Peer]

    @rule(
        changes=st.dictionaries(
            types, st.tuples(names, names, st.integers(0, 2)), max_size=4
        )
    )
    def publish(self, changes: dict[str, tuple[set[str], set[str], int]]) -> None:
        """Resources appear, change (also back) and go, in several types at once."""
        updates = []
        for type_url, (applied, deleted, number) in changes.items():
            content = self.content[type_url]
            before = dict(content)
            for name in deleted - applied:
                content.pop(name, None)
            content.update({name: f"{name}|{number}".encode() for name in applied})
            touched = {
                name
                for name in applied | deleted
                if before.get(name) != content.get(name)
            }
            self.replaced[type_url] |= {name: before.get(name) for name in touched}
            for peer in self.peers:
                peer.auditor.hear_change(type_url, touched)
            resources = (
                Resource(type_url=type_url, name=name, body=content[name])
                for name in applied
            )
            updates.append(
                Update(
                    table=self.tables[type_url],
                    applied=tuple(resources),
                    deleted=tuple(deleted),
                )
            )
        self.snapshot.publish(updates)

    @rule(peer=which, count=st.integers(1, 3))
    def server_reads(self, peer: int, count: int) -> None:
        for _ in range(min(count, len(self.peers[peer].requests))):
            self.peers[peer].server_reads()

    @rule(peer=which, count=st.integers(1, 6))
    def server_writes(self, peer: int, count: int) -> None:
        for _ in range(count):
            self.peers[peer].server_writes()

    @rule(peer=which, rejects=st.booleans())
    def client_reads(self, peer: int, *, rejects: bool) -> None:
        if self.peers[peer].responses:
            self.peers[peer].client_reads(rejects=rejects)

    @rule(peer=which, type_url=types)
    def server_gives_up(self, peer: int, type_url: str) -> None:
        self.peers[peer].server_gives_up(type_url)

    @rule(peer=which, tells_versions=st.booleans())
    def reconnect(self, peer: int, *, tells_versions: bool) -> None:
        self.peers[peer].reconnect(tells_versions=tells_versions)


class SotwMachine(AdsMachine):
    """State-of-the-world clients."""

    def __init__(self) -> None:
        super().__init__()
        self.sotw = [
            SotwPeer(self.view, self.cohorts, self.content, self.replaced, self.history)
            for _ in range(2)
        ]
        self.peers = (self.sotw[0], self.sotw[1])

    @rule(peer=which, type_url=types, wanted=names_or_wildcard)
    def ask(self, peer: int, type_url: str, wanted: set[str]) -> None:
        self.sotw[peer].ask(type_url, wanted)

    def teardown(self) -> None:
        for peer in self.peers:
            peer.settle(can_say_missing=False)


class DeltaMachine(AdsMachine):
    """Delta clients."""

    def __init__(self) -> None:
        super().__init__()
        self.delta = [
            DeltaPeer(
                self.view, self.cohorts, self.content, self.replaced, self.history
            )
            for _ in range(2)
        ]
        self.peers = (self.delta[0], self.delta[1])

    @rule(
        peer=which,
        type_url=types,
        subscribe=names_or_wildcard,
        unsubscribe=names_or_wildcard,
    )
    def ask(
        self, peer: int, type_url: str, subscribe: set[str], unsubscribe: set[str]
    ) -> None:
        self.delta[peer].ask(type_url, subscribe, unsubscribe - subscribe)

    def teardown(self) -> None:
        for peer in self.peers:
            peer.settle(can_say_missing=True)


TestSotw = SotwMachine.TestCase
TestDelta = DeltaMachine.TestCase
TestSotw.settings = TestDelta.settings = settings(
    max_examples=120 * THOROUGHNESS, stateful_step_count=20
)


def walk(machine: SotwMachine | DeltaMachine, random: Random) -> None:
    """Take random steps, then settle: what a machine does, at a tenth of the cost."""

    def some(pool: tuple[str, ...]) -> set[str]:
        return {random.choice(pool) for _ in range(random.randint(0, 3))}

    def ask(peer: int, type_url: str) -> None:
        if isinstance(machine, SotwMachine):
            machine.ask(peer, type_url, some((*NAMES, "*")))
        else:
            machine.ask(peer, type_url, some((*NAMES, "*")), some((*NAMES, "*")))

    def publish(_: int, type_url: str) -> None:
        other = random.choice(TYPES)
        machine.publish(
            {
                each: (some(NAMES), some(NAMES), random.randint(0, 2))
                for each in (type_url, other)
            }
        )

    steps: dict[Callable[[int, str], None], int] = {
        ask: 20,
        publish: 20,
        lambda peer, _: machine.server_reads(peer, random.randint(1, 3)): 20,
        lambda peer, _: machine.server_writes(peer, random.randint(1, 6)): 17,
        lambda peer, _: machine.client_reads(peer, rejects=random.random() < 0.2): 17,
        machine.server_gives_up: 3,
        lambda peer, _: machine.reconnect(
            peer, tells_versions=random.random() < 0.7
        ): 3,
    }
    for step in random.choices(
        list(steps), list(steps.values()), k=random.choice((8, 20, 40))
    ):
        step(random.randint(0, 1), random.choice(TYPES))
    machine.teardown()


@pytest.mark.parametrize("machine", [SotwMachine, DeltaMachine])
def test_random_walks(machine: type[SotwMachine | DeltaMachine]) -> None:
    """Thousands of longer interleavings; a failure names the seed that repeats it."""
    for seed in range(2_000 * THOROUGHNESS):
        try:
            walk(machine(), Random(seed))  # noqa: S311 - a walk, not a secret
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")
