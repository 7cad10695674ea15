"""What a server remembers: keys whose answers it has at hand.

Keys in, one at a time; whether its answer was there out.
"""

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Cache:
    """The answers to the last `size` different keys; one at hand takes 1/`speedup`.

    The key that was not asked for the longest is forgotten first.
    """

    size: int
    speedup: float
    _keys: dict[str, None] = field(default_factory=dict)

    def has(self, key: str) -> bool:
        """Return whether the answer to *key* is at hand; it is, from now on."""
        found = key in self._keys
        self._keys.pop(key, None)
        self._keys[key] = None
        if len(self._keys) > self.size:
            del self._keys[next(iter(self._keys))]
        return found
