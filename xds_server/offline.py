"""What documents mean, without serving them: `check` and `render`.

Paths in; problems, or the resources that an Envoy would be sent, out. Nothing that
speaks gRPC is imported here, and what knows Envoy only by `render`: a check is quick.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from xds_server.api.problem import Problem, in_order
from xds_server.mesh.audience import audience_of
from xds_server.mesh.index import Index
from xds_server.mesh.model import Service
from xds_server.sources.files import load
from xds_server.xds import PUSH_ORDER, Resource


def check(paths: Iterable[Path]) -> tuple[Problem, ...]:
    """Return what is wrong with the documents in *paths*, alone and together."""
    return _resolve(paths).problems


def render(
    paths: Iterable[Path], *, node_id: str, metadata: Mapping[str, object]
) -> tuple[list[Resource], tuple[Problem, ...]]:
    """Return what a node would be sent, and what is wrong with the documents.

    Resources come in push order and then by name. *metadata* is that of the node in its
    bootstrap. A Service that cannot be translated is a problem, and left out.

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

    index = _resolve(paths)
    problems = list(index.problems)
    resources: list[Resource] = []
    translated: list[Service] = []
    for name, service in index.services.items():
        try:
            resources += tuple(build_service(service))
        except TranslateError as error:
            problems.append(untranslatable(index.document_of(name), error))
        else:
            translated.append(service)
    audience, _ = audience_of(metadata, node_id=node_id)
    resources += build_entrance(translated, audience)
    resources.sort(key=lambda each: (PUSH_ORDER.index(each.type_url), each.name))
    return resources, tuple(in_order(problems))


def _resolve(paths: Iterable[Path]) -> Index:
    index = Index()
    index.apply(load(paths))
    return index
