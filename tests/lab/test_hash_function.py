"""The hashes are those of published vectors and of libstdc++."""

import pytest

from xds_server.lab.hash_function import combine, murmur_hash_2, xx_hash_64


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_xx_hash_64_gives_the_published_values(data: bytes, expected: int) -> None:
    assert xx_hash_64(data) == expected


def test_xx_hash_64_takes_a_seed() -> None:
    assert xx_hash_64(b"", 1) == 0xD5AFBA1336A3BE4B


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 6142509188972423790),
        (b"foo", 9631199822919835226),
        (b"abcdefgh", 8664279048047335611),
        (b"127.1.0.1:8080_1023", 4197448016989296065),
    ],
)
def test_murmur_hash_2_gives_the_values_of_std_hash(data: bytes, expected: int) -> None:
    """Printed by a C++ program with g++'s `std::hash<std::string>`."""
    assert murmur_hash_2(data) == expected


def test_a_single_key_is_hashed_as_it_is() -> None:
    assert combine(["abc"]) == xx_hash_64(b"abc")


def test_the_order_of_keys_counts() -> None:
    assert combine(["a", "b"]) != combine(["b", "a"])
