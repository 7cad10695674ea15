"""Whose word counts for one section of what a port gets: the unit of all policies.

The ranked policies of a Service in; for one section at one port, its value, who gave
it, and what became of the others that have it, out. A section is used whole: what its
winner leaves out has the section's defaults, and nothing of a loser's. Each is decided
by itself, so a port may have one from its own policy and another from its Service's.

Levels: a `sectionName` beats the whole Service, that its Namespace, and that the whole
mesh. Within a level a policy for some clients beats one for all. Else policies of
files, which have no age, go before those of a cluster; of the same age the first by
name wins.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Generic, TypeVar

from xds_server.api.document import Document
from xds_server.api.policy import (
    ClientSelector,
    PolicySpec,
    TargetKind,
    TargetRef,
    TrafficPolicy,
)
from xds_server.api.problem import FieldPath, ObjectKey, Place, Problem
from xds_server.mesh.finding import finding, warning
from xds_server.mesh.misfit import Fit
from xds_server.mesh.model import Level, Origin, Port, Section
from xds_server.xds import CLIENT_NAMESPACE, Labels

Written = TypeVar("Written")
Value = TypeVar("Value")

EVERYBODY: Final[Labels] = frozenset()
"""The labels that all clients have."""

Clients = tuple[Labels, ...]
"""Some clients: who has all labels of one of these. None of them implies another."""

ALL_CLIENTS: Final[Clients] = (EVERYBODY,)


@dataclass(frozen=True, slots=True)
class Reference:
    """One of a policy's `targetRefs`, by its position, at one Service.

    `service` is the Service's namespace and name with a slash between.
    """

    policy: Document
    position: int
    service: str
    level: Level

    @property
    def spec(self) -> PolicySpec:
        """All that the policy says."""
        return policy_of(self.policy).spec

    @property
    def target(self) -> TargetRef:
        """What is targeted."""
        return self.spec.target_refs[self.position]

    @property
    def names_port(self) -> bool:
        """Whether one port is targeted, not the whole Service."""
        return self.level is Level.PORT

    @property
    def clients(self) -> Clients:
        """Whose traffic it is for."""
        return clients_of(self.spec)

    @property
    def is_for_all(self) -> bool:
        """Whether it is for everybody's."""
        return self.clients == ALL_CLIENTS

    def is_for(self, labels: Labels) -> bool:
        """Whether it is for clients with *labels*."""
        return any(each <= labels for each in self.clients)

    @property
    def scope(self) -> str:
        """What it is for, in words."""
        match self.level:
            case Level.PORT:
                return f"Service {self.service} port {self.target.section_name}"
            case Level.SERVICE:
                return f"Service {self.service}"
            case Level.NAMESPACE:
                return f"Namespace {self.policy.key.namespace}"
            case Level.MESH:
                return "the mesh"

    def matches(self, port: Port) -> bool:
        """Whether the whole Service or this port is targeted."""
        section = self.target.section_name
        return section is None or section == (port.name or str(port.number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A section that is in force, and that another one does not go with.

    `origin` says whose it is, and `scope` for what; it stands at `place`.
    """

    section: Section
    origin: str
    scope: str
    level: Level
    place: Place

    def __str__(self) -> str:
        """Name it."""
        return f"{self.origin} ({self.section})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a reference at one port that it matches, and of one section.

    It is in force where it is the winner itself. Without a winner it does not fit: the
    problems say why, and `rival` what it does not go with, if it is that. Otherwise the
    winner is in force in its place.
    """

    section: Section
    reference: Reference
    winner: Reference | None
    problems: tuple[Problem, ...] = ()
    rival: Rival | None = None

    @property
    def is_lost(self) -> bool:
        """Whether another policy is in force at the port."""
        winner = self.winner
        return winner is not None and winner.policy is not self.reference.policy

    @property
    def is_overridden(self) -> bool:
        """Whether what is in force is more specific: normal, and no conflict."""
        winner, own = self.winner, self.reference
        return winner is not None and (winner.level, winner.is_for_all) != (
            own.level,
            own.is_for_all,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(Generic[Written]):
    """A section for a port of a *service* (`namespace/name`), and where it was written.

    `is_brief` where only one word of it was written, and no field.
    """

    document: Document
    path: FieldPath
    written: Written
    service: str
    level: Level = Level.SERVICE
    is_brief: bool = False

    @property
    def names_port(self) -> bool:
        """Whether it is for this port alone."""
        return self.level is Level.PORT

    def problems(self, fit: Fit) -> tuple[Problem, ...]:
        """Return what *fit* finds, at the places where it is written.

        A policy that names no Service is for whatever there is. That single ones do
        without it is no error of its, and what is so at single ones not worth a word:
        only what is general, or told to a role, is about the policy itself.
        """
        if self.level.is_broad:
            return tuple(self._broad_problems(fit))
        errors = [
            finding(self.document, self._path_of(e.path), e.message, hint=e.hint)
            for e in fit.errors
        ]
        warnings = (
            warning(
                self.document,
                self._path_of(w.path),
                w.message,
                hint=w.hint,
                role=w.role,
            )
            for w in fit.warnings
        )
        return (*errors, *warnings)

    def _broad_problems(self, fit: Fit) -> Iterator[Problem]:
        for error in fit.errors:
            message = f"Service {self.service} does without: {error.message}"
            path = self._path_of(error.path)
            yield warning(self.document, path, message, hint=error.hint)
        for each in fit.warnings:
            if each.is_general or each.role is not None:
                path = self._path_of(each.path)
                yield warning(
                    self.document, path, each.message, hint=each.hint, role=each.role
                )

    def _path_of(self, field: FieldPath) -> FieldPath:
        return self.path if self.is_brief else (*self.path, *field)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Generic[Value]):
    """What a proposal comes to at a port; None where it does not fit.

    `rival` is what is in force instead, where that is another section.
    """

    value: Value | None
    problems: tuple[Problem, ...] = ()
    rival: Rival | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement(Generic[Value]):
    """What a section is at one port: None where no policy has one that fits."""

    value: Value | None
    origin: Origin | None
    outcomes: tuple[Outcome, ...]

    @property
    def winner(self) -> Reference | None:
        """Whose it is, if a policy's."""
        return next((each.winner for each in self.outcomes if each.winner), None)

    @property
    def is_broad(self) -> bool:
        """Whether it is of a policy that does not name the Service, or of none."""
        return self.winner is None or self.winner.level.is_broad


def policy_of(document: Document) -> TrafficPolicy:
    """Return the body of a TrafficPolicy's document."""
    assert isinstance(document.body, TrafficPolicy)  # noqa: S101 - narrows the union
    return document.body


def clients_of(spec: PolicySpec) -> Clients:
    """Return whose traffic a policy is for.

    The namespace of a client is one more label of it; a policy for several namespaces
    is for the clients with this label, or that.
    """
    selector = spec.client_selector
    return ALL_CLIENTS if selector is None else _clients_of(selector)


@lru_cache(maxsize=4096)
def _clients_of(selector: ClientSelector) -> Clients:
    labels = frozenset(selector.match_labels or ())
    if selector.namespaces is None:
        return (labels,)
    return tuple(
        labels | {(CLIENT_NAMESPACE, each)} for each in sorted(selector.namespaces)
    )


def rank(
    policies: Iterable[Document], namespace: str, name: str, root_namespace: str
) -> tuple[Reference, ...]:
    """Return all references to the Service *name*, the strongest first."""
    references = (
        Reference(policy, position, f"{namespace}/{name}", level)
        for policy in policies
        for position, target in enumerate(policy_of(policy).spec.target_refs)
        if (level := _level(policy, target, namespace, name, root_namespace))
        is not None
    )
    return tuple(sorted(references, key=_strength))


def _strength(reference: Reference) -> tuple[Level, bool, tuple[str, ObjectKey], int]:
    seniority = reference.policy.seniority
    return reference.level, reference.is_for_all, seniority, reference.position


def _level(
    policy: Document, target: TargetRef, namespace: str, name: str, root_namespace: str
) -> Level | None:
    """Return how much *target* is for, None if not for the Service."""
    own = policy.key.namespace
    if target.kind is TargetKind.NAMESPACE:
        if own == root_namespace:
            return Level.MESH
        return Level.NAMESPACE if own == namespace else None
    if (own, target.name) != (namespace, name):
        return None
    return Level.SERVICE if target.section_name is None else Level.PORT


def settle(
    section: Section,
    read: Callable[[PolicySpec], Written | None],
    attempt: Callable[[Proposal[Written]], Trial[Value]],
    references: Iterable[Reference],
    port: Port,
) -> Settlement[Value]:
    """Return what *section* is at *port*.

    *references* are those to the whole Service for the same clients, ranked. *read*
    takes the section out of a policy, and *attempt* tries what one proposes: the first
    that fits wins.
    """
    outcomes: list[Outcome] = []
    winner: Reference | None = None
    value: Value | None = None
    for reference in references:
        written = read(reference.spec)
        if written is None or not reference.matches(port):
            continue
        problems: tuple[Problem, ...] = ()
        rival: Rival | None = None
        if winner is None:
            proposal = Proposal(
                document=reference.policy,
                path=("spec", section.value),
                written=written,
                service=reference.service,
                level=reference.level,
            )
            trial = attempt(proposal)
            value, problems, rival = trial.value, trial.problems, trial.rival
            winner = reference if value is not None else None
        outcomes.append(
            Outcome(
                section=section,
                reference=reference,
                winner=winner,
                problems=problems,
                rival=rival,
            )
        )
    return Settlement(
        value=value,
        origin=Origin(section, winner.policy.key) if winner else None,
        outcomes=tuple(outcomes),
    )
