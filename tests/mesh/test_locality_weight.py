"""What share each locality gets, by where the client is."""

import pytest
from hypothesis import given, strategies as st

from tests.translate.mesh_input import Spec, sections
from xds_server.api.policy import WeightedLocality
from xds_server.mesh.locality_weight import nearest, rule_at, weigh_localities
from xds_server.mesh.model import Endpoint, Health, Locality
from xds_server.xds import NOWHERE, Place


def weighted(spec: Spec) -> WeightedLocality:
    found = sections({"locality": {"type": "Weighted", "weighted": spec}}).locality
    assert found is not None
    assert found.weighted is not None
    return found.weighted


def at(
    zone: str, region: str = "", *, weight: int | None = None, draining: bool = False
) -> Endpoint:
    return Endpoint(
        address="10.0.0.1",
        port=80,
        locality=Locality(region=region, zone=zone),
        health=Health.DRAINING if draining else Health.HEALTHY,
        weight=weight,
    )


def to(*shares: Spec) -> Spec:
    return {"rules": ({"to": shares},)}


FOUR = [at("a", "n"), at("b", "n"), at("b", "n"), at("c", "s")]
A, B, C = (Locality(region=r, zone=z) for z, r in (("a", "n"), ("b", "n"), ("c", "s")))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (to({"zone": "a", "weight": 80}, {"zone": "b", "weight": 20}), [80, 20, 1]),
        (to({"zone": "a", "weight": 5}, {"region": "n", "weight": 5}), [5, 5, 1]),
        (to({"region": "n", "weight": 6}), [2, 4, 1]),
        (to({"region": "n", "weight": 1}), [1, 2, 3]),
        (to({"region": "n", "zone": "b", "weight": 9}), [1, 9, 1]),
        (to({"zone": "b", "weight": 0}), [1, None, 1]),
        (to({"zone": "x", "weight": 90}), [1, 2, 1]),
        ({**to({"zone": "a", "weight": 4}), "default": "None"}, [1, None, None]),
        ({**to({"zone": "x", "weight": 4}), "default": "None"}, [None, None, None]),
    ],
)
def test_a_place_has_its_share_whatever_the_number_of_its_endpoints(
    spec: Spec, expected: list[int | None]
) -> None:
    """What a region gets, its zones share by their endpoints."""
    found = weigh_localities(weighted(spec), NOWHERE, FOUR)

    assert [found.get(each) for each in (A, B, C)] == expected


def test_a_client_that_no_rule_is_for_sees_no_localities() -> None:
    """Endpoints then share by their own weights, and all alike where they have none."""
    rules = weighted(
        {"rules": ({"from": {"zone": "a"}, "to": ({"zone": "a", "weight": 1},)},)}
    )
    plain = weigh_localities(rules, Place(zone="z"), FOUR)
    own = weigh_localities(rules, NOWHERE, [at("a", weight=5), at("b", weight=7)])

    assert plain == {A: 1, B: 2, C: 1}
    assert list(own.values()) == [5, 7]


def test_what_drains_does_not_count() -> None:
    spec = to({"zone": "a", "weight": 1}, {"zone": "b", "weight": 1})
    some = [at("a"), at("b", draining=True), at("c"), at("c", draining=True)]

    found = weigh_localities(weighted(spec), NOWHERE, some)
    assert {key.zone: weight for key, weight in found.items()} == {
        "a": 1,
        "b": 1,  # the least that there is: an Envoy counts it as none
        "c": 1,
    }


places = st.builds(
    Place,
    region=st.sampled_from(["", "n", "s"]),
    zone=st.sampled_from(["", "a", "b"]),
)


def _as_text(origin: Spec | None) -> str:
    return str(sorted((origin or {}).items()))


origins = st.none() | st.fixed_dictionaries(
    {}, optional={"region": st.sampled_from("ns"), "zone": st.sampled_from("ab")}
).filter(bool)
rules = st.lists(
    origins,
    min_size=1,
    max_size=5,
    unique_by=_as_text,
).map(
    lambda some: weighted(
        {
            "rules": tuple(
                {"from": one, "to": ({"zone": "a", "weight": 1},)} for one in some
            )
        }
    )
)


@given(rules, places)
def test_the_nearest_place_has_the_same_rule(
    some: WeightedLocality, place: Place
) -> None:
    near = nearest(some, place)

    assert rule_at(some, near) == rule_at(some, place)
    assert nearest(some, near) == near
