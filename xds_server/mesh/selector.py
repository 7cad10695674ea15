"""Which clients policies tell apart, by the labels that they select.

The clients that policies of one Service are for in; every set of the labels they ask
for that a client may have, out. Each set is a group of clients who get the same: all
other labels that a client has matter to nobody. The namespace of a client is one of its
labels, so clients of two namespaces are told apart like those of two values of a key.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeVar

from xds_server.mesh.model import Upstream
from xds_server.mesh.section import EVERYBODY, Clients
from xds_server.xds import CLIENT_NAMESPACE, Labels

Value = TypeVar("Value")

MOST_GROUPS: Final = 64
"""So many groups of clients are told apart at one Service.

A selector of new keys doubles the groups. 63 values of one key are fine, or namespaces,
and so are six independent keys.
"""


def groups_of(selected: Iterable[Clients]) -> tuple[Labels, ...]:
    """Return the groups that the *selected* clients make, those of everybody first.

    Clients that would make too many groups make none: they are in none of them.
    """
    groups = {EVERYBODY: None}
    for clients in dict.fromkeys(selected):
        joined = (each | labels for labels in clients for each in groups)
        more = dict.fromkeys([*groups, *filter(is_possible, joined)])
        if len(more) <= MOST_GROUPS:
            groups = more
    return tuple(groups)


def is_possible(labels: Labels) -> bool:
    """Whether a client may have all of *labels*: it has one value for a key."""
    return len({key for key, _ in labels}) == len(labels)


def told(labels: Labels) -> str:
    """Say which clients have *labels*: `of namespace shop with tier=batch`."""
    namespaces = [value for key, value in labels if key == CLIENT_NAMESPACE]
    own = sorted(each for each in labels if each[0] != CLIENT_NAMESPACE)
    words = [f"of namespace {each}" for each in namespaces]
    if own:
        words.append(f"with {', '.join(map('='.join, own))}")
    return " ".join(words)


def group_of(labels: Labels, groups: Iterable[Labels]) -> Labels:
    """Return the group of *groups* to which a client with *labels* belongs."""
    return EVERYBODY.union(*_held(labels, groups))


def least_groups(
    value: Value, by_labels: Mapping[Labels, Value]
) -> Mapping[Labels, Value]:
    """Return the fewest groups that tell clients apart who do not all get *value*.

    *by_labels* has what each of the groups of `groups_of` gets, but for everybody's.
    What a client gets is what the group has to which it belongs among those returned.
    """
    least: dict[Labels, Value] = {}
    for labels in sorted(by_labels, key=len):
        if least.get(group_of(labels, least), value) != by_labels[labels]:
            least[labels] = by_labels[labels]
    return least


def upstream_for(labels: Labels, upstream: Upstream) -> Upstream:
    """Return what clients with *labels* see of *upstream*."""
    variants = {each.labels: each.upstream for each in upstream.variants}
    return variants.get(group_of(labels, variants), upstream)


def _held(labels: Labels, groups: Iterable[Labels]) -> Iterator[Labels]:
    return (each for each in groups if each <= labels)
