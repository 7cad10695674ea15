"""This control plane as one of several replicas: who weighs which port, for whom.

One computes, from what the clients of all saw; the others have its weights, and what it
remembers. What replicas say comes in as `Word`s; nothing here sends or waits. One task
owns it.
"""

from collections.abc import Callable, Iterator, Mapping

from xds_server.control.observation import Observation
from xds_server.control.standing import PortKey
from xds_server.control.word import Learned, Turn, Word


class Team:
    """What the other replicas say, and whether it is this one's turn to compute."""

    def __init__(self, is_elected: Callable[[], bool]) -> None:
        """Be a replica that leads while *is_elected* says so, and others are heard."""
        self._is_elected = is_elected
        self._is_heard = False
        self._words: Mapping[str, Word] = {}
        self._leader = Word()
        """The newest word of whoever computes, or did."""
        self._used: dict[tuple[str, PortKey], Turn] = {}
        self._number = 0
        self.epoch = 0
        """Of the weights that are served here; 0 before there are any."""
        self.is_leading = False
        self.is_speaker = False
        """Whether the newest weights are from here. Who leads no more goes on to say
        them, until another does."""
        self.last: PortKey | None = None
        """The last port of which replicas tell each other, None where it is of all."""

    def look(self) -> bool:
        """Look whose turn it is; return whether this replica has just begun to lead."""
        was_leading = self.is_leading
        self.is_leading = self._is_heard and self._is_elected()
        begins = self.is_leading and not (was_leading and self.is_speaker)
        if begins:
            self.epoch += 1
            self.is_speaker = True
        return begins

    def next_turn(self) -> Turn:
        """Return the turn of a change that is made here."""
        self._number += 1
        return Turn(self.epoch, self._number)

    def weighs(self, key: PortKey) -> bool:
        """Whether this replica computes the weights of a port that it serves."""
        return self.is_leading or (self.last is not None and key > self.last)

    def hear(self, words: Mapping[str, Word]) -> bool:
        """Take in what all other replicas say, by name.

        Returns whether there are weights that may be newer than those served here.
        """
        self._is_heard = True
        self._words = words
        self._used = {each: t for each, t in self._used.items() if each[0] in words}
        speakers = (each for each in words.values() if each.speaks)
        word = max(speakers, key=_freshness, default=None)
        if word is None or word.epoch < self.epoch:
            return False
        if self.is_speaker and word.epoch == self.epoch:
            # Who led for a moment was not heard yet when this one began: begin again.
            self.is_leading = False
            return False
        self.epoch, self._leader, self.last = word.epoch, word, word.last
        self.is_speaker = False
        return True

    def learned(self, key: PortKey) -> Learned | None:
        """Return what the leader remembers of a port."""
        return None if self.is_speaker else self._leader.learned.get(key)

    def parts(self, key: PortKey) -> Iterator[Observation]:
        """Yield what the clients of the others saw of a port, each time once."""
        for name, word in self._words.items():
            part = word.parts.get(key)
            if part and part.turn > self._used.get((name, key), Turn(-1)):
                self._used[name, key] = part.turn
                yield part.seen


def _freshness(word: Word) -> tuple[int, Turn]:
    newest = max((each.turn for each in word.learned.values()), default=Turn())
    return word.epoch, newest
