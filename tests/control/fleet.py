"""Several replicas of a control plane in virtual time, and the Leases between them.

Each has an index and a loop, and clients of its own. What they say goes through texts;
who leads, and who is cut off, is told by the test.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from tests.control.mesh import INTERVAL, UNEQUAL, World, report
from xds_server.api.document import Document
from xds_server.control.loop import MOST_SHARED
from xds_server.control.team import Team
from xds_server.control.word import Word, decode, encode

STEP = 0.5
"""Seconds in which nothing happens."""
LAG = 1.0
"""Seconds from a change to when it is said."""

read = lru_cache(64)(decode)


@dataclass
class Replica:
    """One replica. Its clients measure `means`, the seconds of an answer by server."""

    name: str
    world: World
    team: Team
    is_elected: list[bool]
    clients: int = 1
    answers: int = 40
    means: Mapping[int, float] = field(default_factory=lambda: UNEQUAL)
    is_cut_off: bool = False
    changed_at: float | None = None
    changes: int = 0
    history: list[Mapping[str, int | None]] = field(default_factory=list)

    @property
    def weights(self) -> dict[str, int | None]:
        """The weights that its clients have."""
        return self.world.weights


class Fleet:
    """Some replicas with the same *documents*."""

    def __init__(
        self,
        *documents: Document,
        clients: Sequence[int] = (1, 1),
        most: int = MOST_SHARED,
    ) -> None:
        self.most = most
        self.documents = list(documents)
        self.now = 1000.0
        self.texts: dict[str, str] = {}
        self.replicas: list[Replica] = []
        for number, count in enumerate(clients):
            self.join("abcdef"[number], clients=count)

    def __getitem__(self, name: str) -> Replica:
        return next(each for each in self.replicas if each.name == name)

    def join(self, name: str, *, clients: int = 1) -> Replica:
        """Start a replica, which hears the others before it serves."""
        is_elected = [False]
        team = Team(lambda: is_elected[0])
        world = World(team=team, now=self.now)
        world.loop.hear(self._heard(name), self.now)
        world.apply(*self.documents)
        replica = Replica(name, world, team, is_elected, clients=clients)
        replica.history.append(world.weights)
        self.replicas.append(replica)
        return replica

    def kill(self, name: str) -> None:
        """Let a replica stop; its last word stays for a while."""
        self.replicas.remove(self[name])

    def bury(self, name: str) -> None:
        """Let the Lease of a replica that stopped run out."""
        self.texts.pop(name, None)

    def elect(self, name: str | None) -> None:
        """Let one replica lead, or none."""
        for each in self.replicas:
            each.is_elected[0] = each.name == name

    def apply(self, *documents: Document, to: Callable[[Replica], bool] = bool) -> None:
        """Change the mesh: all replicas hear of it."""
        self.documents += documents
        for each in self.replicas:
            if to(each):
                each.world.now = self.now
                each.world.apply(*documents)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            for each in self.replicas:
                self._live(each)
            for each in self.replicas:
                self._speak(each)
            for each in self.replicas:
                self._hear(each)

    def _live(self, replica: Replica) -> None:
        world = replica.world
        world.now = self.now
        if self.now % INTERVAL == 0:
            for number in range(replica.clients):
                node = f"{replica.name}{number}"
                told = report(replica.means, node=node, answers=replica.answers)
                world.loop.submit(told, self.now)
        world.take(world.tick())

    def _speak(self, replica: Replica) -> None:
        loop = replica.world.loop
        if loop.changes != replica.changes and replica.changed_at is None:
            replica.changed_at = self.now
        is_late = (
            replica.changed_at is not None and self.now - replica.changed_at >= LAG
        )
        if is_late and not replica.is_cut_off:
            replica.changes, replica.changed_at = loop.changes, None
            self.texts[replica.name] = encode(loop.word(self.now, self.most))

    def _hear(self, replica: Replica) -> None:
        if not replica.is_cut_off:
            world = replica.world
            world.take(world.loop.hear(self._heard(replica.name), self.now))
        if replica.weights != replica.history[-1]:
            replica.history.append(replica.weights)

    def _heard(self, name: str) -> dict[str, Word]:
        return {each: read(text) for each, text in self.texts.items() if each != name}
