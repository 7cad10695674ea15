"""What clients may ask for, after xds_protocol, "How the client specifies"."""

import pytest

from xds_server.serve.subscription import Subscription
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE

NOTHING: frozenset[str] = frozenset()


def sotw(type_url: str, *requests: set[str]) -> Subscription:
    """Return the subscription after state-of-the-world requests with these names."""
    subscription = Subscription.first(type_url, requests[0])
    for names in requests[1:]:
        subscription = subscription.replaced(names)
    return subscription


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER])
def test_rule_13_an_initial_empty_list_is_a_wildcard(type_url: str) -> None:
    assert sotw(type_url, set()).is_wildcard
    assert sotw(type_url, set(), set()).covers("anything")


@pytest.mark.parametrize("type_url", [ENDPOINT, ROUTE])
def test_rule_13_is_for_listeners_and_clusters_alone(type_url: str) -> None:
    """An Envoy without interest in assignments is not sent all of them."""
    assert not sotw(type_url, set())


def test_rule_14_the_legacy_wildcard_ends_with_the_first_name() -> None:
    """SotW: the list is complete, so the wildcard is gone, and stays gone."""
    assert not sotw(CLUSTER, set(), {"a"}).covers("b")
    assert not sotw(CLUSTER, set(), {"a"}, set())


def test_rule_14_in_delta_the_wildcard_goes_on_beside_the_name() -> None:
    """The document's own example: it ends only with an unsubscription from `*`."""
    first = Subscription.first(CLUSTER, NOTHING)
    both = first.changed(subscribe={"a"}, unsubscribe=NOTHING)
    named = both.changed(subscribe=NOTHING, unsubscribe={"*"})
    nothing = named.changed(subscribe=NOTHING, unsubscribe={"a"})

    assert both == Subscription(names=frozenset({"a"}), is_wildcard=True)
    assert named == Subscription(names=frozenset({"a"}))
    assert not nothing


def test_rule_15_the_explicit_wildcard_and_a_name_coexist() -> None:
    """It works for every type."""
    assert sotw(ENDPOINT, {"*", "a"}) == Subscription(
        names=frozenset({"a"}), is_wildcard=True
    )


def test_rule_16_a_list_without_the_wildcard_drops_it() -> None:
    assert sotw(CLUSTER, {"*", "a"}, {"a"}) == Subscription(names=frozenset({"a"}))


def test_rule_17_an_empty_list_after_names_unsubscribes_from_all() -> None:
    assert not sotw(CLUSTER, {"a"}, set())
    assert not sotw(CLUSTER, {"*"}, set())


def test_rule_18_the_empty_string_is_a_name() -> None:
    assert sotw(CLUSTER, {""}) == Subscription(names=frozenset({""}))
    assert sotw(CLUSTER, {""}).covers("")


def test_rule_21_unsubscribing_what_was_never_subscribed_changes_nothing() -> None:
    before = Subscription.first(ENDPOINT, {"a"})

    assert before.changed(subscribe=NOTHING, unsubscribe={"b", "*"}) == before


def test_a_name_in_both_lists_is_subscribed() -> None:
    """Too much harms less than too little."""
    before = Subscription.first(ENDPOINT, {"a"})

    assert before.changed(subscribe={"a"}, unsubscribe={"a"}).covers("a")


@pytest.mark.parametrize("asked", ["a", "*", "xdstp://x/t/web/*", "unknown", ""])
@pytest.mark.parametrize(
    "names", [{"a"}, {"a", "b"}, {"xdstp://x/t/web/one"}, {"xdstp://x/t/two"}, {""}]
)
def test_one_of_several_names_is_covered_if_one_is(asked: str, names: set[str]) -> None:
    """Asked at once, for all that a change is about, or one by one."""
    subscription = sotw(ENDPOINT, {asked})

    assert subscription.covers_any(frozenset(names)) == any(
        map(subscription.covers, names)
    )
