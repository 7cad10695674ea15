"""What documents mean, without serving them: `check` and `render`.

Paths in; problems, or the resources that an Envoy would be sent, out. Nothing that
speaks gRPC is imported here, and what knows Envoy only by `render`: a check is quick.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from xds_server.api.problem import Problem, Severity, in_order, summary
from xds_server.mesh.audience import audience_of, place_of
from xds_server.mesh.index import Index
from xds_server.mesh.model import Locality, Service
from xds_server.sources.files import read_once
from xds_server.xds import PUSH_ORDER, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is wrong with documents, alone and together, and in how many files."""

    problems: tuple[Problem, ...]
    files: int

    @property
    def has_errors(self) -> bool:
        """Whether something is left out for an error."""
        return any(one.severity is Severity.ERROR for one in self.problems)

    def __str__(self) -> str:
        return summary(self.problems, files=self.files)


def check(paths: Iterable[Path]) -> Findings:
    """Return what is wrong with the documents in *paths*."""
    index, files = _resolve(paths)
    return Findings(problems=index.problems, files=files)


def render(
    paths: Iterable[Path],
    *,
    node_id: str,
    metadata: Mapping[str, object],
    user_agent: str = "",
    locality: Locality = Locality(),  # noqa: B008 - frozen
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

    index, files = _resolve(paths)
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
    place = place_of(metadata, locality, index.locality_of)
    resources = [each.at(place) for each in resources]
    resources.sort(key=lambda each: (PUSH_ORDER.index(each.type_url), each.name))
    said = tuple(in_order(p for p in problems if p.role in {None, audience.role}))
    return resources, Findings(problems=said, files=files)


def _resolve(paths: Iterable[Path]) -> tuple[Index, int]:
    """Return what the documents mean, and in how many files they are."""
    loaded = read_once(paths)
    index = Index()
    index.apply(loaded.events)
    return index, loaded.files
