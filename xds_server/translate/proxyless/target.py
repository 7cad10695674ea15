"""Which names a Service's resources have, and which Service a name is about.

A Service, or the name of a resource, and the namespace of whoever asks in; the names,
or the Service's, out. gRPC clients name all that they want, so what nobody names need
not be made.
"""

import re
from collections.abc import Iterator
from typing import Final

from xds_server.mesh.model import Service
from xds_server.translate.name import (
    CLUSTER_DOMAIN,
    PROXYLESS_ROUTE,
    cluster_name,
    domains,
    is_label,
    proxyless_route_name,
)
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE

_TARGET: Final = re.compile(r"([-a-z0-9.]{1,253})(?::[1-9][0-9]{0,4})?", re.ASCII)
_SUFFIXES: Final = ((), ("svc",), ("svc", *CLUSTER_DOMAIN.split(".")))


def keys_of(service: Service, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield the type URL and the name of all that *service* can have resources of.

    Of some there are none: only one of its ports is meant by a target without a port.
    """
    local = service.namespace == namespace
    for upstream in service.upstreams:
        name = cluster_name(upstream)
        yield CLUSTER, name
        yield ENDPOINT, name
        yield ROUTE, proxyless_route_name(upstream)
        for target in domains(upstream, local=local, default=True):
            yield LISTENER, target


def service_of(type_url: str, name: str, namespace: str) -> tuple[str, str] | None:
    """Return the Service that the resource called *name* is made of.

    A listener's name is the target of a channel; where it is short, it is about a
    Service of *namespace*. None if no Service can have a resource of that name.
    """
    if type_url == LISTENER:
        return _service_of_target(name, namespace)
    path = name.removeprefix(PROXYLESS_ROUTE) if type_url == ROUTE else name
    parts = path.split("/")
    return (parts[0], parts[1]) if len(parts) == 3 else None  # noqa: PLR2004 - with the port


def is_target(name: str) -> bool:
    """Whether *name* can be meant as a target: a host with a dot, or with a port.

    A lone word can be too, but is as well any word of any message.
    """
    return _TARGET.fullmatch(name) is not None and ("." in name or ":" in name)


def _service_of_target(name: str, namespace: str) -> tuple[str, str] | None:
    match = _TARGET.fullmatch(name)
    labels = match[1].split(".") if match else []
    if not all(map(is_label, labels)):
        return None
    match labels:
        case [service]:
            return namespace, service
        case [service, other, *rest] if tuple(rest) in _SUFFIXES:
            return other, service
        case _:
            return None
