"""What documents mean, without serving them: `check` and `render`.

Paths in; problems, or the resources that an Envoy would be sent, out. Nothing that
speaks gRPC is imported here, and what knows Envoy only by `render`: a check is quick.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from xds_server.api.name import ROOT_NAMESPACE
from xds_server.api.problem import Problem, Severity, in_order, summary
from xds_server.mesh.audience import audience_of, labels_of, place_of
from xds_server.mesh.explanation import Explanation
from xds_server.mesh.index import Index
from xds_server.mesh.misfit import Misfit
from xds_server.mesh.model import Locality, Service, Upstream
from xds_server.sources.files import read_once
from xds_server.xds import PUSH_ORDER, SECRET, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is wrong with documents, alone and together, and in how many files."""

    problems: tuple[Problem, ...]
    files: int

    @property
    def has_errors(self) -> bool:
        """Whether something is left out for an error."""
        return any(one.severity is Severity.ERROR for one in self.problems)

    def with_more(self, problems: Iterable[Problem]) -> "Findings":
        """Return these and more *problems*, in order."""
        return replace(self, problems=tuple(in_order((*self.problems, *problems))))

    def __str__(self) -> str:
        return summary(self.problems, files=self.files)


def check(paths: Iterable[Path], *, root_namespace: str = ROOT_NAMESPACE) -> Findings:
    """Return what is wrong with the documents in *paths*."""
    index, files = _resolve(paths, root_namespace)
    return Findings(problems=index.problems, files=files)


def explain(
    paths: Iterable[Path],
    *,
    service: str,
    node_id: str,
    labels: Mapping[str, str],
    root_namespace: str = ROOT_NAMESPACE,
) -> tuple[tuple[Explanation, ...], str, Findings]:
    """Return why a client gets what it gets of *service*, whose full name that is.

    And what is wrong with the documents. The client is of the namespace that its
    *node_id* says. *service* is `NAMESPACE/NAME`, or `NAME` in
    the namespace of the client, each with or without `:PORT`.

    Raises:
        KeyError: there is no such Service or port; the text says which there are.
    """
    index, files = _resolve(paths, root_namespace)
    audience, _ = audience_of({}, node_id=node_id)
    name, _, wanted = service.partition(":")
    namespace, _, own = name.rpartition("/")
    key = namespace or audience.namespace, own
    if key not in index.services:
        names = ", ".join(sorted("/".join(each) for each in index.services)) or "none"
        message = f"there is no Service {'/'.join(key)}\n  hint: there are: {names}"
        raise KeyError(message)
    found = index.explain(key, labels_of({"labels": labels}, audience.namespace))
    chosen = tuple(e for e in found if wanted in {"", e.port.name, str(e.port.number)})
    if wanted and not chosen:
        ports = ", ".join(str(each.port.number) for each in found) or "none"
        message = f"Service {'/'.join(key)} has no TCP port {wanted}"
        message += f"\n  hint: there are: {ports}"
        raise KeyError(message)
    return chosen, "/".join(key), Findings(problems=index.problems, files=files)


def render(
    paths: Iterable[Path],
    *,
    node_id: str,
    metadata: Mapping[str, object],
    user_agent: str = "",
    locality: Locality = Locality(),  # noqa: B008 - frozen
    root_namespace: str = ROOT_NAMESPACE,
) -> tuple[list[Resource], Findings]:
    """Return what a node would be sent, and what is wrong with that.

    Resources come in push order and then by name. *metadata* is that of the node in its
    bootstrap, *user_agent* tells a gRPC client from an Envoy, *locality* is that in
    which it says it runs. A Service that cannot be translated is a problem, and left
    out. What concerns nodes of another role only is not said.

    Raises:
        TranslateError: such a node cannot be served at all.
    """
    # Takes most of a second.
    from xds_server.translate.check import TranslateError  # noqa: PLC0415
    from xds_server.translate.service import (  # noqa: PLC0415
        build_entrance,
        build_service,
        untranslatable,
    )

    index, files = _resolve(paths, root_namespace)
    audience, _ = audience_of(metadata, node_id=node_id, user_agent=user_agent)
    problems = list(index.problems)
    resources: list[Resource] = []
    translated: list[Service] = []
    for name, service in index.services.items():
        try:
            resources += tuple(build_service(service, audience.client))
        except TranslateError as error:
            problems.append(untranslatable(index.document_of(name), error))
        else:
            translated.append(service)
    resources += build_entrance(translated, audience)
    place = place_of(metadata, audience.namespace, locality, index.locality_of)
    resources = [each.at(place) for each in resources]
    order = (*PUSH_ORDER, SECRET)
    resources.sort(key=lambda each: (order.index(each.type_url), each.name))
    said = tuple(in_order(p for p in problems if p.role in {None, audience.role}))
    return resources, Findings(problems=said, files=files)


def _resolve(paths: Iterable[Path], root_namespace: str) -> tuple[Index, int]:
    """Return what the documents mean, and in how many files they are."""
    loaded = read_once(paths)
    index = Index(root_namespace=root_namespace, try_out=_try_patch)
    index.apply(loaded.events)
    return index, loaded.files


def _try_patch(upstream: Upstream) -> Iterable[Misfit]:
    """Return what is wrong with the patch of *upstream*: few have one."""
    from xds_server.translate.cluster import try_patch  # noqa: PLC0415 - as above

    return try_patch(upstream)
