"""How far resources have come among the connected Envoys, counted as sidecars.

In: what each client holds. Out: of some resources, how many sidecars want them, how
many have accepted them as they are now, and who rejects which of them.

Only Envoys count: a gRPC client gets the nearest that it can do, so what it accepts is
something else than the policy.
"""

from collections import defaultdict
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Final

from xds_server.engine import (
    CLUSTER,
    ENDPOINT,
    SECRET,
    ClientStatus,
    Node,
    TypeStatus,
)
from xds_server.mesh.audience import audience_of, client_of, labels_of
from xds_server.mesh.model import Client
from xds_server.mesh.selector import group_of
from xds_server.xds import NOWHERE, SHORT_NAMES, Labels, Place

COUNTED: Final = (CLUSTER, ENDPOINT, SECRET)
_NAMED: Final = 3
"""So many nodes are named; the others are counted."""

_Sidecar = tuple[str, str]
"""The cluster and the id of a node."""

Name = tuple[str, str, int]
"""The type and name of a resource, and the sequence of its last change."""

Applies = Callable[[str, str, Place], bool]
"""Whether what is counted shaped the resource of a type and name, as seen at a place.
"""


@dataclass(frozen=True, slots=True)
class Nodes:
    """Some nodes: the first few by name, all by number."""

    first: tuple[str, ...] = ()
    count: int = 0

    @classmethod
    def of(cls, names: Sequence[str]) -> "Nodes":
        """Return the nodes *names*."""
        return cls(first=tuple(names[:_NAMED]), count=len(names))

    def __add__(self, other: "Nodes") -> "Nodes":
        first = (self.first + other.first)[:_NAMED]
        return Nodes(first=first, count=self.count + other.count)

    def __str__(self) -> str:
        more = self.count - len(self.first)
        return ", ".join(self.first) + (f" and {more} more" if more else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A resource that *nodes* do not take, or of which they say nothing in time."""

    nodes: Nodes
    text: str
    is_answered: bool

    def __str__(self) -> str:
        verb = "rejects" if self.nodes.count == 1 else "reject"
        link = f"{verb} " if self.is_answered else "on "
        return f"{self.nodes} {link}{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far some resources have come among the sidecars that want them.

    `uncounted` says which replicas have sidecars that are not in it.
    """

    interested: int = 0
    acknowledged: int = 0
    waiting: Nodes = Nodes()
    refusals: tuple[Refusal, ...] = ()
    uncounted: tuple[str, ...] = ()

    def __add__(self, other: "Reach") -> "Reach":
        refusals: dict[tuple[str, bool], Refusal] = {}
        for each in (*self.refusals, *other.refusals):
            key = each.text, each.is_answered
            same = refusals.get(key)
            nodes = same.nodes + each.nodes if same else each.nodes
            refusals[key] = replace(each, nodes=nodes)
        return Reach(
            interested=self.interested + other.interested,
            acknowledged=self.acknowledged + other.acknowledged,
            waiting=self.waiting + other.waiting,
            refusals=tuple(refusals.values()),
            uncounted=self.uncounted + other.uncounted,
        )


@dataclass(slots=True)
class _Group:
    """Nodes that hold the same; of each type, the newest stream first."""

    types: tuple[TypeStatus, ...]
    place: Place
    nodes: list[str]

    def state(self, name: Name) -> tuple[TypeStatus | None, bool]:
        """Return who of the streams wants a resource, and whether it has it."""
        type_url, resource, sequence = name
        for each in self.types:
            if each.type_url == type_url and each.subscription.covers(resource):
                return each, each.has_accepted(resource, sequence)
        return None, True

    def has_all(self, newest: Mapping[str, int]) -> bool:
        """Return whether it surely has all there is, with these newest changes.

        Then it is enough to know that it wants any of it.
        """
        return all(
            each.accepted_sequence >= newest.get(each.type_url, 0)
            and not (each.rejections or each.unanswered or each.withheld)
            for each in self.types
        )

    def wants(self, names: Iterable[Name]) -> bool:
        """Return whether it wants any of *names*."""
        return any(self.state(name)[0] is not None for name in names)


def _labels_of(node: Node) -> Labels:
    audience, _ = audience_of(node.metadata, node_id=node.id)
    return labels_of(node.metadata, audience.namespace)


class Census:
    """The connected Envoys, as groups of those that hold the same.

    A node may have a stream for all types, or one for each: it is one sidecar. Of its
    labels those matter that *selectors* tell apart.
    """

    def __init__(
        self, clients: Iterable[ClientStatus], selectors: Collection[Labels] = ()
    ) -> None:
        nodes: defaultdict[_Sidecar, list[TypeStatus]] = defaultdict(list)
        labels: dict[_Sidecar, Labels] = {}
        for client in clients:
            node = client.connection.node
            if client_of(node.user_agent) is Client.ENVOY:
                own = [each for each in client.types if each.type_url in COUNTED]
                nodes[node.cluster, node.id][:0] = own
                held = _labels_of(node) if selectors else NOWHERE.labels
                labels[node.cluster, node.id] = group_of(held, selectors)
        groups: dict[object, _Group] = {}
        for sidecar, types in sorted(nodes.items(), key=itemgetter(0)):
            place = Place(labels=labels[sidecar])
            key = (_alike(types), place)
            group = groups.setdefault(key, _Group(tuple(types), place, []))
            group.nodes.append(sidecar[1])
        self._groups = tuple(groups.values())

    def reach(self, names: Sequence[Name], applies: Applies) -> Reach:
        """Return how far the resources *names* have come.

        Where it does not apply to one, a sidecar is not counted for it.
        """
        interested = acknowledged = 0
        waiting: list[str] = []
        refused: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)
        own: dict[Place, tuple[Sequence[Name], Mapping[str, int]]] = {}
        for group in self._groups:
            if group.place not in own:
                found = [each for each in names if applies(*each[:2], group.place)]
                own[group.place] = found, _newest(found)
            named, newest = own[group.place]
            if group.has_all(newest):
                count = len(group.nodes) if group.wants(named) else 0
                interested += count
                acknowledged += count
                continue
            states = [(name, *group.state(name)) for name in named]
            if not any(status for _, status, _ in states):
                continue
            interested += len(group.nodes)
            missing = [
                (status, name)
                for name, status, is_held in states
                if status is not None and not is_held
            ]
            reasons = [each for one in missing for each in _reasons(*one)]
            for reason in dict.fromkeys(reasons):
                refused[reason] += group.nodes
            if not missing:
                acknowledged += len(group.nodes)
            elif not reasons:
                waiting += group.nodes
        return Reach(
            interested=interested,
            acknowledged=acknowledged,
            waiting=Nodes.of(waiting),
            refusals=tuple(
                Refusal(nodes=Nodes.of(nodes), text=text, is_answered=is_answered)
                for (text, is_answered), nodes in refused.items()
            ),
        )


def _newest(names: Iterable[Name]) -> Mapping[str, int]:
    """Return the newest sequence of each type."""
    newest: dict[str, int] = {}
    for type_url, _, sequence in names:
        newest[type_url] = max(sequence, newest.get(type_url, 0))
    return newest


def _alike(types: Sequence[TypeStatus]) -> object:
    """Return what is equal for nodes that are counted alike.

    Subscriptions are shared values, so whether they are the same is cheap to see. Of
    whoever has something open the state is its own.
    """
    if any(each.rejections or each.unanswered or each.withheld for each in types):
        return id(types)
    return tuple(
        (each.type_url, id(each.subscription), each.accepted_sequence) for each in types
    )


def _reasons(status: TypeStatus, name: Name) -> Iterator[tuple[str, bool]]:
    """Yield why a client does not hold a resource; nothing where it may yet come."""
    type_url, resource, _ = name
    if resource not in status.withheld and resource not in status.unanswered:
        return
    short = SHORT_NAMES.get(type_url, type_url)
    for each in status.rejections:
        if resource in each.suspects:
            yield f"{short} {resource}: {each.message}", True
        elif not each.suspects and resource in each.head.names:
            yield f"{short} {resource}: {each.message}", not status.is_overdue
