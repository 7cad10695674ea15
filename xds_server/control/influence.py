"""How much one client may say of one endpoint, so that a lie is bounded.

An Envoy may be broken, or somebody else's. Nobody can say which of two clients is
right. Where several others saw enough of an endpoint, the client that says the most of
it counts for no more than twice what the next one says, or a third of what all others
say together, whichever is more.
"""

from typing import Final

LEAST_OTHERS: Final = 2
LEAST_ANSWERS: Final = 20
"""Others hold a client to something where so many of them had so many answers."""
_TIMES_NEXT: Final = 2.0
_PART_OF_OTHERS: Final = 1 / 3


def most_of(total: float, greatest: float, second: float) -> float:
    """Return what the client with the *greatest* part of *total* may count for.

    Honest parts are seldom that unequal by chance, so most reports count as they are.
    """
    return max(_TIMES_NEXT * second, _PART_OF_OTHERS * (total - greatest))


class Parts:
    """The greatest of the parts that clients have of something; they only grow."""

    __slots__ = ("greatest", "owner", "second")

    def __init__(self) -> None:
        self.owner: str | None = None
        """Whose the greatest part is."""
        self.greatest = 0.0
        self.second = 0.0
        """The greatest part of any other."""

    def grow(self, client: str, part: float) -> None:
        """Hear that the part of *client* is now this, no less than before."""
        if client == self.owner:
            self.greatest = part
        elif part > self.greatest:
            self.second = self.greatest
            self.owner, self.greatest = client, part
        elif part > self.second:
            self.second = part

    def factor(self, total: float) -> float:
        """Return what to take the reports of `owner` times, at most 1.

        *total* is the sum of all parts.
        """
        if self.greatest <= 0:
            return 1.0
        most = most_of(total, self.greatest, self.second)
        return min(1.0, max(0.0, most / self.greatest))
