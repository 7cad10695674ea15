"""What documents mean, without serving them: `check` and `render`.

Paths in; problems, or the resources that an Envoy would be sent, out. Nothing that
speaks gRPC is imported here, and what knows Envoy only by `render`: a check is quick.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from xds_server.api.problem import Problem
from xds_server.mesh.audience import audience_of
from xds_server.mesh.index import Index
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
    bootstrap.

    Raises:
        TranslateError: a resource must not be sent to an Envoy.
    """
    from xds_server.translate.service import (  # noqa: PLC0415 - takes most of a second
        build_entrance,
        build_service,
    )

    index = _resolve(paths)
    services = tuple(index.services.values())
    audience, _ = audience_of(metadata, node_id=node_id)
    resources = [each for service in services for each in build_service(service)]
    resources += build_entrance(services, audience)
    resources.sort(key=lambda each: (PUSH_ORDER.index(each.type_url), each.name))
    return resources, index.problems


def _resolve(paths: Iterable[Path]) -> Index:
    index = Index()
    index.apply(load(paths))
    return index
