"""Policies for some clients: those that have the labels, and no others."""

import pytest
from hypothesis import assume, given, strategies as st

from tests.mesh.documents import policy, service, slice_of
from tests.mesh.test_attachment import (
    BY_HEADER,
    LEAST,
    RANDOM,
    accepted,
    condition,
    errors,
    index_of,
    key,
)
from xds_server.api.policy import ClientSelector, LoadBalancerType
from xds_server.mesh.audience import labels_of
from xds_server.mesh.index import Index
from xds_server.mesh.model import Upstream
from xds_server.mesh.proxyless import tell
from xds_server.mesh.section import Clients, clients_of, policy_of
from xds_server.mesh.selector import (
    MOST_GROUPS,
    group_of,
    groups_of,
    is_possible,
    least_groups,
    told,
    upstream_for,
)
from xds_server.mesh.status import ConditionType, Reason
from xds_server.xds import CLIENT_NAMESPACE, Labels

SLICE = slice_of(["10.0.0.1"])
BATCH, PAYMENTS = {"tier": "batch"}, {"team": "payments"}
TYPES = LoadBalancerType


def labels(**pairs: str) -> Labels:
    return frozenset(pairs.items())


def seen(index: Index, held: Labels = frozenset(), name: str = "web") -> Upstream:
    """Return what a client with some labels sees."""
    (upstream,) = index.services["shop", name].upstreams
    return upstream_for(held, upstream)


def balanced(index: Index, **held: str) -> LoadBalancerType:
    return seen(index, labels(**held)).load_balancer.type


def test_it_beats_one_of_its_level_that_is_for_all() -> None:
    """Whatever their names, and for those clients alone; nobody is in conflict."""
    index = index_of(
        service(), SLICE, policy("a", RANDOM), policy("z", LEAST, clients=BATCH)
    )

    assert balanced(index) is TYPES.RANDOM
    assert balanced(index, tier="web") is TYPES.RANDOM
    assert balanced(index, tier="batch", app="x") is TYPES.LEAST_REQUEST
    assert index.problems == ()
    assert accepted(index, "a").status
    assert accepted(index, "z").status


def test_but_not_one_of_a_nearer_level() -> None:
    index = index_of(
        service(),
        SLICE,
        policy("own", RANDOM),
        policy("space", LEAST, targets=["*"], clients=BATCH),
    )

    assert balanced(index, tier="batch") is TYPES.RANDOM
    assert seen(index).variants == ()
    overridden = condition(index.statuses[key("space")], ConditionType.OVERRIDDEN)
    assert overridden is not None
    assert overridden.message == "TrafficPolicy shop/own (loadBalancer)"


def test_two_for_the_same_clients_conflict() -> None:
    index = index_of(
        service(),
        SLICE,
        policy("a", RANDOM, clients=BATCH),
        policy("b", LEAST, clients=BATCH),
    )

    assert balanced(index, tier="batch") is TYPES.RANDOM
    assert balanced(index) is TYPES.ROUND_ROBIN
    assert accepted(index, "b").reason is Reason.CONFLICTED
    assert len(errors(index)) == 1


def test_one_whose_clients_are_all_an_older_ones_conflicts_too() -> None:
    index = index_of(
        service(),
        SLICE,
        policy("a", RANDOM, clients=BATCH),
        policy("b", LEAST, clients={**BATCH, **PAYMENTS}),
    )

    assert balanced(index, tier="batch", team="payments") is TYPES.RANDOM
    assert accepted(index, "b").reason is Reason.CONFLICTED


def test_for_clients_with_the_labels_of_both_the_first_is_in_force() -> None:
    """Which is no conflict, since the other is for others; but it is told."""
    index = index_of(
        service(),
        SLICE,
        policy("a", RANDOM, clients=BATCH),
        policy("b", LEAST, clients=PAYMENTS),
    )

    assert balanced(index, team="payments") is TYPES.LEAST_REQUEST
    assert balanced(index, tier="batch", team="payments") is TYPES.RANDOM
    assert accepted(index, "b").status
    (problem,) = index.problems
    assert str(problem) == (
        "policy.yaml:1:3: warning: spec.clientSelector: clients with team=payments, "
        "tier=batch have the loadBalancer of TrafficPolicy shop/a at policy.yaml:1:3, "
        "which is in force"
    )


def of(*namespaces: str, **labels: str) -> ClientSelector:
    """Return a selector as the API has it."""
    return ClientSelector(
        namespaces=namespaces or None, match_labels=tuple(labels.items()) or None
    )


def test_clients_are_selected_by_their_namespace() -> None:
    """By any of some, and by labels too where both are written."""
    index = index_of(
        service(),
        SLICE,
        policy("a", RANDOM, clients=of("ops", "jobs")),
        policy("b", LEAST, clients=of("web", tier="batch")),
    )

    for held, type_ in (
        (labels(), TYPES.ROUND_ROBIN),
        (inside("ops"), TYPES.RANDOM),
        (inside("jobs", tier="batch"), TYPES.RANDOM),
        (inside("web"), TYPES.ROUND_ROBIN),
        (inside("web", tier="batch"), TYPES.LEAST_REQUEST),
        (inside("shop", tier="batch"), TYPES.ROUND_ROBIN),
    ):
        assert seen(index, held).load_balancer.type is type_
    assert index.problems == ()


def inside(namespace: str, **pairs: str) -> Labels:
    """Return the labels of a client in a namespace."""
    return labels(**pairs) | {(CLIENT_NAMESPACE, namespace)}


def test_a_namespace_is_no_label_that_a_client_can_have() -> None:
    index = index_of(service(), SLICE, policy("a", RANDOM, clients=of("ops")))
    spoofed = labels_of({"labels": {CLIENT_NAMESPACE: "ops"}}, "shop")

    assert spoofed == inside("shop")
    assert seen(index, spoofed).load_balancer.type is TYPES.ROUND_ROBIN


def test_one_of_several_namespaces_may_be_an_older_ones() -> None:
    """That is no conflict: it is in force for the others; but it is told."""
    index = index_of(
        service(),
        SLICE,
        policy("a", RANDOM, clients=of("ops")),
        policy("b", LEAST, clients=of("jobs", "ops")),
    )

    assert seen(index, inside("ops")).load_balancer.type is TYPES.RANDOM
    assert seen(index, inside("jobs")).load_balancer.type is TYPES.LEAST_REQUEST
    assert accepted(index, "b").status
    (problem,) = index.problems
    assert str(problem) == (
        "policy.yaml:1:3: warning: spec.clientSelector: clients of namespace ops have "
        "the loadBalancer of TrafficPolicy shop/a at policy.yaml:1:3, which is in force"
    )


@pytest.mark.parametrize(
    "older",
    [
        [of("ops", "jobs")],
        [of("jobs", "ops", "web")],
        [of("ops"), of("jobs")],
        [of("ops"), of("jobs", "web")],
    ],
)
def test_where_all_its_namespaces_are_older_ones_it_conflicts(
    older: list[ClientSelector],
) -> None:
    index = index_of(
        service(),
        SLICE,
        *(policy(f"a{n}", RANDOM, clients=each) for n, each in enumerate(older)),
        policy("b", LEAST, clients=of("ops", "jobs")),
    )

    assert seen(index, inside("jobs")).load_balancer.type is TYPES.RANDOM
    assert accepted(index, "b").reason is Reason.CONFLICTED


def test_of_several_namespaces_all_make_groups_or_none_does() -> None:
    """5 keys and the other make 32 groups; each namespace would be 32 more."""
    keys = [policy(f"p{n}", RANDOM, clients={f"k{n}": "v"}) for n in range(5)]
    index = index_of(
        service(), SLICE, *keys, policy("q", LEAST, clients=of("jobs", "ops"))
    )

    assert accepted(index, "p4").status
    assert accepted(index, "q").reason is Reason.INVALID
    for each in ("jobs", "ops"):
        assert seen(index, inside(each)).load_balancer.type is TYPES.ROUND_ROBIN


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (labels(tier="batch", app="x"), "with app=x, tier=batch"),
        (inside("ops"), "of namespace ops"),
        (inside("ops", tier="batch"), "of namespace ops with tier=batch"),
    ],
)
def test_clients_are_told_by_what_they_have(held: Labels, said: str) -> None:
    assert told(held) == said


def test_gRPC_differences_of_a_variant_are_told() -> None:  # noqa: N802 - its name
    index = index_of(service(), SLICE, policy("a", RANDOM, clients=BATCH))

    status = tell(index.statuses[key("a")], index.services)
    warnings = condition(status, ConditionType.WARNINGS)
    assert warnings is not None
    assert "take turns" in warnings.message


def test_where_nobody_sees_anything_else_there_are_no_variants() -> None:
    index = index_of(service(), SLICE, policy("a", RANDOM))

    assert seen(index).variants == ()


def test_too_many_groups_are_refused_in_words() -> None:
    """The first by rank make their groups, one that doubles them too often does not."""
    policies = [policy(f"p{n}", RANDOM, clients={f"k{n}": "v"}) for n in range(7)]
    index = index_of(service(), SLICE, *policies, policy("q", BY_HEADER))

    assert accepted(index, "p5").status
    assert accepted(index, "p6").reason is Reason.INVALID
    (error,) = errors(index)
    assert "at most 64 groups of clients apart" in error
    assert balanced(index, k5="v") is TYPES.RANDOM
    assert balanced(index, k6="v") is TYPES.RING_HASH


PAIRS = st.fixed_dictionaries({}, optional=dict.fromkeys("abc", st.sampled_from("12")))
NAMESPACES = st.sampled_from(["jobs", "ops", "web"])
SELECTORS = st.builds(
    lambda found, pairs: of(*found, **pairs),
    st.lists(NAMESPACES, min_size=1, unique=True),
    PAIRS,
) | st.builds(lambda pairs: of(**pairs), PAIRS.filter(bool))
HELD = st.builds(
    lambda namespace, pairs: inside(namespace, **pairs),
    st.sampled_from(["jobs", "ops", "web", "elsewhere"]),
    PAIRS,
)


def selects(selector: ClientSelector, held: Labels) -> bool:
    """Whether a selector is for a client, by what the API says of it."""
    client = dict(held)
    namespaces = selector.namespaces or [client[CLIENT_NAMESPACE]]
    wanted = dict(selector.match_labels or ())
    return client[CLIENT_NAMESPACE] in namespaces and wanted.items() <= client.items()


@given(st.lists(SELECTORS, max_size=4), HELD, HELD)
def test_clients_of_one_group_match_the_same_selectors(
    selectors: list[ClientSelector], held: Labels, other: Labels
) -> None:
    """So what a group is told, each of its clients is meant to be told.

    Whom nothing tells apart is in one group: groups are no more than needed.
    """
    made = [clients_of_selector(each) for each in selectors]
    groups = groups_of(made)
    assume(len(groups) < MOST_GROUPS // 4)  # none was refused
    group = group_of(held, groups)

    assert len(groups) == len(set(groups)) <= MOST_GROUPS
    assert all(map(is_possible, groups))
    assert group in groups
    assert group <= held
    for selector, clients in zip(selectors, made, strict=True):
        matches = any(each <= group for each in clients)
        assert matches == selects(selector, held)
    alike = [selects(each, held) == selects(each, other) for each in selectors]
    if group_of(other, groups) == group:
        assert all(alike)


def clients_of_selector(selector: ClientSelector) -> Clients:
    return clients_of(policy_of(policy(clients=selector)).spec)


def test_the_fewest_groups_are_those_that_get_something_else() -> None:
    a, b = labels(a="1"), labels(b="1")

    assert least_groups(0, {}) == {}
    assert least_groups(0, {a: 0, b: 0, a | b: 0}) == {}
    assert least_groups(0, {a: 1, b: 0, a | b: 1}) == {a: 1}
    assert least_groups(0, {a: 1, b: 2, a | b: 1}) == {a: 1, b: 2, a | b: 1}
    assert least_groups(0, {a: 0, b: 0, a | b: 1}) == {a | b: 1}


@given(
    selectors=st.lists(SELECTORS, max_size=5),
    values=st.lists(st.integers(0, 2), min_size=MOST_GROUPS, max_size=MOST_GROUPS),
    held=HELD,
)
def test_who_is_in_none_of_the_fewest_groups_gets_what_its_own_has(
    selectors: list[ClientSelector], values: list[int], held: Labels
) -> None:
    everybody, *groups = groups_of(map(clients_of_selector, selectors))
    of_all, *others = values
    by_labels = dict(zip(groups, others, strict=False))
    least = least_groups(of_all, by_labels)

    own = {everybody: of_all, **by_labels}[group_of(held, groups)]
    assert least.get(group_of(held, least), of_all) == own
