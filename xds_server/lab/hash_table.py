"""Envoy's two consistent hashes, rebuilt: who owns which hash.

Endpoints, their weights and a policy's parameters in; each endpoint's share of all
hashes out, and how much moves when an endpoint leaves. A ring is no exact image of the
weights (with 256 entries an endpoint, 6 % off is ordinary), so keys are judged against
the ring itself. Sources: ring_hash_lb.cc and maglev_lb.cc under Envoy's
source/extensions/load_balancing_policies. Measured on Envoy 1.40: every key of every
sample went where these tables say.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from xds_server.api.policy import HashFunction, Maglev, RingHash
from xds_server.lab.hash_function import murmur_hash_2, xx_hash_64

_HASHES: Final = 1 << 64
_FUNCTIONS: Final[dict[HashFunction, Callable[[bytes], int]]] = {
    HashFunction.XX_HASH: xx_hash_64,
    HashFunction.MURMUR_HASH_2: murmur_hash_2,
}


@dataclass(frozen=True, slots=True)
class HashTable:
    """A circle of `size` positions, cut into stretches with one owner each.

    A stretch goes from the end before it, exclusive, to its own end; the first one
    also has what follows the last end. A hash's position is the hash modulo the size.
    """

    size: int
    ends: tuple[int, ...]
    owners: tuple[str, ...]

    def owner(self, hash_: int) -> str:
        """Return who serves the requests whose keys have this hash."""
        stretch = bisect_left(self.ends, hash_ % self.size)
        return self.owners[stretch % len(self.owners)]

    def shares(self) -> Mapping[str, float]:
        """Return the part of all hashes that each owner has."""
        owned: Counter[str] = Counter()
        before = self.ends[-1] - self.size
        for end, owner in zip(self.ends, self.owners, strict=True):
            owned[owner] += end - before
            before = end
        return {owner: part / self.size for owner, part in owned.items()}

    def moved(self, after: "HashTable") -> float:
        """Return the part of the staying owners' hashes that change hands.

        *after* is the table without some of the owners. A perfect table gives 0.
        """
        staying = set(after.owners)
        kept = moved = 0
        ends = sorted({*self.ends, *after.ends})
        before = ends[-1] - self.size
        for end in ends:
            owner = self.owner(end)
            if owner in staying:
                kept += end - before
                moved += (end - before) * (owner != after.owner(end))
            before = end
        return moved / kept


def build_ring(weights: Mapping[str, int], ring: RingHash) -> HashTable:
    """Return the ring for endpoints (`IP:port`, in the assignment's order).

    The least weight gets a whole number of entries, the others about their multiple.
    """
    function = _FUNCTIONS[ring.hash_function]
    total = sum(weights.values())
    scale = ring_size(weights, ring)
    entries: list[tuple[int, str]] = []
    target = 0.0
    for address, weight in weights.items():
        target += scale * (weight / total)
        number = 0
        while len(entries) < target:
            entries.append((function(f"{address}_{number}".encode()), address))
            number += 1
    entries.sort()
    hashes, owners = zip(*entries, strict=True)
    return HashTable(_HASHES, hashes, owners)


def ring_size(weights: Mapping[str, int], ring: RingHash) -> float:
    """Return how many entries the ring is meant to have; a part of one makes one."""
    least = min(weights.values()) / sum(weights.values())
    wanted = math.ceil(least * ring.minimum_ring_size) / least
    return min(wanted, float(ring.maximum_ring_size))


def build_maglev(weights: Mapping[str, int], maglev: Maglev) -> HashTable:
    """Return the Maglev table for endpoints (`IP:port`).

    Each endpoint walks the slots in an order of its own and takes free ones, the
    heaviest in every round, the others in their proportion (Eisenbud et al., Maglev,
    NSDI 2016, section 3.4).
    """
    size, heaviest = maglev.table_size, max(weights.values())
    slots: list[str | None] = [None] * size
    addresses = sorted(weights)
    walks = {address: _Walk(address, size) for address in addresses}
    targets = dict.fromkeys(addresses, 0)
    taken = round_ = 0
    while taken < size:
        round_ += 1
        for address in addresses:
            if round_ * weights[address] < targets[address] or taken == size:
                continue
            targets[address] += heaviest
            slot = walks[address].step()
            while slots[slot] is not None:
                slot = walks[address].step()
            slots[slot] = address
            taken += 1
    owners = tuple(owner for owner in slots if owner is not None)
    return HashTable(size, tuple(range(size)), owners)


class _Walk:
    """The order in which one endpoint wants the slots."""

    def __init__(self, address: str, size: int) -> None:
        self._size = size
        self._slot = xx_hash_64(address.encode()) % size
        self._skip = xx_hash_64(address.encode(), 1) % (size - 1) + 1

    def step(self) -> int:
        """Return the next slot."""
        slot = self._slot
        self._slot = (slot + self._skip) % self._size
        return slot
