"""Policies that are good each, and cannot be in force together at one Service."""

from collections.abc import Sequence
from functools import partial

import pytest

from tests.mesh.documents import endpoint, policy, service, slice_of
from tests.mesh.test_attachment import condition, index_of
from tests.translate.mesh_input import Spec, load_balancer, sections
from xds_server.api.document import Document
from xds_server.api.policy import LoadBalancer, LoadBalancerType, LocalityType
from xds_server.api.problem import ObjectKey
from xds_server.mesh.explanation import Fate
from xds_server.mesh.index import Index
from xds_server.mesh.model import Upstream
from xds_server.mesh.status import Condition, ConditionType, Reason

HASH = load_balancer({"type": "RingHash", "hashOn": [{"sourceIP": {}}]})
SIX = slice_of([endpoint(f"10.0.0.{n}", zone="ab"[n % 2]) for n in range(1, 7)])
SERVICE, PORT, SPACE, MESH = ("web",), ("web:http",), ("*",), ("*", "mesh")
"""Targets, by their level."""


def written(
    name: str,
    targets: Sequence[str],
    balancer: LoadBalancer | None = None,
    locality: Spec | None = None,
    clients: dict[str, str] | None = None,
) -> Document:
    found = sections({"locality": locality} if locality else {}).locality
    make = partial(
        policy,
        name,
        balancer,
        targets=targets[:1],
        namespace="xds-system" if targets == MESH else "shop",
        clients=clients,
    )
    return make(locality=found) if found else make()


def zones(targets: Sequence[str] = SERVICE, name: str = "zones") -> Document:
    return written(name, targets, locality={"type": "ZoneAware"})


def hashed(
    targets: Sequence[str] = SERVICE, clients: dict[str, str] | None = None
) -> Document:
    return written("hash", targets, HASH, clients=clients)


def mesh(*policies: Document, annotation: str = "") -> Index:
    annotations = {"traffic.xds-server.dev/load-balancer": annotation}
    return index_of(
        service(annotations=annotations if annotation else None), SIX, *policies
    )


def web(index: Index) -> Upstream:
    (upstream,) = index.services["shop", "web"].upstreams
    return upstream


def in_force(index: Index) -> tuple[LoadBalancerType, LocalityType | None]:
    """Return the types of both sections."""
    locality = web(index).sections.locality
    return web(index).load_balancer.type, locality.type if locality else None


def told(index: Index, name: str, type_: ConditionType) -> Condition | None:
    """Return a condition of a policy, in whatever namespace it is."""
    found = [s for key, s in index.statuses.items() if key.name == name]
    return condition(found[0], type_)


def rival(index: Index, name: str) -> str:
    found = told(index, name, ConditionType.INCOMPATIBLE)
    return found.message if found else ""


ZONES = LocalityType.ZONE_AWARE
RING, PLAIN = LoadBalancerType.RING_HASH, LoadBalancerType.ROUND_ROBIN


def test_a_broader_locality_gives_way() -> None:
    """Its policy is not wrong: it is for other Services, too."""
    index = mesh(zones(SPACE), hashed())
    accepted = told(index, "zones", ConditionType.ACCEPTED)
    warned = told(index, "zones", ConditionType.WARNINGS)

    assert in_force(index) == (RING, None)
    assert rival(index, "zones") == "TrafficPolicy shop/hash (loadBalancer)"
    assert rival(index, "hash") == ""
    assert accepted is not None
    assert accepted.status
    assert warned is not None
    assert warned.message == (
        "Service shop/web does without: ZoneAware cannot be combined with "
        "loadBalancer.type RingHash: that is in force, by TrafficPolicy shop/hash at "
        "policy.yaml:1:3"
    )


def test_a_broader_load_balancer_gives_way_to_the_next_that_fits() -> None:
    """Or to the default, where none does."""
    random = written("random", MESH, load_balancer({"type": "Random"}))
    index = mesh(zones(), hashed(SPACE))
    with_mesh = mesh(zones(), hashed(SPACE), random)

    assert in_force(index) == (PLAIN, ZONES)
    assert in_force(with_mesh) == (LoadBalancerType.RANDOM, ZONES)
    assert rival(with_mesh, "hash") == "TrafficPolicy shop/zones (locality)"
    assert rival(with_mesh, "random") == ""


@pytest.mark.parametrize(
    ("zones_for", "hash_for", "expected", "loser"),
    [
        (SERVICE, PORT, (RING, None), "zones"),
        (PORT, SERVICE, (PLAIN, ZONES), "hash"),
        (SPACE, MESH, (PLAIN, ZONES), "hash"),
        (MESH, SPACE, (RING, None), "zones"),
        (SERVICE, SERVICE, (RING, None), "zones"),  # by name, as everywhere
        (SPACE, SPACE, (RING, None), "zones"),
    ],
)
def test_the_nearer_or_else_the_first_is_in_force(
    zones_for: Sequence[str], hash_for: Sequence[str], expected: object, loser: str
) -> None:
    index = mesh(zones(zones_for), hashed(hash_for))
    (winner,) = {"zones", "hash"} - {loser}

    assert in_force(index) == expected
    assert rival(index, loser)
    assert not rival(index, winner)


def test_of_one_level_the_later_is_in_error() -> None:
    index = mesh(zones(), hashed())
    accepted = told(index, "zones", ConditionType.ACCEPTED)
    (error,) = [p for p in index.problems if p.severity == "error"]

    assert accepted is not None
    assert not accepted.status
    assert accepted.reason is Reason.INCOMPATIBLE
    assert accepted.message == error.message
    assert error.path == "spec.locality.type"
    assert error.hint == (
        "use locality.type Weighted or Failover, or another loadBalancer"
    )


def test_a_conflict_is_more_than_an_incompatibility() -> None:
    """Of three policies for one Service, one conflicts and does not go with another."""
    both = written(
        "z",
        SERVICE,
        load_balancer({"type": "Random"}),
        locality={"type": "ZoneAware"},
    )
    index = mesh(hashed(), both)
    accepted = told(index, "z", ConditionType.ACCEPTED)

    assert in_force(index) == (RING, None)
    assert accepted is not None
    assert accepted.reason is Reason.CONFLICTED
    assert rival(index, "z") == "TrafficPolicy shop/hash (loadBalancer)"


def test_an_annotation_is_the_services_own_word() -> None:
    """It gives way to what names the Service, and is stronger than what does not."""
    narrow = mesh(zones(), annotation="IP_HASH")
    broad = mesh(zones(SPACE), annotation="IP_HASH")
    (error,) = [p for p in narrow.problems if p.severity == "error"]

    assert in_force(narrow) == (PLAIN, ZONES)
    assert error.object_key == ObjectKey("Service", "shop", "web")
    assert "TrafficPolicy shop/zones" in error.message
    assert in_force(broad) == (LoadBalancerType.IP_HASH, None)
    assert rival(broad, "zones") == "Service shop/web (loadBalancer)"


def test_what_goes_together_is_left_alone() -> None:
    index = mesh(written("near", SPACE, locality={"type": "Failover"}), hashed())

    assert in_force(index) == (RING, LocalityType.FAILOVER)
    assert rival(index, "near") == ""


def test_it_is_explained() -> None:
    index = mesh(zones(SPACE), hashed())
    (explanation,) = index.explain(("shop", "web"), frozenset())
    (loser,) = explanation.losers

    assert loser.fate is Fate.INCOMPATIBLE
    assert loser.policy == "TrafficPolicy shop/zones"
    assert loser.reason == (
        "with loadBalancer of TrafficPolicy shop/hash, for Service shop/web"
    )


def test_clients_with_labels_may_have_what_the_others_cannot() -> None:
    """The hash is for some; the others keep the zones."""
    index = mesh(zones(), hashed(clients={"tier": "batch"}))
    (variant,) = web(index).variants

    assert in_force(index) == (PLAIN, ZONES)
    assert variant.upstream.load_balancer.type is RING
    assert variant.upstream.sections.locality is None
