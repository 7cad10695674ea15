"""All resources of one Service, and all that one audience adds to them.

The one list of which resources there are; what is in each is in the modules beside.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
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
from xds_server.translate.selection import select
from xds_server.translate.tls import build_secrets
from xds_server.xds import SECRET, Resource

_Built = Mapping[tuple[str, str], Resource]
"""Resources by their types and names."""


def build_service(
    service: Service, client: Client = Client.ENVOY
) -> Iterator[Resource]:
    """Yield what all nodes that are a *client* share of *service*.

    It is the clusters, the assignments of those that use EDS, their secrets, and for
    gRPC the routes.
    Nodes with the labels of a variant see that in the same resource.

    Raises:
        TranslateError: a resource must not be sent.
    """
    for upstream in service.upstreams:
        variants = [
            (each.labels, _build_upstream(each.upstream, client))
            for each in upstream.variants
        ]
        everybody = _build_upstream(upstream, client)
        for key, resource in everybody.items():
            if resource.type_url == SECRET:
                yield resource
                continue
            groups = {labels: resources[key] for labels, resources in variants}
            yield select(resource, groups)
        yield from _more_secrets(everybody, [each for _, each in variants])


def _more_secrets(everybody: _Built, variants: Iterable[_Built]) -> Iterator[Resource]:
    """Yield the secrets that some groups of clients are told of, and not everybody.

    Equal names are equal content, so a secret has no forms.
    """
    more = {key: resource for each in variants for key, resource in each.items()}
    for key, resource in more.items():
        if resource.type_url == SECRET and key not in everybody:
            yield resource


def _build_upstream(upstream: Upstream, client: Client) -> _Built:
    """Return all resources of *upstream* but its variants, by type and name."""
    build = _build_for_envoy if client is Client.ENVOY else _build_for_grpc
    found = owners(upstream)
    resources = (
        each if each.owners else replace(each, owners=found) for each in build(upstream)
    )
    return {(each.type_url, each.name): each for each in resources}


def _build_for_envoy(upstream: Upstream) -> Iterator[Resource]:
    yield build_cluster(upstream)
    if upstream.discovery is Discovery.EDS:
        yield build_load_assignment(upstream)
    yield from build_secrets(upstream)


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
