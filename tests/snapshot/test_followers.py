"""Who must hear of a change."""

from collections import Counter
from dataclasses import dataclass, field

from xds_server.snapshot.followers import Followers


@dataclass(frozen=True)
class Interest:
    """An interest in some names that counts how often it is asked."""

    names: frozenset[str]
    asked: Counter[str] = field(default_factory=Counter, compare=False)

    def covers_any(self, names: frozenset[str]) -> bool:
        self.asked["names"] += 1
        return not self.names.isdisjoint(names)


def test_an_interest_is_asked_once_about_a_change() -> None:
    """However many names changed, and however many follow it."""
    followers = Followers[str]()
    one, other = Interest(frozenset({"n7"})), Interest(frozenset({"x"}))
    for listener in ("a", "b"):
        followers.add(one, listener)
    followers.add(other, "c")
    concerned = list(followers.concerned([f"n{number}" for number in range(1000)]))

    assert concerned == ["a", "b"]
    assert one.asked["names"] == other.asked["names"] == 1
