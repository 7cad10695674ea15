"""What generated resources are called: every name that Envoy sees is made here.

Namespaces, Services and port numbers in; names out. Kubernetes names are DNS labels
(RFC 1123: at most 63 of `a-z0-9-`, so neither dots nor slashes), which makes the names
distinct by construction, bounded (`LENGTH_LIMIT`), and whole in Envoy's statistics,
whose tags end at a dot.
"""

import re
from collections.abc import Iterator
from typing import Final

from xds_server.mesh.model import Upstream

LENGTH_LIMIT: Final = 256
"""No generated name is longer. (The longest are those of TCP listeners: 146.)"""

CLUSTER_DOMAIN: Final = "cluster.local"
"""The DNS domain of the mesh, below which every Service has its full name."""

HTTP_LISTENER: Final = "outbound/http"
"""The listener whose virtual hosts are the Services."""

CATCH_ALL: Final = "unknown"
"""The virtual host of every authority that is no Service's."""

PROXYLESS_ROUTE: Final = "grpc/"
"""What the names of the routes of gRPC clients begin with."""

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)


def is_label(text: str) -> bool:
    """Return whether *text* is a DNS label, as RFC 1123 and Kubernetes have it."""
    return _LABEL.fullmatch(text) is not None


def cluster_name(upstream: Upstream) -> str:
    """Return `namespace/service/port-number`: the cluster, assignment and statistics.

    No `service_name` is sent in `eds_cluster_config`, so the assignment's name is the
    cluster's.
    """
    return f"{upstream.namespace}/{upstream.service}/{upstream.port.number}"


def local_assignment_name(namespace: str, service: str) -> str:
    """Return the name of an assignment of all who serve a Service, on whatever port.

    No cluster is called so: a port's name is its number.
    """
    return f"local/{namespace}/{service}"


def owners(upstream: Upstream) -> tuple[str, ...]:
    """Return what people have to look at if a resource of *upstream* is rejected."""
    service = f"Service {upstream.namespace}/{upstream.service}"
    return (service, *map(str, upstream.policies))


def tcp_listener_name(upstream: Upstream) -> str:
    """Return the name of the listener of one TCP port."""
    return f"outbound/tcp/{cluster_name(upstream)}"


def route_configuration_name(namespace: str) -> str:
    """Return the name of the routes that nodes of *namespace* see.

    Nothing else of a node's audience shapes its routes.
    """
    return f"outbound/http/{namespace}"


def proxyless_route_name(upstream: Upstream) -> str:
    """Return the name of the routes that lead gRPC clients to one port."""
    return f"{PROXYLESS_ROUTE}{cluster_name(upstream)}"


def domains(upstream: Upstream, *, local: bool, default: bool) -> Iterator[str]:
    """Yield the authorities that reach *upstream*, the longest host last.

    Args:
        upstream: One HTTP port of a Service.
        local: Whether its namespace is the client's, where the bare name is enough.
        default: Whether it is the port that an authority without a port means.
    """
    host = f"{upstream.service}.{upstream.namespace}"
    hosts = (host, f"{host}.svc", f"{host}.svc.{CLUSTER_DOMAIN}")
    for name in (upstream.service, *hosts) if local else hosts:
        if default:
            yield name
        yield f"{name}:{upstream.port.number}"
