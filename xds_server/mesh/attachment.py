"""What each port of a Service gets from policies, section by section.

The policies that target a Service and its ports with their backends in; each section of
each port, and what became of each policy there, out. How a section is decided is in
`section`, what speaks against one in `fit` and in the module named like it, and which
do not go together in `combination`. A new
section is a field of `Sections`, and a line in `attach`.

The Service's annotation picks an algorithm where no policy that names the Service has
a `loadBalancer`; it says nothing of other sections.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from xds_server.api.combination import clash_of
from xds_server.api.policy import EnvoyPatch, LoadBalancer, Locality, PolicySpec
from xds_server.api.problem import Problem
from xds_server.mesh.backend import Backend
from xds_server.mesh.circuit_breaker import fit_circuit_breaker
from xds_server.mesh.combination import beside, gives_way, rival_of
from xds_server.mesh.connection import fit_connection, spoken
from xds_server.mesh.fit import fit
from xds_server.mesh.health_check import fit_health_check
from xds_server.mesh.load_assignment import fit_overload, fit_stale_endpoints
from xds_server.mesh.locality import fit_locality
from xds_server.mesh.misfit import Fit, Situation, fit_anywhere, fit_http
from xds_server.mesh.model import (
    NO_SECTIONS,
    Discovery,
    Origin,
    Port,
    Section,
    Sections,
)
from xds_server.mesh.outlier_detection import (
    default_outlier_detection,
    fit_outlier_detection,
)
from xds_server.mesh.override_host import fit_override_host
from xds_server.mesh.section import (
    ALL_CLIENTS,
    Outcome,
    Proposal,
    Reference,
    Settlement,
    Trial,
    clients_of,
    policy_of,
    settle,
)
from xds_server.mesh.selector import groups_of
from xds_server.mesh.weight import FindPod, Weighing, weigh
from xds_server.xds import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A load balancer, and what its weights make of the backends."""

    load_balancer: LoadBalancer
    weighing: Weighing


Written = TypeVar("Written")

_DEFAULT: Final = Balance(load_balancer=LoadBalancer(), weighing=Weighing(weights=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What one port gets, and by whose word.

    `port` speaks what its endpoints are spoken with. `problems` are the annotation's;
    those of policies are in their outcomes.
    """

    port: Port
    balance: Balance = _DEFAULT
    sections: Sections = NO_SECTIONS
    origins: tuple[Origin, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    problems: tuple[Problem, ...] = ()


def attach_by_labels(
    references: Sequence[Reference], attach_all: Callable[[list[Reference]], Attachment]
) -> Mapping[Labels, Attachment]:
    """Return what each group of clients gets, by their labels; all others first.

    *references* are ranked; *attach_all* is asked for those that are for a group.
    """
    groups = groups_of(each.clients for each in references)
    return {
        labels: attach_all([each for each in references if each.is_for(labels)])
        for labels in groups
    }


def attach(
    port: Port,
    backends: Sequence[Backend],
    references: Sequence[Reference],
    annotated: Proposal[LoadBalancer] | None,
    find_pod: FindPod,
    *,
    discovery: Discovery,
    is_only_port: bool,
    try_out: "Callable[[Attachment], Fit]",
) -> Attachment:
    """Return what *port* gets, whose *backends* Envoys find by *discovery*.

    *references* are those to the whole Service for the same clients, ranked;
    *annotated* is what the Service's annotation asks for. *is_only_port* where the
    Service has no other. *try_out* says what an Envoy would say of what it gets.
    """
    desk = _Desk(port, backends, discovery, references, find_pod, is_only_port)
    tls = desk.settle(Section.TLS, lambda spec: spec.tls)
    desk.is_encrypted = tls is not None and tls.is_on
    connection = desk.settle(
        Section.CONNECTION, lambda spec: spec.connection, fit_connection
    )
    desk.port = spoken(port, connection)
    balanced, located, problems = _settle_together(
        desk,
        partial(_balance, port, references, annotated),
        partial(_try_balance, port, backends, find_pod, discovery),
        annotated,
    )
    sections = Sections(
        locality=desk.keep(located),
        health_check=desk.settle(
            Section.HEALTH_CHECK, lambda spec: spec.health_check, fit_health_check
        ),
        outlier_detection=desk.settle(
            Section.OUTLIER_DETECTION,
            lambda spec: spec.outlier_detection,
            fit_outlier_detection,
        )
        or default_outlier_detection(
            (balanced.value or _DEFAULT).load_balancer, desk.port.protocol, discovery
        ),
        panic_threshold=desk.settle(
            Section.PANIC_THRESHOLD, lambda spec: spec.panic_threshold
        ),
        circuit_breaker=desk.settle(
            Section.CIRCUIT_BREAKER,
            lambda spec: spec.circuit_breaker,
            fit_circuit_breaker,
        ),
        retry=desk.settle(
            Section.RETRY,
            lambda spec: spec.retry,
            fit_http("nothing is sent again"),
        ),
        connection=connection,
        session=desk.settle(
            Section.SESSION,
            lambda spec: spec.session,
            fit_http("there are no sessions"),
        ),
        override_host=desk.settle(
            Section.OVERRIDE_HOST, lambda spec: spec.override_host, fit_override_host
        ),
        rate_limit=desk.settle(
            Section.RATE_LIMIT,
            lambda spec: spec.rate_limit,
            fit_http("none is refused"),
        ),
        admission_control=desk.settle(
            Section.ADMISSION_CONTROL,
            lambda spec: spec.admission_control,
            fit_http("none is refused"),
        ),
        adaptive_concurrency=desk.settle(
            Section.ADAPTIVE_CONCURRENCY,
            lambda spec: spec.adaptive_concurrency,
            fit_http("none is refused"),
        ),
        tls=tls,
        overload=desk.settle(
            Section.OVERLOAD, lambda spec: spec.overload, fit_overload
        ),
        stale_endpoints=desk.settle(
            Section.STALE_ENDPOINTS,
            lambda spec: spec.stale_endpoints,
            fit_stale_endpoints,
        ),
    )
    found = Attachment(
        port=desk.port, balance=balanced.value or _DEFAULT, sections=sections
    )

    def fit_envoy_patch(patch: EnvoyPatch, _: Situation) -> Fit:
        patched = replace(sections, envoy_patch=patch)
        return try_out(replace(found, sections=patched))

    patch = desk.settle(
        Section.ENVOY_PATCH, lambda spec: spec.envoy_patch, fit_envoy_patch
    )
    return replace(
        found,
        sections=replace(sections, envoy_patch=patch) if patch else sections,
        origins=(*filter(None, (balanced.origin,)), *desk.origins),
        outcomes=(*balanced.outcomes, *desk.outcomes),
        problems=problems,
    )


@dataclass(slots=True)
class _Desk:
    """Where the sections of one port are settled that only have to fit it.

    Keeps who gave each, and what became of the others.
    """

    port: Port
    backends: Sequence[Backend]
    discovery: Discovery
    references: Sequence[Reference]
    find_pod: FindPod
    is_only_port: bool
    is_encrypted: bool = False
    origins: list[Origin] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def settle(
        self,
        section: Section,
        read: Callable[[PolicySpec], Written | None],
        fits: Callable[[Written, Situation], Fit] = fit_anywhere,
    ) -> Written | None:
        """Return what *section* is; *fits* says whether one can be in force.

        Most policies have one or two sections: what none has costs next to nothing.
        """
        attempt = partial(self.attempt, fits)
        return self.keep(self.compare(section, read, attempt))

    def compare(
        self,
        section: Section,
        read: Callable[[PolicySpec], Written | None],
        attempt: Callable[[Proposal[Written]], Trial[Written]],
    ) -> Settlement[Written]:
        """Return how *section* is settled, without keeping it."""
        if all(read(each.spec) is None for each in self.references):
            return Settlement(value=None, origin=None, outcomes=())
        return settle(section, read, attempt, self.references, self.port)

    def attempt(
        self,
        fits: Callable[[Written, Situation], Fit],
        proposal: Proposal[Written],
    ) -> Trial[Written]:
        """Return what *proposal* comes to here, as *fits* has it."""
        situation = Situation(
            port=self.port,
            backends=self.backends,
            find_pod=self.find_pod,
            is_meant=proposal.names_port
            or (self.is_only_port and not proposal.level.is_broad),
            for_everybody=clients_of(policy_of(proposal.document).spec) == ALL_CLIENTS,
            discovery=self.discovery,
            is_encrypted=self.is_encrypted,
        )
        found = fits(proposal.written, situation)
        return Trial(
            value=proposal.written if found.is_usable else None,
            problems=proposal.problems(found),
        )

    def keep(self, settled: Settlement[Written]) -> Written | None:
        """Return what a section is, and keep whose it is."""
        self.outcomes += settled.outcomes
        if settled.origin is not None:
            self.origins.append(settled.origin)
        return settled.value


def _settle_together(
    desk: _Desk,
    balance: Callable[
        [Callable[[Proposal[LoadBalancer]], Trial[Balance]]],
        tuple[Settlement[Balance], tuple[Problem, ...]],
    ],
    balance_by: Callable[[Proposal[LoadBalancer]], Trial[Balance]],
    annotated: Proposal[LoadBalancer] | None,
) -> tuple[Settlement[Balance], Settlement[Locality], tuple[Problem, ...]]:
    """Return how `loadBalancer` and `locality` are settled, which have to go together.

    And the problems of what is *annotated*. Where they do not, the broader gives way.
    """
    locate_by = partial(desk.attempt, fit_locality)
    locate = partial(desk.compare, Section.LOCALITY, lambda spec: spec.locality)
    (balanced, problems), located = balance(balance_by), locate(locate_by)
    balancer = (balanced.value or _DEFAULT).load_balancer
    place = located.value
    if place is None or clash_of(balancer, place) is None:
        return balanced, located, problems
    if gives_way(balanced, located, desk.references):
        rival = rival_of(Section.LOCALITY, located)
        clash = partial(clash_of, locality=place)
        balanced, problems = balance(beside(balance_by, clash, rival))
    else:
        rival = rival_of(Section.LOAD_BALANCER, balanced, annotated)
        located = locate(beside(locate_by, partial(clash_of, balancer), rival))
    return balanced, located, problems


def _balance(
    port: Port,
    references: Sequence[Reference],
    annotated: Proposal[LoadBalancer] | None,
    attempt: Callable[[Proposal[LoadBalancer]], Trial[Balance]],
) -> tuple[Settlement[Balance], tuple[Problem, ...]]:
    """Return how `loadBalancer` is settled, and the problems of what is *annotated*."""
    balanced: Settlement[Balance] = settle(
        Section.LOAD_BALANCER,
        lambda spec: spec.load_balancer,
        attempt,
        references,
        port,
    )
    if not balanced.is_broad or annotated is None:
        return balanced, ()
    trial = attempt(annotated)
    if trial.value is not None:
        balanced = Settlement(
            value=trial.value,
            origin=Origin(Section.LOAD_BALANCER, annotated.document.key),
            outcomes=tuple(
                each for each in balanced.outcomes if not each.reference.level.is_broad
            ),
        )
    return balanced, trial.problems


def _try_balance(
    port: Port,
    backends: Sequence[Backend],
    find_pod: FindPod,
    discovery: Discovery,
    proposal: Proposal[LoadBalancer],
) -> Trial[Balance]:
    load_balancer = proposal.written
    weighing = weigh(load_balancer, backends, find_pod)
    found = fit(
        load_balancer,
        port,
        backends,
        weighing,
        service=f"Service {proposal.service}",
        names_port=proposal.names_port,
        discovery=discovery,
        find_pod=find_pod,
    )
    return Trial(
        value=Balance(load_balancer=load_balancer, weighing=weighing)
        if found.is_usable
        else None,
        problems=(
            *proposal.problems(found),
            *(() if proposal.level.is_broad else weighing.problems),
        ),
    )
