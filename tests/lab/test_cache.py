"""What a server remembers of keys."""

from hypothesis import given, strategies as st

from xds_server.lab.cache import Cache


def test_what_was_not_asked_for_the_longest_is_forgotten() -> None:
    cache = Cache(size=2, speedup=10)
    hits = [cache.has(key) for key in "abaca b".replace(" ", "")]

    assert hits == [False, False, True, False, True, False]


@given(st.lists(st.sampled_from("abcdef"), max_size=60), st.integers(1, 6))
def test_it_is_a_hit_where_fewer_others_came_since_than_it_keeps(
    keys: list[str], size: int
) -> None:
    cache = Cache(size=size, speedup=10)
    for position, key in enumerate(keys):
        before = keys[:position]
        since = (
            before[len(before) - before[::-1].index(key) :] if key in before else None
        )

        assert cache.has(key) is (since is not None and len(set(since)) < size)
