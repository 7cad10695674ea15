"""Which policy balances a port: the most specific that fits, and of these the oldest.

The policies that target a Service and its ports with their backends in; the load
balancer of each port, and what became of each policy at each port, out.
Levels: a `sectionName` beats the whole Service, which beats the Service's annotation,
which beats the default. Within a level policies of files, which have no age, go before
those of a cluster; of the same age the first by name wins.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from xds_server.api.document import Document
from xds_server.api.policy import LoadBalancer, TargetRef, TrafficPolicy
from xds_server.api.problem import FieldPath, ObjectKey, Problem
from xds_server.mesh.backend import Backend
from xds_server.mesh.finding import finding, warning
from xds_server.mesh.fit import fit
from xds_server.mesh.model import Port
from xds_server.mesh.weight import FindPod, Weighing, weigh

_DEFAULT: Final = LoadBalancer()


@dataclass(frozen=True, slots=True)
class Reference:
    """One of a policy's `targetRefs`: the policy and the position in the list."""

    policy: Document
    position: int

    @property
    def target(self) -> TargetRef:
        """What is targeted."""
        return policy_of(self.policy).spec.target_refs[self.position]

    @property
    def names_port(self) -> bool:
        """Whether one port is targeted, not the whole Service."""
        return self.target.section_name is not None

    @property
    def proposal(self) -> "Proposal | None":
        """What the policy wants there; None if it says nothing of load balancing."""
        load_balancer = policy_of(self.policy).spec.load_balancer
        if load_balancer is None:
            return None
        return Proposal(
            document=self.policy,
            path=("spec", "loadBalancer"),
            load_balancer=load_balancer,
            service=self.target.name,
            names_port=self.names_port,
        )

    def matches(self, port: Port) -> bool:
        """Whether the whole Service or this port is targeted."""
        section = self.target.section_name
        return section is None or section == (port.name or str(port.number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a reference at one port that it matches.

    It is in force where it is the winner itself. Without a winner it does not fit: the
    problems say why. Otherwise the winner is in force in its place.
    """

    reference: Reference
    winner: Reference | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """How one port is balanced, and by whose word (unset: nobody's).

    `problems` are the annotation's; those of policies are in their outcomes.
    """

    load_balancer: LoadBalancer
    weighing: Weighing
    origin: ObjectKey | None = None
    outcomes: tuple[Outcome, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A load balancer for a port of a Service, and where it was written.

    `is_brief` where only the algorithm's name was written, and no field of it.
    """

    document: Document
    path: FieldPath
    load_balancer: LoadBalancer
    service: str
    names_port: bool = False
    is_brief: bool = False

    def path_of(self, field: FieldPath) -> FieldPath:
        """Return where a field of the load balancer was, or would be, written."""
        return self.path if self.is_brief else (*self.path, *field)


def policy_of(document: Document) -> TrafficPolicy:
    """Return the body of a TrafficPolicy's document."""
    assert isinstance(document.body, TrafficPolicy)  # noqa: S101 - narrows the union
    return document.body


def rank(policies: Iterable[Document], service: str) -> tuple[Reference, ...]:
    """Return all references to *service*, the strongest first."""
    references = (
        Reference(policy, position)
        for policy in policies
        for position, target in enumerate(policy_of(policy).spec.target_refs)
        if target.kind == "Service" and target.name == service
    )
    return tuple(
        sorted(
            references,
            key=lambda r: (not r.names_port, r.policy.seniority, r.position),
        )
    )


def attach(
    port: Port,
    backends: Sequence[Backend],
    references: Iterable[Reference],
    annotated: Proposal | None,
    find_pod: FindPod,
) -> Attachment:
    """Return how *port* is balanced.

    *references* are those to the whole Service, ranked; *annotated* is what the
    Service's annotation asks for.
    """
    outcomes: list[Outcome] = []
    winner: Reference | None = None
    weighing = Weighing(weights=None)
    for reference in references:
        proposal = reference.proposal
        if proposal is None or not reference.matches(port):
            continue
        if winner is not None:
            outcomes.append(Outcome(reference=reference, winner=winner))
            continue
        fits, tried, problems = _try(proposal, port, backends, find_pod)
        if fits:
            winner, weighing = reference, tried
        outcomes.append(Outcome(reference=reference, winner=winner, problems=problems))
    if winner is not None and winner.proposal is not None:
        return Attachment(
            load_balancer=winner.proposal.load_balancer,
            weighing=weighing,
            origin=winner.policy.key,
            outcomes=tuple(outcomes),
        )
    return _fall_back(port, backends, annotated, find_pod, tuple(outcomes))


def _fall_back(
    port: Port,
    backends: Sequence[Backend],
    annotated: Proposal | None,
    find_pod: FindPod,
    outcomes: tuple[Outcome, ...],
) -> Attachment:
    problems: tuple[Problem, ...] = ()
    if annotated is not None:
        fits, weighing, problems = _try(annotated, port, backends, find_pod)
        if fits:
            return Attachment(
                load_balancer=annotated.load_balancer,
                weighing=weighing,
                origin=annotated.document.key,
                outcomes=outcomes,
                problems=problems,
            )
    return Attachment(
        load_balancer=_DEFAULT,
        weighing=Weighing(weights=None),
        outcomes=outcomes,
        problems=problems,
    )


def _try(
    proposal: Proposal, port: Port, backends: Sequence[Backend], find_pod: FindPod
) -> tuple[bool, Weighing, tuple[Problem, ...]]:
    """Return whether *proposal* fits *port*, the weights, and the problems."""
    load_balancer = proposal.load_balancer
    weighing = weigh(load_balancer, backends, find_pod)
    found = fit(
        load_balancer,
        port,
        backends,
        weighing,
        service=f"Service {proposal.document.key.namespace}/{proposal.service}",
        names_port=proposal.names_port,
    )
    problems = [
        finding(proposal.document, proposal.path_of(e.path), e.message, hint=e.hint)
        for e in found.errors
    ]
    problems += (
        warning(
            proposal.document,
            proposal.path_of(w.path),
            w.message,
            hint=w.hint,
            role=w.role,
        )
        for w in found.warnings
    )
    return not found.errors, weighing, (*problems, *weighing.problems)
