"""What a `locality` section says of the endpoints that it is for."""

import pytest

from tests.mesh.documents import endpoint, node, pod, policy, service, slice_of
from tests.mesh.test_attachment import condition, index_of, key
from tests.translate.mesh_input import Spec, sections
from xds_server.api.document import Document
from xds_server.mesh.index import Index
from xds_server.mesh.model import Upstream
from xds_server.mesh.status import ConditionType

N1 = node("n1", region="north", zone="a")
HINTED = slice_of(
    [
        endpoint("10.0.0.1", pod="web-1", node="n1", for_zones=["b"]),
        endpoint("10.0.0.2", zone="c"),
    ]
)
PODS = (pod("web-1", labels={"rack": "r1", "empty": ""}), N1)


def localised(spec: Spec, *documents: Document) -> Index:
    """Return a mesh of one Service, and a policy `p` for it with this `locality`."""
    locality = sections({"locality": spec}).locality
    assert locality is not None
    return index_of(service(), *documents, policy("p", locality=locality))


def web(index: Index) -> Upstream:
    (upstream,) = index.services["shop", "web"].upstreams
    return upstream


def warnings(index: Index) -> str:
    found = condition(index.statuses[key("p")], ConditionType.WARNINGS)
    return found.message if found else ""


def ordered(*order: str) -> Spec:
    return {"type": "Failover", "failover": {"order": order}}


def test_endpoints_are_near_to_clients_of_where_they_run_and_of_their_labels() -> None:
    """A policy does not read hints, which are about a `trafficDistribution`."""
    order = ("Node", "Zone", "Region", "label:rack", "label:empty", "label:x")
    found = web(localised(ordered(*order), HINTED, *PODS))

    assert found.failover == order
    assert [each.near for each in found.endpoints] == [
        (("n1",), ("a",), ("north",), ("r1",), ("",), ()),
        ((), ("c",), (), (), (), ()),
    ]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (("Node", "Zone", "Region", "label:rack", "label:empty"), ""),
        (("Zone", "label:x"), "has no effect: of no endpoint a label x is known"),
    ],
)
def test_what_no_endpoint_has_is_told(order: tuple[str, ...], said: str) -> None:
    assert warnings(localised(ordered(*order), HINTED, *PODS)) == said


def test_what_is_known_of_no_endpoint_has_no_effect() -> None:
    """Nothing is said of a Service without any."""
    nowhere = localised({"type": "Failover"}, slice_of(["10.0.0.1"]))
    (told, _) = [each.hint for each in nowhere.problems]

    assert warnings(nowhere) == (
        "has no effect: of no endpoint a zone is known; "
        "has no effect: of no endpoint a region is known"
    )
    assert told == "an EndpointSlice says it by zone, or a Node by its label"
    assert "has no effect" not in warnings(localised({"type": "Failover"}))


def weighted(*rules: Spec, **more: str) -> Spec:
    return {"type": "Weighted", "weighted": {"rules": rules, **more}}


def to(**weights: int) -> Spec:
    shares = tuple({"zone": zone, "weight": n} for zone, n in weights.items())
    return {"to": shares}


NOBODY = "is for nobody: an earlier rule is for all these clients"
NOT_THERE = "no endpoint is there: the others have its share"
NOTHING_LEFT = "leaves no endpoint: these clients get no answer but 503"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (weighted(to(a=1, c=2)), ""),
        (weighted(to(a=1, x=2)), NOT_THERE),
        (weighted(to(a=1, x=0)), ""),
        (weighted(to(a=0, c=0)), NOTHING_LEFT),
        (weighted(to(x=1), default="None"), f"{NOTHING_LEFT}; {NOT_THERE}"),
        (weighted(to(a=1), {"from": {"zone": "a"}, **to(c=1)}), NOBODY),
        (
            weighted(
                {"from": {"region": "n"}, **to(a=1)},
                {"from": {"region": "n", "zone": "a"}, **to(c=1)},
            ),
            NOBODY,
        ),
        (
            weighted(
                {"from": {"zone": "a"}, **to(a=1)},
                {"from": {"region": "n"}, **to(c=1)},
                to(c=1),
            ),
            "",
        ),
    ],
)
def test_shares_and_rules_without_effect_are_told(spec: Spec, said: str) -> None:
    assert warnings(localised(spec, HINTED, *PODS)) == said


@pytest.mark.parametrize(
    ("size", "documents", "said"),
    [
        (2, (HINTED, *PODS), ""),
        (6, (HINTED, *PODS), "zones do not count: there are 2 endpoints (got 6)"),
        (1, (slice_of(["10.0.0.1"]),), "has no effect: of no endpoint a zone is known"),
        (6, (), "port http of Service shop/web has no ready endpoint"),
    ],
)
def test_zones_that_envoy_would_not_look_at_are_told(
    size: int, documents: tuple[Document, ...], said: str
) -> None:
    spec = {"type": "ZoneAware", "zoneAware": {"minimumClusterSize": size}}

    assert warnings(localised(spec, *documents)) == said


def test_a_pod_that_gets_another_label_moves_its_endpoint() -> None:
    index = localised(ordered("label:rack"), HINTED)
    before = web(index).endpoints[0].near
    index = localised(ordered("label:rack"), HINTED, *PODS)

    assert before == ((),)
    assert web(index).endpoints[0].near == (("r1",),)
