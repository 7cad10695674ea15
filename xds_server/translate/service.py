"""All resources of one Service, and all that one audience adds to them.

The one list of which resources there are; what is in each is in the modules beside.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

from xds_server.api.document import Document
from xds_server.api.problem import Problem
from xds_server.mesh.finding import finding
from xds_server.mesh.model import Audience, Discovery, Service
from xds_server.translate.check import TranslateError
from xds_server.translate.cluster import build_cluster
from xds_server.translate.endpoint import build_load_assignment
from xds_server.translate.listener import build_listeners
from xds_server.translate.name import owners
from xds_server.translate.route import build_route_configuration
from xds_server.xds import Resource


def build_service(service: Service) -> Iterator[Resource]:
    """Yield the clusters of *service* and the assignments of those that use EDS.

    Raises:
        TranslateError: a resource must not be sent to an Envoy.
    """
    for upstream in service.upstreams:
        found = owners(upstream)
        yield replace(build_cluster(upstream), owners=found)
        if upstream.discovery is Discovery.EDS:
            yield replace(build_load_assignment(upstream), owners=found)


def build_entrance(
    services: Collection[Service], audience: Audience
) -> Iterator[Resource]:
    """Yield how requests of *audience* find *services*: its listeners and its routes.

    Raises:
        TranslateError: a resource must not be sent to an Envoy. It is the audience's
            fault where `build_service` takes each of *services*.
    """
    upstreams = [upstream for service in services for upstream in service.upstreams]
    yield from build_listeners(audience, upstreams)
    yield build_route_configuration(services, audience)


def untranslatable(service: Document, error: TranslateError) -> Problem:
    """Return what to tell whoever wrote *service* of an *error* in translating it."""
    return finding(
        service,
        (),
        f"cannot be sent to an Envoy: {error}",
        hint="it should have been refused before: please report a bug of xds-server",
    )
