"""How single values of other projects are read."""

import pytest

from xds_server.api.manifest import Value
from xds_server.importer.gateway_value import read_payload, read_statuses
from xds_server.importer.istio_value import read_distribution, read_priorities
from xds_server.importer.value import (
    NOTHING,
    NotCarriedError,
    Silence,
    count,
    count_unless_zero,
    duration,
    size,
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("10s", "10s"),
        ("180.000s", "3m"),
        ("1.5s", "1s500ms"),
        ("0.5s", "500ms"),
        ("1h30m", "1h30m"),
        ("1m0.25s", "1m250ms"),
        ("5000us", "5ms"),
        ("0s", "0s"),
    ],
)
def test_durations_are_those_of_go(written: str, read: str) -> None:
    assert duration(written) == read


@pytest.mark.parametrize(
    "written", ["10", "", "s", "-1s", "1.5ms", "10 s", "1d", 10, True, "9" * 60 + "h"]
)
def test_what_is_no_duration_of_milliseconds_is_refused(written: Value) -> None:
    with pytest.raises(NotCarriedError):
        duration(written)


@pytest.mark.parametrize(
    ("written", "read"), [(5, 5), ("65537", 65537), (5.0, 5), (-1, -1), (0, 0)]
)
def test_numbers_may_be_text_as_in_the_json_of_protobuf(
    written: Value, read: int
) -> None:
    assert count(written) == read


@pytest.mark.parametrize("written", [True, "x", "1.5", 1.5, None, [], {}])
def test_what_is_no_integer_is_refused(written: Value) -> None:
    with pytest.raises(NotCarriedError):
        count(written)


@pytest.mark.parametrize(("written", "read"), [(0, NOTHING), ("0", NOTHING), (3, 3)])
def test_protobufs_zero_says_nothing(written: Value, read: Value | Silence) -> None:
    assert count_unless_zero(written) == read


@pytest.mark.parametrize(
    ("written", "read"), [(32768, 32768), ("100Mi", 104857600), ("1k", 1000)]
)
def test_sizes_are_quantities(written: Value, read: int) -> None:
    assert size(written) == read


def test_statuses_become_ranges() -> None:
    assert read_statuses([204, 201, 200, 301, 200]) == ["200-201", "204", "301"]


def test_payloads_become_hexadecimal_digits() -> None:
    assert read_payload({"type": "Text", "text": "PING"}) == "50494e47"
    assert read_payload({"type": "Binary", "binary": "UE9ORw=="}) == "504f4e47"


@pytest.mark.parametrize(
    ("place", "read"),
    [
        ("region1/zone1/*", {"region": "region1", "zone": "zone1"}),
        ("region1/zone1", {"region": "region1", "zone": "zone1"}),
        ("us-west/*", {"region": "us-west"}),
        ("us-west", {"region": "us-west"}),
    ],
)
def test_places_are_regions_and_zones(place: str, read: dict[str, Value]) -> None:
    assert read_distribution({"from": place, "to": {place: 100}}) == {
        "from": read,
        "to": [{**read, "weight": 100}],
    }
    assert read_distribution({"from": "*", "to": {place: 1}}) == {
        "to": [{**read, "weight": 1}]
    }


@pytest.mark.parametrize(
    "written",
    [
        {"from": "a/b/c", "to": {"a": 1}},
        {"from": "a", "to": {"*": 1}},
        {"from": "a", "to": [1]},
        {"from": 1, "to": {"a": 1}},
    ],
)
def test_what_is_no_place_here_is_refused(written: Value) -> None:
    with pytest.raises(NotCarriedError):
        read_distribution(written)


def test_priorities_of_places_are_an_order() -> None:
    region, zone = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"

    assert read_priorities([region, zone]) == ["Zone", "Region"]
    assert read_priorities([zone, "kubernetes.io/hostname"]) == ["Node", "Zone"]


@pytest.mark.parametrize(
    "written",
    [[], ["app"], ["a=b"], ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]],
)
def test_priorities_of_other_labels_are_refused(written: Value) -> None:
    with pytest.raises(NotCarriedError):
        read_priorities(written)
