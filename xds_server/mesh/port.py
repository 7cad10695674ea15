"""Which ports of a Service can be balanced, and what they speak.

A Service manifest in; the ports that can be balanced, in the order of their numbers,
and what is wrong with the others out.
"""

from typing import Final

from xds_server.api.document import Document
from xds_server.api.kubernetes import Service, ServicePort
from xds_server.api.problem import Problem
from xds_server.mesh.finding import warning
from xds_server.mesh.model import Protocol

_APP_PROTOCOLS: Final = {
    "http": Protocol.HTTP1,
    "kubernetes.io/ws": Protocol.HTTP1,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.HTTP2,
    "kubernetes.io/h2c": Protocol.HTTP2,
}
_NAMES: Final = {
    "http": Protocol.HTTP1,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.HTTP2,
}


def service_of(document: Document) -> Service:
    """Return the body of a Service's document."""
    assert isinstance(document.body, Service)  # noqa: S101 - narrows the union
    return document.body


def balanced_ports(
    document: Document,
) -> tuple[tuple[ServicePort, ...], tuple[Problem, ...]]:
    """Return a Service's TCP ports by number, and what is wrong with the others."""
    ports: dict[int, ServicePort] = {}
    problems: list[Problem] = []
    found = service_of(document).spec.ports
    if not found:
        message = "a Service without ports has no cluster: no Envoy can reach it"
        hint = "add a port, such as {name: http, port: 80}"
        problems.append(warning(document, ("spec", "ports"), message, hint=hint))
    for position, port in enumerate(found):
        path = ("spec", "ports", position)
        if port.protocol != "TCP":
            message = f"{port.protocol} is not balanced: the port is left out"
            problems.append(warning(document, (*path, "protocol"), message))
        elif port.port in ports:
            message = f"TCP port {port.port} is there twice: the first wins"
            problems.append(warning(document, (*path, "port"), message))
        else:
            ports[port.port] = port
    return tuple(ports[number] for number in sorted(ports)), tuple(problems)


def protocol_of(port: ServicePort) -> Protocol:
    """Return what *port* speaks.

    Its `appProtocol` decides (the standard names of KEP-3726 and the common ones); else
    its name, which is `http`, `http2` or `grpc`, alone or followed by `-`; else TCP.
    """
    if port.app_protocol is not None:
        return _APP_PROTOCOLS.get(port.app_protocol.lower(), Protocol.TCP)
    return _NAMES.get(port.name.partition("-")[0], Protocol.TCP)


def section_of(port: ServicePort) -> str:
    """Return what a `sectionName` calls *port*: its name, or else its number."""
    return port.name or str(port.port)
