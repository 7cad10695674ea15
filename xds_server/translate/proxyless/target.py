"""Which Service a name is about: the inverse of the names that resources are given.

The name of a resource and the namespace of whoever asks for it in; a Service's
namespace and name out. gRPC clients name all that they want, so what nobody names need
not be made.
"""

import re
from typing import Final

from xds_server.translate.name import CLUSTER_DOMAIN, PROXYLESS_ROUTE, is_label
from xds_server.xds import LISTENER, ROUTE

_TARGET: Final = re.compile(r"([-a-z0-9.]{1,253})(?::[1-9][0-9]{0,4})?", re.ASCII)
_SUFFIXES: Final = ((), ("svc",), ("svc", *CLUSTER_DOMAIN.split(".")))


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
