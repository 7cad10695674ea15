"""A port that has a loop: when its step is due, and what other replicas hear of it."""

from dataclasses import dataclass, field

from xds_server.control.observation import Observation
from xds_server.control.port_loop import PortLoop
from xds_server.control.standing import PortKey
from xds_server.control.word import Learned, Part, Turn


@dataclass(slots=True, kw_only=True)
class Member:
    """One of the ports that a `ControlLoop` has."""

    key: PortKey
    loop: PortLoop
    due: float
    """When the next step is."""
    pushes: int = 0
    pushed_at: float | None = None
    turn: Turn = field(default_factory=Turn)
    """Which change of its state this is, where there are several replicas."""
    part: Part | None = None
    """What was last seen here, of a port that another replica weighs."""

    def note(self, seen: Observation) -> None:
        """Note what was *seen*, for the replica that weighs the port."""
        loop = self.loop
        self.part = Part(self.turn, seen, loop.terms.metrics, loop.is_kept)

    def learned(self, now: float) -> Learned:
        """Return what others have to know who go on from here."""
        state = self.loop.save() if self.loop.is_settled else None
        return Learned(self.turn, self.due - now, state)
