"""The hash functions behind Envoy's consistent hashes.

Bytes in, 64 bits out. Python has neither, and a dependency for forty lines that run
for a second would be dear.
"""

from collections.abc import Iterable
from typing import Final

_MASK: Final = (1 << 64) - 1
_PRIME_1: Final = 0x9E3779B185EBCA87
_PRIME_2: Final = 0xC2B2AE3D27D4EB4F
_PRIME_3: Final = 0x165667B19E3779F9
_PRIME_4: Final = 0x85EBCA77C2B2AE63
_PRIME_5: Final = 0x27D4EB2F165667C5
_MURMUR: Final = 0xC6A4A7935BD1E995
_STD_HASH_SEED: Final = 0xC70F6907
_LANES: Final = 4
_STRIPE: Final = 32
_WORD: Final = 8
_HALF_WORD: Final = 4


def xx_hash_64(data: bytes, seed: int = 0) -> int:
    """Return XXH64 of *data* (the xxHash specification)."""
    position = 0
    if len(data) >= _STRIPE:
        starts = (_PRIME_1 + _PRIME_2, _PRIME_2, 0, -_PRIME_1)
        lanes = [seed + start & _MASK for start in starts]
        while position <= len(data) - _STRIPE:
            for lane in range(_LANES):
                word = _word(data, position, _WORD)
                lanes[lane] = _xx_round(lanes[lane], word)
                position += _WORD
        result = sum(
            _rotate(lane, turn)
            for lane, turn in zip(lanes, (1, 7, 12, 18), strict=True)
        )
        for lane in lanes:
            merged = (result ^ _xx_round(0, lane)) & _MASK
            result = merged * _PRIME_1 + _PRIME_4
    else:
        result = seed + _PRIME_5
    result = result + len(data) & _MASK
    return _xx_finish(result, data[position:])


def _xx_round(lane: int, word: int) -> int:
    return _rotate(lane + word * _PRIME_2 & _MASK, 31) * _PRIME_1 & _MASK


def _xx_finish(result: int, rest: bytes) -> int:
    position = 0
    while position <= len(rest) - _WORD:
        result ^= _xx_round(0, _word(rest, position, _WORD))
        result = _rotate(result, 27) * _PRIME_1 + _PRIME_4 & _MASK
        position += _WORD
    if position <= len(rest) - _HALF_WORD:
        result ^= _word(rest, position, _HALF_WORD) * _PRIME_1 & _MASK
        result = _rotate(result, 23) * _PRIME_2 + _PRIME_3 & _MASK
        position += _HALF_WORD
    for byte in rest[position:]:
        result = _rotate(result ^ byte * _PRIME_5 & _MASK, 11) * _PRIME_1 & _MASK
    result = (result ^ result >> 33) * _PRIME_2 & _MASK
    result = (result ^ result >> 29) * _PRIME_3 & _MASK
    return result ^ result >> 32


def murmur_hash_2(data: bytes) -> int:
    """Return MurmurHash64A of *data*, seeded like libstdc++'s std::hash."""
    result = (_STD_HASH_SEED ^ len(data) * _MURMUR) & _MASK
    whole = len(data) - len(data) % _WORD
    for position in range(0, whole, _WORD):
        word = _word(data, position, _WORD) * _MURMUR & _MASK
        word = (word ^ word >> 47) * _MURMUR & _MASK
        result = (result ^ word) * _MURMUR & _MASK
    if rest := data[whole:]:
        result = (result ^ int.from_bytes(rest, "little")) * _MURMUR & _MASK
    result = (result ^ result >> 47) * _MURMUR & _MASK
    return result ^ result >> 47


def combine(values: Iterable[str]) -> int:
    """Return the hash of a request by the values of its keys, in the policy's order.

    So does Envoy's source/common/http/hash_policy.cc, whatever the ring hashes with.
    """
    result = 0
    for value in values:
        result = _rotate(result, 1) ^ xx_hash_64(value.encode())
    return result


def _word(data: bytes, position: int, size: int) -> int:
    return int.from_bytes(data[position : position + size], "little")


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & _MASK
