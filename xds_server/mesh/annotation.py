"""What a Service's annotations ask for.

A Service's document in; its listeners and load balancer out, and what cannot be used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from xds_server.api.document import Document
from xds_server.api.field import LARGEST_PORT
from xds_server.api.kubernetes import ServicePort
from xds_server.api.kubernetes_rule import LISTEN_PORT, LOAD_BALANCER
from xds_server.api.policy import (
    LoadBalancer,
    default_load_balancer,
    parse_load_balancer_type,
)
from xds_server.api.problem import Fault, Problem
from xds_server.mesh.finding import finding
from xds_server.mesh.model import Protocol
from xds_server.mesh.port import protocol_of, section_of, service_of
from xds_server.mesh.section import Proposal

__all__ = ["LISTEN_PORT", "Listens", "annotated_balancer", "listens_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listens:
    """The listen port of each TCP port that asks for one, by the port's number."""

    by_port: Mapping[int, int]
    problems: tuple[Problem, ...] = ()


_NO_LISTENS: Final = Listens(by_port={})


def annotated_balancer(document: Document) -> Proposal[LoadBalancer] | None:
    """Return the load balancer that the `load-balancer` annotation asks for.

    It names an algorithm, which has its defaults. A text that names none was reported
    when the Service was decoded.
    """
    text = service_of(document).metadata.annotations.get(LOAD_BALANCER)
    if text is None or isinstance(parse_load_balancer_type(text), Fault):
        return None
    return Proposal(
        document=document,
        path=("metadata", "annotations", LOAD_BALANCER),
        written=default_load_balancer(text),
        service=f"{document.key.namespace}/{document.key.name}",
        is_brief=True,
    )


def listens_of(document: Document, ports: Sequence[ServicePort]) -> Listens:
    """Return what the `listen-port` annotation of a Service asks for.

    It is one number for the Service's only TCP port, or `NAME=NUMBER,NAME=NUMBER` where
    it has several; NAME is the port's name, or its number where it has none.
    """
    text = service_of(document).metadata.annotations.get(LISTEN_PORT)
    if text is None:
        return _NO_LISTENS
    by_port: dict[int, int] = {}
    problems: list[Problem] = []
    sections = {
        section_of(port): port for port in ports if protocol_of(port) is Protocol.TCP
    }
    for entry in text.split(","):
        message = _read(entry, sections, by_port)
        if message is not None:
            path = ("metadata", "annotations", LISTEN_PORT)
            hint = f"TCP ports: {', '.join(sections) or 'none'}"
            problems.append(finding(document, path, message, hint=hint))
    return Listens(by_port=by_port, problems=tuple(problems))


def _read(
    entry: str, sections: Mapping[str, ServicePort], by_port: dict[int, int]
) -> str | None:
    """Add what *entry* says to *by_port*, or return what is wrong with it."""
    section, separator, number = (part.strip() for part in entry.rpartition("="))
    if not separator and len(sections) == 1:
        section = next(iter(sections))
    port = sections.get(section)
    if port is None:
        if separator:
            return f"no TCP port is named {section!r}"
        return f"must be PORT=NUMBER for a TCP port of the Service (got {entry!r})"
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= LARGEST_PORT):
        return f"must be a port number of 1..{LARGEST_PORT} (got {number!r})"
    if port.port in by_port or int(number) in by_port.values():
        return f"port {section!r} or listen port {number} is there twice"
    by_port[port.port] = int(number)
    return None
