"""Names by how often clients must hear of them."""

from datetime import timedelta

from xds_server.snapshot.upkeep import Upkeep

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def test_names_are_found_by_their_interval() -> None:
    upkeep = Upkeep()
    for name, interval in [("a", SECOND), ("b", MINUTE), ("c", SECOND)]:
        upkeep.set(name, interval)

    assert set(upkeep.intervals) == {SECOND, MINUTE}
    assert set(upkeep.names(SECOND)) == {"a", "c"}


def test_an_interval_that_no_name_has_any_more_is_gone() -> None:
    upkeep = Upkeep()
    upkeep.set("a", SECOND)
    upkeep.set("a", MINUTE)
    before = set(upkeep.intervals)
    upkeep.set("a", None)
    upkeep.set("never there", None)

    assert before == {MINUTE}
    assert not upkeep.intervals
    assert not upkeep.names(MINUTE)
