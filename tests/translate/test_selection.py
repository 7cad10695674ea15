"""One resource for all clients, with what some of them are told inside."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from tests.mesh.documents import endpoint, pod, policy, service, slice_of
from tests.mesh.test_attachment import BY_HEADER, RANDOM
from tests.snapshot.forms import by_zone
from xds_server.api.document import Document
from xds_server.api.policy import (
    ClientSelector,
    Failover,
    HealthCheck,
    HealthCheckType,
    LoadBalancer,
    LoadBalancerType,
    Locality,
    LocalityType,
    Session,
    SessionCookie,
    SessionHeader,
    SessionType,
    WeightRule,
    Weights,
)
from xds_server.mesh.audience import labels_of
from xds_server.mesh.event import Applied
from xds_server.mesh.index import Index
from xds_server.mesh.model import Audience, Client
from xds_server.mesh.section import policy_of
from xds_server.snapshot.encoding import digest_of, encode
from xds_server.snapshot.table import Table
from xds_server.translate.selection import select
from xds_server.translate.service import build_entrance, build_service
from xds_server.xds import CLUSTER, NOWHERE, Labels, Place, Resource

BATCH: Labels = frozenset({("tier", "batch")})
TEAM: Labels = frozenset({("team", "x")})
WEB = Resource(type_url=CLUSTER, name="web", body=b"all", owners=("Service web",))


def told(body: bytes, *owners: str) -> Resource:
    return replace(WEB, body=body, owners=("Service web", *owners))


def at(resource: Resource, **labels: str) -> Resource:
    return resource.at(Place(labels=frozenset(labels.items())))


def test_a_client_is_told_what_is_for_its_labels() -> None:
    """Other labels that it has do not matter."""
    resource = select(WEB, {BATCH: told(b"batch", "b")})

    assert at(resource) == at(resource, tier="web", app="x") == WEB
    assert at(resource, tier="batch", app="x") == told(b"batch", "b")


def test_what_is_the_same_for_all_has_no_forms() -> None:
    assert select(WEB, {}) is WEB
    assert select(WEB, {BATCH: told(b"all")}) is WEB


def test_whose_word_it_is_counts() -> None:
    resource = select(WEB, {BATCH: told(b"all", "b")})

    assert at(resource, tier="batch").owners == ("Service web", "b")
    assert at(resource).owners == ("Service web",)


def test_clients_of_one_group_share_the_encoding() -> None:
    resource = select(WEB, {BATCH: told(b"batch", "b")})
    encoded = encode(resource, digest_of(resource))
    one, other = [
        Place(zone=zone, labels=frozenset({("tier", "batch"), ("pod", zone)}))
        for zone in "ab"
    ]

    assert encoded.at(one) is encoded.at(other)
    assert encoded.at(one).owners == encoded.owners_at(one) == ("Service web", "b")
    assert encoded.owners_at(NOWHERE) == ("Service web",)
    assert [encoded.is_made_of(each) for each in ("Service web", "b", "c")] == [
        True,
        True,
        False,
    ]
    assert encoded.at(NOWHERE) is encoded


def test_what_any_client_is_told_counts_in_the_version() -> None:
    """And so does which one."""
    variants = [
        {BATCH: told(b"batch")},
        {BATCH: told(b"other")},
        {TEAM: told(b"batch")},
        {BATCH: told(b"batch"), TEAM: told(b"batch")},
        {BATCH: told(b"batch"), BATCH | TEAM: told(b"batch")},
        {},
    ]
    digests = {digest_of(select(WEB, each)) for each in variants}

    assert len(digests) == len(variants)


def test_places_count_inside_a_group() -> None:
    plain, near = by_zone("web", "a"), by_zone("web", "a", "b", version=2)
    resource = select(plain, {BATCH: near})

    bodies = [
        resource.at(Place(zone=zone, labels=labels)).body
        for labels in (NOWHERE.labels, BATCH)
        for zone in "abc"
    ]
    assert bodies == [b"web@a|1", b"web|1", b"web|1", b"web@a|2", b"web@b|2", b"web|2"]


def test_an_owner_of_a_form_may_change_without_the_content() -> None:
    """A policy that takes another's place is to be traced from then on."""
    table = Table(CLUSTER)
    table.update(applied=[select(WEB, {BATCH: told(b"batch", "b")})])
    changes = table.update(applied=[select(WEB, {BATCH: told(b"batch", "c")})])
    found = table.get("web")

    assert not changes
    assert found is not None
    assert found.owners_at(Place(labels=BATCH)) == ("Service web", "c")
    assert found.at(Place(labels=BATCH)).owners == ("Service web", "c")


LABELS = st.fixed_dictionaries({}, optional=dict.fromkeys("abc", st.sampled_from("12")))
HEAVY = LoadBalancer(
    type=LoadBalancerType.WEIGHTED,
    weights=Weights(rules=(WeightRule(addresses=("10.0.0.1",), weight=3),)),
)
COOKIE, HEADER = (
    Session(type=SessionType.COOKIE, cookie=SessionCookie(name="sid")),
    Session(type=SessionType.HEADER, header=SessionHeader(name="x-session")),
)
NEAR = Locality(
    type=LocalityType.FAILOVER, failover=Failover(order=("label:a", "label:c"))
)
CONNECT = HealthCheck(type=HealthCheckType.TCP, port=9)
NAMESPACES = st.lists(st.sampled_from(["ops", "jobs"]), min_size=1, unique=True)
SELECTORS = st.builds(
    ClientSelector,
    match_labels=LABELS.filter(bool).map(lambda found: tuple(found.items())),
) | st.builds(
    ClientSelector,
    namespaces=NAMESPACES.map(tuple),
    match_labels=LABELS.map(lambda found: tuple(found.items()) or None),
)
POLICIES = st.lists(
    st.builds(
        policy,
        st.sampled_from("pqrs"),
        st.sampled_from([RANDOM, BY_HEADER, HEAVY]),
        targets=st.sampled_from([["web"], ["web:http"], ["other"], ["*"]]),
        health_check=st.none() | st.just(CONNECT),
        session=st.sampled_from([None, None, COOKIE, HEADER]),
        locality=st.none() | st.just(NEAR) | st.just(Locality(type=LocalityType.NONE)),
        clients=st.none() | SELECTORS,
    ),
    max_size=5,
    unique_by=lambda document: document.key,
)


@pytest.mark.parametrize("client", Client)
@given(
    policies=POLICIES,
    held=LABELS,
    namespace=st.sampled_from(["ops", "jobs", "web"]),
    names=st.booleans(),
)
def test_a_client_is_told_what_it_would_be_if_policies_for_others_were_not_there(
    client: Client,
    policies: list[Document],
    held: dict[str, str],
    namespace: str,
    *,
    names: bool,
) -> None:
    """Byte by byte, of all resources, and whose word they are."""
    addresses = ["one.shop", "two.shop"] if names else ["10.0.0.1", "10.0.0.2"]
    mesh = [
        service(),
        service("other"),
        slice_of(
            [endpoint(each, pod=f"web-{each}") for each in addresses],
            address_type="FQDN" if names else "IPv4",
        ),
        pod(f"web-{addresses[0]}", labels={"a": "1", "c": "1"}),
        pod(f"web-{addresses[1]}", labels={"a": "2", "c": "2"}),
    ]
    place = Place(labels=labels_of({"labels": held}, namespace))

    def sent(documents: Iterable[Document]) -> list[tuple[str, str, bytes, object]]:
        index = Index()
        index.apply([Applied(document=each) for each in (*mesh, *documents)])
        built = (
            *build_service(index.services["shop", "web"], client),
            *build_entrance(index.services.values(), Audience(client=client)),
        )
        forms = [each.at(place) for each in built]
        return [(e.type_url, e.name, e.body, e.owners) for e in forms]

    mine = [
        each
        for each in policies
        if not (selector := policy_of(each).spec.client_selector)
        or (
            dict(selector.match_labels or ()).items() <= held.items()
            and namespace in (selector.namespaces or [namespace])
        )
    ]
    assert sent(policies) == sent(mine)
