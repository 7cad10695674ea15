"""This control plane as one of several replicas: who weighs which port, for whom.

One computes, from what the clients of all saw; the others have its weights, and what it
remembers. What replicas say comes in as `Word`s; nothing here sends or waits. One task
owns it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from xds_server.control.standing import PortKey
from xds_server.control.word import Learned, Part, Turn, Word

FORMER: Final = ""
"""The name of this replica before it was started again."""
_MOST_GONE: Final = 16
"""So many replicas that went are known when they are back."""


class Team:
    """What the other replicas say, and whether it is this one's turn to compute."""

    def __init__(self, is_elected: Callable[[], bool]) -> None:
        """Be a replica that leads while *is_elected* says so, and others are heard."""
        self._is_elected = is_elected
        self._is_heard = False
        self._words: Mapping[str, Word] = {}
        self._leader = Word()
        """The newest word of whoever computes, or did."""
        self._used: dict[str, dict[PortKey, Turn]] = {}
        """What each has said in this epoch that counted already."""
        self._greatest = 0
        """The greatest epoch of anybody's weights."""
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
            self.epoch = max(self.epoch, self._greatest) + 1
            self.is_speaker = True
            self._leader = Word()
            self._used.clear()
        return begins

    def next_turn(self) -> Turn:
        """Return the turn of a change that is made here."""
        self._number += 1
        return Turn(self.epoch, self._number)

    def weighs(self, key: PortKey) -> bool:
        """Whether this replica computes the weights of a port that it serves."""
        return self.is_leading or (self.last is not None and key > self.last)

    def hear(self, words: Mapping[str, Word] | None) -> bool:
        """Take in what all other replicas say, by name; None where they are not heard.

        `FORMER` is what this one said itself, which it goes on to say where it is the
        newest.

        Returns whether there are weights that may be newer than those served here.
        """
        self._is_heard = words is not None
        if words is None:
            return False
        self._words = words
        for name in [each for each in self._used if each not in words][:-_MOST_GONE]:
            del self._used[name]
        self._greatest = max((each.epoch for each in words.values()), default=0)
        speakers = (each for each in words.values() if each.speaks)
        word = max(speakers, key=_freshness, default=Word())
        is_rival = self.is_speaker and word.epoch == self.epoch
        if word.speaks and word.epoch >= self.epoch and not is_rival:
            self.epoch, self._leader, self.last = word.epoch, word, word.last
            self.is_speaker = word is words.get(FORMER)
            return True
        if is_rival or self._greatest > self.epoch:
            # Others have weights that pass for as new, or newer: begin again.
            self.is_leading = False
        return False

    def learned(self, key: PortKey) -> Learned | None:
        """Return what the leader remembers of a port."""
        return self._leader.learned.get(key)

    def parts(self, key: PortKey, metrics: tuple[str, ...]) -> Iterator[Part]:
        """Yield what the clients of the others saw of a port, each time once.

        Those that saw it in this epoch, by these *metrics*.
        """
        for name, word in self._words.items():
            part, used = word.parts.get(key), self._used.setdefault(name, {})
            if part is None or part.turn.epoch != self.epoch:
                continue
            if part.turn > used.get(key, Turn()) and part.metrics == metrics:
                used[key] = part.turn
                yield part


def _freshness(word: Word) -> tuple[int, Turn]:
    newest = max((each.turn for each in word.learned.values()), default=Turn())
    return word.epoch, newest
