"""The status of a policy as Kubernetes keeps it: GEP-713, one ancestor a target.

In: what the mesh says of each policy, what is published, and what each client holds of
it, at one moment. Out: the policies that an API server told of, and their
`status.ancestors` as plain values. Who writes them is in `status_writer`.

Only Envoys count: a gRPC client gets the nearest that it can do, so what it accepts is
something else than the policy.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from xds_server.api.document import Revision
from xds_server.api.policy import TargetRef
from xds_server.api.problem import ObjectKey
from xds_server.engine import CLUSTER, ENDPOINT, ClientStatus, Table, TypeStatus
from xds_server.mesh.audience import client_of
from xds_server.mesh.index import Index
from xds_server.mesh.model import Client, Upstream
from xds_server.mesh.service import ServiceName
from xds_server.mesh.status import ConditionType, PolicyStatus, TargetStatus
from xds_server.translate.name import cluster_name
from xds_server.xds import SHORT_NAMES

CONTROLLER: Final = "traffic.xds-server.dev/controller"
DISTRIBUTED: Final = "Distributed"

_COUNTED: Final = (CLUSTER, ENDPOINT)
_PROGRAMMED: Final = "Programmed"
_NAMED: Final = 3
"""So many nodes are named; the others are counted."""
_LONGEST_MESSAGE: Final = 32768  # of a metav1.Condition


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A `metav1.Condition`; `last_transition_time` is empty until it is `stamped`."""

    type: str
    status: str
    observed_generation: int = 0
    last_transition_time: str = ""
    reason: str
    message: str = ""


class AncestorRef(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """A target, with its namespace. Of one that cannot be read it is the namespace."""

    group: str
    kind: str
    namespace: str
    name: str
    section_name: str | None = None


class Ancestor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a policy at one target, and who says so."""

    ancestor_ref: AncestorRef
    controller_name: str = CONTROLLER
    conditions: tuple[Condition, ...]


Ancestors = tuple[Ancestor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A resource that *nodes* do not take, or of which they say nothing in time."""

    nodes: tuple[str, ...]
    text: str
    is_answered: bool

    def __str__(self) -> str:
        verb = "rejects" if len(self.nodes) == 1 else "reject"
        link = f"{verb} " if self.is_answered else "on "
        return f"{_names(self.nodes)} {link}{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far some resources have come among the sidecars that want them."""

    interested: int = 0
    acknowledged: int = 0
    waiting: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One policy of an API server, its newest revision, and what to say of it."""

    key: ObjectKey
    revision: Revision
    ancestors: Ancestors
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is the same in Programmed and Distributed, where nothing is to be counted.

    No reason: there are resources, to be counted.
    """

    reason: str = ""
    message: str = ""


Name = tuple[str, str, int]
"""The type and name of a resource, and the sequence of its last change."""


class Survey:
    """All policies at one moment, by what is known of them and of the clients.

    *tables* are those that all Envoys share; *failures* say of which Services the
    newest version is not in them.
    """

    def __init__(
        self,
        index: Index,
        *,
        tables: Mapping[str, Table],
        failures: Mapping[ServiceName, Exception],
        clients: Iterable[ClientStatus],
    ) -> None:
        self._index = index
        self._tables = tables
        self._failures = failures
        self._census = Census(clients)

    def keys(self) -> Sequence[ObjectKey]:
        """Return all policies that an API server told of, in order."""
        statuses = self._index.statuses.items()
        return sorted(key for key, status in statuses if status.revision is not None)

    def describe(self, key: ObjectKey) -> Description | None:
        """Return what to say of the policy *key*; None if it is gone."""
        status = self._index.statuses.get(key)
        if status is None or status.revision is None:
            return None
        refusals: list[Refusal] = []
        ancestors: list[Ancestor] = []
        for target in status.targets:
            conditions = list(_judged(target))
            outcome, names = self._outcome(status, target)
            if outcome.reason:
                conditions += _nowhere(outcome)
            else:
                reach = self._census.reach(names)
                refusals += reach.refusals
                conditions += _reached(reach)
            ancestors.append(_ancestor(key, target.target, status.revision, conditions))
        return Description(
            key=key,
            revision=status.revision,
            ancestors=tuple(ancestors),
            refusals=tuple(dict.fromkeys(refusals)),
        )

    def _outcome(
        self, status: PolicyStatus, target: TargetStatus
    ) -> tuple[_Outcome, tuple[Name, ...]]:
        """Return the resources of a policy at a target, or why there are none."""
        held = {each.type for each in target.conditions if each.status}
        if target.target is None or ConditionType.ACCEPTED not in held:
            return _Outcome(reason="NotAccepted", message="see Accepted"), ()
        service = (status.key.namespace, target.target.name)
        if service in self._failures:
            text = f"cannot be sent to an Envoy: {self._failures[service]}"
            return _Outcome(reason="NotTranslated", message=text), ()
        names = tuple(self._names(status.key, service, target.target))
        if names:
            return _Outcome(), names
        if ConditionType.OVERRIDDEN in held:
            text = "other policies are in force at every port: see Overridden"
            return _Outcome(reason="Overridden", message=text), ()
        text = "no port of the Service is balanced by the policy"
        return _Outcome(reason="NoEffect", message=text), ()

    def _names(
        self, key: ObjectKey, service: ServiceName, target: TargetRef
    ) -> Iterator[Name]:
        """Yield what is published of a target and was made of the policy *key*."""
        found = self._index.services.get(service)
        for upstream in found.upstreams if found else ():
            if not _matches(target, upstream):
                continue
            name = cluster_name(upstream)
            for type_url in _COUNTED:
                resource = self._tables[type_url].get(name)
                if resource is not None and str(key) in resource.owners:
                    yield type_url, name, self._tables[type_url].sequence_of(name)


@dataclass(slots=True)
class _Group:
    """Nodes that hold the same; of each type, the newest stream first."""

    types: tuple[TypeStatus, ...]
    nodes: list[str]

    def state(self, name: Name) -> tuple[TypeStatus | None, bool]:
        """Return who of the streams wants a resource, and whether it has it."""
        type_url, resource, sequence = name
        for each in self.types:
            if each.type_url == type_url and each.subscription.covers(resource):
                return each, each.has_accepted(resource, sequence)
        return None, True


class Census:
    """The connected Envoys, as groups of those that hold the same.

    A node may have a stream for all types, or one for each: it is one sidecar.
    """

    def __init__(self, clients: Iterable[ClientStatus]) -> None:
        nodes: defaultdict[tuple[str, str], list[TypeStatus]] = defaultdict(list)
        for client in clients:
            node = client.connection.node
            if client_of(node.user_agent) is Client.ENVOY:
                own = [each for each in client.types if each.type_url in _COUNTED]
                nodes[node.cluster, node.id][:0] = own
        groups: dict[object, _Group] = {}
        for (_, name), types in sorted(nodes.items()):
            group = groups.setdefault(_alike(types), _Group(tuple(types), []))
            group.nodes.append(name)
        self._groups = tuple(groups.values())

    def reach(self, names: Sequence[Name]) -> Reach:
        """Return how far the resources *names* have come."""
        interested = acknowledged = 0
        waiting: list[str] = []
        refused: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)
        for group in self._groups:
            states = [(name, *group.state(name)) for name in names]
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
            waiting=tuple(waiting),
            refusals=tuple(
                Refusal(nodes=tuple(nodes), text=text, is_answered=is_answered)
                for (text, is_answered), nodes in refused.items()
            ),
        )


def stamped(before: Ancestors, after: Ancestors, now: str) -> Ancestors:
    """Return *after* with the times of its transitions.

    A condition that has the status that it had *before* keeps its time, however its
    reason and message changed; the others have become what they are *now*.
    """
    times = {
        (ancestor.ancestor_ref, each.type, each.status): each.last_transition_time
        for ancestor in before
        for each in ancestor.conditions
    }
    return tuple(
        msgspec.structs.replace(
            ancestor,
            conditions=tuple(
                msgspec.structs.replace(
                    each,
                    last_transition_time=times.get(
                        (ancestor.ancestor_ref, each.type, each.status), now
                    ),
                )
                for each in ancestor.conditions
            ),
        )
        for ancestor in after
    )


def differs_in_counts_alone(one: Ancestors, other: Ancestors) -> bool:
    """Whether two statuses, of which one may be newer, say the same but for counts."""
    return one != other and _without_counts(one) == _without_counts(other)


def _without_counts(ancestors: Ancestors) -> Ancestors:
    return tuple(
        msgspec.structs.replace(
            each,
            conditions=tuple(c for c in each.conditions if c.type != DISTRIBUTED),
        )
        for each in ancestors
    )


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


def _matches(target: TargetRef, upstream: Upstream) -> bool:
    port = upstream.port
    return target.section_name in (None, port.name or str(port.number))


def _judged(target: TargetStatus) -> Iterator[Condition]:
    """Yield the conditions that the mesh knows."""
    for each in target.conditions:
        status = "True" if each.status else "False"
        yield Condition(
            type=each.type, status=status, reason=each.reason, message=each.message
        )


def _nowhere(outcome: _Outcome) -> Iterator[Condition]:
    for type_ in (_PROGRAMMED, DISTRIBUTED):
        yield Condition(
            type=type_,
            status="False",
            reason=outcome.reason,
            message=outcome.message,
        )


def _reached(reach: Reach) -> Iterator[Condition]:
    """Yield Programmed: nobody refuses it; and Distributed: everybody has it."""
    refusals = "; ".join(map(str, reach.refusals))
    is_rejected = any(each.is_answered for each in reach.refusals)
    refused = "Rejected" if is_rejected else "NoAnswer"
    yield Condition(
        type=_PROGRAMMED,
        status="False" if refusals else "True",
        reason=refused if refusals else _PROGRAMMED,
        message=refusals,
    )
    if not reach.interested:
        yield Condition(
            type=DISTRIBUTED,
            status="Unknown",
            reason="NoSidecars",
            message="no sidecar is connected that wants it",
        )
        return
    is_everywhere = reach.acknowledged == reach.interested
    count = f"acknowledged {reach.acknowledged} of {reach.interested} sidecars"
    waiting = f"waiting for {_names(reach.waiting)}" if reach.waiting else ""
    pending = refused if refusals else "Pending"
    yield Condition(
        type=DISTRIBUTED,
        status="True" if is_everywhere else "False",
        reason="Acknowledged" if is_everywhere else pending,
        message="; ".join(filter(None, (count, refusals, waiting))),
    )


def _ancestor(
    key: ObjectKey,
    target: TargetRef | None,
    revision: Revision,
    conditions: Iterable[Condition],
) -> Ancestor:
    return Ancestor(
        ancestor_ref=AncestorRef(
            group="",
            kind=target.kind if target else "Namespace",
            namespace=key.namespace,
            name=target.name if target else key.namespace,
            section_name=target.section_name if target else None,
        ),
        conditions=tuple(
            msgspec.structs.replace(
                each,
                observed_generation=revision.generation,
                message=each.message[:_LONGEST_MESSAGE],
            )
            for each in conditions
        ),
    )


def _names(nodes: Sequence[str]) -> str:
    """Name some *nodes*, and count the others."""
    more = len(nodes) - _NAMED
    if more <= 0:
        return ", ".join(nodes)
    return f"{', '.join(nodes[:_NAMED])} and {more} more"
