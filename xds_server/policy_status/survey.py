"""What is to stand in the status of each policy that an API server told of.

In: what the mesh says of each policy, what is published, and what each client holds of
it, at one moment. Out: descriptions, one ancestor a target (GEP-713). Who writes them
is in `writer`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from xds_server.api.document import Revision
from xds_server.api.policy import TargetKind, TargetRef
from xds_server.api.problem import ObjectKey
from xds_server.engine import CLUSTER, ENDPOINT, SECRET, ClientStatus, Table
from xds_server.mesh.index import Index
from xds_server.mesh.model import Service, Upstream
from xds_server.mesh.service import ServiceName
from xds_server.mesh.status import (
    ConditionType,
    PolicyStatus,
    Reason,
    TargetStatus,
)
from xds_server.policy_status.census import (
    Census,
    Name,
    Reach,
    Refusal,
)
from xds_server.policy_status.condition import (
    DISTRIBUTED,
    PROGRAMMED,
    Ancestor,
    AncestorRef,
    Ancestors,
    Condition,
)
from xds_server.translate.name import cluster_name
from xds_server.translate.tls import build_secrets
from xds_server.xds import Place

_LONGEST_MESSAGE: Final = 32768  # of a metav1.Condition


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


class Peer(Protocol):
    """Another replica, and what it has counted."""

    def reach(self, revision: Revision, target: int) -> Reach:
        """Return how far a policy has come there, at its target of this number."""
        ...


class Survey:
    """All policies at one moment, by what is known of them and of the clients.

    *tables* are those that all Envoys share; *failures* say of which Services the
    newest version is not in them; *clients* are those of this replica, and *peers* have
    counted theirs.
    """

    def __init__(
        self,
        index: Index,
        *,
        tables: Mapping[str, Table],
        failures: Mapping[ServiceName, Exception],
        clients: Iterable[ClientStatus],
        peers: Sequence[Peer] = (),
    ) -> None:
        self._index = index
        self._tables = tables
        self._failures = failures
        self._census = Census(clients, index.selectors)
        self._peers = peers

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
        for number, target in enumerate(status.targets):
            conditions = list(_judged(target))
            outcome, names = self._outcome(status, target)
            if outcome.reason:
                conditions += _nowhere(outcome)
            else:
                peers = (each.reach(status.revision, number) for each in self._peers)
                reach = sum(peers, start=self._reach(key, names))
                refusals += reach.refusals
                conditions += _reached(reach)
            ancestors.append(_ancestor(key, target.target, status.revision, conditions))
        return Description(
            key=key,
            revision=status.revision,
            ancestors=tuple(ancestors),
            refusals=tuple(dict.fromkeys(refusals)),
        )

    def count(self, key: ObjectKey) -> tuple[Revision, tuple[Reach, ...]] | None:
        """Return how far the policy *key* has come here, by target; None if it is gone.

        The revision is that which was counted.
        """
        status = self._index.statuses.get(key)
        if status is None or status.revision is None:
            return None
        outcomes = (self._outcome(status, each) for each in status.targets)
        return status.revision, tuple(self._reach(key, names) for _, names in outcomes)

    def _reach(self, key: ObjectKey, names: Sequence[Name]) -> Reach:
        """Return how far *names* have come, of those for whom the policy *key* is."""
        owner, is_for_all = str(key), not self._index.selectors

        def applies(type_url: str, name: str, place: Place) -> bool:
            if is_for_all:
                return True
            resource = self._tables[type_url].get(name)
            return resource is not None and owner in resource.owners_at(place)

        return self._census.reach(names, applies)

    def _outcome(
        self, status: PolicyStatus, target: TargetStatus
    ) -> tuple[_Outcome, tuple[Name, ...]]:
        """Return the resources of a policy at a target, or why there are none."""
        held = {each.type for each in target.conditions if each.status}
        if target.target is None or not _may_be_in_force(target):
            return _Outcome(reason="NotAccepted", message="see Accepted"), ()
        services = tuple(self._index.targeted(status.key.namespace, target.target))
        failures = self._failures and [
            self._failures.get((each.namespace, each.name)) for each in services
        ]
        if failures and all(failures):
            text = f"cannot be sent to an Envoy: {failures[0]}"
            return _Outcome(reason="NotTranslated", message=text), ()
        names = tuple(self._names(status.key, services, target.target))
        if names:
            return _Outcome(), names
        if ConditionType.CONFLICTED in held:
            return _Outcome(reason="NotAccepted", message="see Accepted"), ()
        if ConditionType.OVERRIDDEN in held:
            text = "other policies are in force at every port: see Overridden"
            return _Outcome(reason="Overridden", message=text), ()
        text = "no port of the Service is balanced by the policy"
        if target.target.kind is TargetKind.NAMESPACE:
            text = "no Service has anything of the policy"
        return _Outcome(reason="NoEffect", message=text), ()

    def _names(
        self, key: ObjectKey, services: Iterable[Service], target: TargetRef
    ) -> Iterator[Name]:
        """Yield what is published of a target and was made of the policy *key*.

        For some clients at least.
        """
        owner = str(key)
        for upstream in (each for one in services for each in one.upstreams):
            if not _matches(target, upstream):
                continue
            for type_url, name in _resources(upstream):
                resource = self._tables[type_url].get(name)
                if resource is not None and resource.is_made_of(owner):
                    yield type_url, name, self._tables[type_url].sequence_of(name)


def _may_be_in_force(target: TargetStatus) -> bool:
    """Return whether a section may be, though another one may be in conflict."""
    return any(
        each.type is ConditionType.ACCEPTED
        and (each.status or each.reason in (Reason.CONFLICTED, Reason.INCOMPATIBLE))
        for each in target.conditions
    )


def _resources(upstream: Upstream) -> Iterator[tuple[str, str]]:
    """Yield the types and names of all that an upstream may be published as."""
    name = cluster_name(upstream)
    yield from ((CLUSTER, name), (ENDPOINT, name))
    for each in (upstream, *(variant.upstream for variant in upstream.variants)):
        yield from ((SECRET, secret.name) for secret in build_secrets(each))


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
    for type_ in (PROGRAMMED, DISTRIBUTED):
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
        type=PROGRAMMED,
        status="False" if refusals else "True",
        reason=refused if refusals else PROGRAMMED,
        message=refusals,
    )
    if not reach.interested and not reach.uncounted:
        yield Condition(
            type=DISTRIBUTED,
            status="Unknown",
            reason="NoSidecars",
            message="no sidecar is connected that wants it",
        )
        return
    is_everywhere = reach.acknowledged == reach.interested and not reach.uncounted
    count = f"acknowledged {reach.acknowledged} of {reach.interested} sidecars"
    waiting = f"waiting for {reach.waiting}" if reach.waiting.count else ""
    uncounted = ", ".join(reach.uncounted)
    absent = f"without those of {uncounted}" if uncounted else ""
    pending = refused if refusals else "Pending"
    yield Condition(
        type=DISTRIBUTED,
        status="True" if is_everywhere else "False",
        reason="Acknowledged" if is_everywhere else pending,
        message="; ".join(filter(None, (count, refusals, waiting, absent))),
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
