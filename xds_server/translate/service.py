"""All resources of one Service, and all that one audience adds to them.

The one list of which resources there are; what is in each is in the modules beside.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

from xds_server.api.document import Document
from xds_server.api.problem import Problem
from xds_server.mesh.finding import finding
from xds_server.mesh.model import Audience, Client, Discovery, Service, Upstream
from xds_server.translate import proxyless
from xds_server.translate.check import TranslateError
from xds_server.translate.cluster import build_cluster
from xds_server.translate.endpoint import build_load_assignment
from xds_server.translate.listener import build_listeners
from xds_server.translate.name import owners
from xds_server.translate.route import build_route_configuration
from xds_server.xds import Resource


def build_service(
    service: Service, client: Client = Client.ENVOY
) -> Iterator[Resource]:
    """Yield what all nodes that are a *client* share of *service*.

    It is the clusters, the assignments of those that use EDS, and for gRPC the routes.

    Raises:
        TranslateError: a resource must not be sent.
    """
    build = _build_for_envoy if client is Client.ENVOY else _build_for_grpc
    for upstream in service.upstreams:
        found = owners(upstream)
        yield from (replace(each, owners=found) for each in build(upstream))


def _build_for_envoy(upstream: Upstream) -> Iterator[Resource]:
    yield build_cluster(upstream)
    if upstream.discovery is Discovery.EDS:
        yield build_load_assignment(upstream)


def _build_for_grpc(upstream: Upstream) -> Iterator[Resource]:
    yield proxyless.build_cluster(upstream)
    if upstream.discovery is Discovery.EDS:
        yield proxyless.build_load_assignment(upstream)
    yield proxyless.build_route_configuration(upstream)


def build_entrance(
    services: Collection[Service], audience: Audience
) -> Iterator[Resource]:
    """Yield how requests of *audience* find *services*: its listeners and its routes.

    Raises:
        TranslateError: a resource must not be sent. It is the audience's fault where
            `build_service` takes each of *services*.
    """
    if audience.client is Client.GRPC:
        yield from proxyless.build_listeners(services, audience)
        return
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
