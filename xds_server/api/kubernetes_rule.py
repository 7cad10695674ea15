"""What a Kubernetes object must hold before the mesh may rely on it.

The API server checks all of this; files come past it. Well-formed structs in, faults
out, and EndpointSlices with their addresses in canonical form.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from xds_server.api import name
from xds_server.api.field import LARGEST_PORT
from xds_server.api.kubernetes import (
    EndpointSlice,
    Metadata,
    Service,
    ServicePort,
    SliceEndpoint,
)
from xds_server.api.policy import parse_load_balancer_type
from xds_server.api.problem import Fault, FieldPath, Severity
from xds_server.api.wording import did_you_mean, written

LOAD_BALANCER: Final = "traffic.xds-server.dev/load-balancer"
LISTEN_PORT: Final = "traffic.xds-server.dev/listen-port"
SERVICE_NAME: Final = "kubernetes.io/service-name"

_PREFIX: Final = "traffic.xds-server.dev/"
_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
_SERVICE_TYPES: Final = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
_ADDRESS_TYPES: Final = ("IPv4", "IPv6", "FQDN")
_DISTRIBUTIONS: Final = ("PreferSameZone", "PreferSameNode", "PreferClose")
_SPEC_PORTS: Final = ("spec", "ports")


def metadata_faults(metadata: Metadata, *, dotted: bool = True) -> Iterator[Fault]:
    """Check an object's identity; the names of most kinds may be `dotted`."""
    is_name, form = name.is_dns_name, name.DNS_NAME
    if not dotted:
        is_name, form = name.is_dns_label, name.DNS_LABEL
    if not is_name(metadata.name):
        yield _must(("metadata", "name"), f"be {form}", metadata.name)
    if not name.is_dns_label(metadata.namespace):
        path = ("metadata", "namespace")
        yield _must(path, f"be {name.DNS_LABEL}", metadata.namespace)


def service_faults(service: Service) -> Iterator[Fault]:
    """Check a Service and what it asks of us in its annotations."""
    spec = service.spec
    if spec.type not in _SERVICE_TYPES:
        yield _unknown(("spec", "type"), spec.type, _SERVICE_TYPES)
    if spec.type == "ExternalName":
        yield from _external_name_faults(spec.external_name)
    if spec.traffic_distribution not in (None, "", *_DISTRIBUTIONS):
        # A later Kubernetes may know more of them.
        found = spec.traffic_distribution or ""
        unknown = _unknown(("spec", "trafficDistribution"), found, _DISTRIBUTIONS)
        yield replace(unknown, severity=Severity.WARNING)
    seen: set[str] = set()
    for position, port in enumerate(spec.ports):
        path = (*_SPEC_PORTS, position)
        yield from _service_port_faults(port, path)
        if port.name in seen:
            found = written(port.name)
            message = f"must be unique among the ports (got {found} again)"
            hint = "name every port"
            yield Fault(path=(*path, "name"), message=message, hint=hint)
        seen.add(port.name)
    yield from _annotation_faults(service.metadata.annotations)


def slice_faults(endpoint_slice: EndpointSlice) -> Iterator[Fault]:
    """Check an EndpointSlice, its addresses aside."""
    if endpoint_slice.address_type not in _ADDRESS_TYPES:
        found = endpoint_slice.address_type
        yield _unknown(("addressType",), found, _ADDRESS_TYPES)
    if not endpoint_slice.metadata.labels.get(SERVICE_NAME):
        yield Fault(
            path=("metadata", "labels"),
            message=f"no label {SERVICE_NAME}: the slice belongs to no Service",
            hint=f"add {SERVICE_NAME}: NAME",
            severity=Severity.WARNING,
        )
    for position, port in enumerate(endpoint_slice.ports):
        if port.port is not None:
            yield from _port_faults(port.port, ("ports", position, "port"))
        if port.protocol not in _PROTOCOLS:
            path = ("ports", position, "protocol")
            yield _unknown(path, port.protocol, _PROTOCOLS)


def canonical_endpoints(
    endpoint_slice: EndpointSlice,
) -> tuple[tuple[SliceEndpoint, ...], list[Fault]]:
    """Give the endpoints with canonical addresses, and every address that is none."""
    faults: list[Fault] = []
    endpoints = list(endpoint_slice.endpoints)
    for position, endpoint in enumerate(endpoints):
        canonical = tuple(
            _canonical(text, endpoint_slice.address_type) for text in endpoint.addresses
        )
        if canonical and all(canonical) and canonical == endpoint.addresses:
            continue
        path = ("endpoints", position, "addresses")
        if not canonical:
            faults.append(Fault(path=path, message="must have at least one address"))
        for index, (text, address) in enumerate(
            zip(endpoint.addresses, canonical, strict=True)
        ):
            if not address:
                faults.append(_address_fault(text, (*path, index), endpoint_slice))
        endpoints[position] = msgspec.structs.replace(endpoint, addresses=canonical)
    return tuple(endpoints), faults


def _canonical(text: str, address_type: str) -> str:
    """Give the canonical form, or an empty text where it is no such address."""
    if address_type == "FQDN":
        return name.host_name(text) or ""
    address = name.ip_address(text) or ""
    return address if (":" in address) == (address_type == "IPv6") else ""


def _address_fault(text: str, path: FieldPath, where: EndpointSlice) -> Fault:
    hint = None
    if where.address_type == "FQDN":
        must = f"be {name.DNS_NAME}"
    else:
        must = f"be an {where.address_type} address of a server"
        hint = "four decimal numbers without leading zeros, such as 10.0.0.1"
        if where.address_type == "IPv6":
            hint = "no brackets, no zone, no IPv4, such as 2001:db8::1"
    return _must(path, must, text, hint)


def _external_name_faults(external_name: str | None) -> Iterator[Fault]:
    path = ("spec", "externalName")
    if not external_name:
        yield Fault(path=path, message="required when type is ExternalName")
    elif name.host_name(external_name) is None and not name.ip_address(external_name):
        yield _must(path, f"be {name.DNS_NAME}", external_name)


def _service_port_faults(port: ServicePort, path: FieldPath) -> Iterator[Fault]:
    yield from _port_faults(port.port, (*path, "port"))
    if isinstance(port.target_port, int):
        yield from _port_faults(port.target_port, (*path, "targetPort"))
    if port.protocol not in _PROTOCOLS:
        yield _unknown((*path, "protocol"), port.protocol, _PROTOCOLS)
    if port.name and not name.is_dns_label(port.name):
        yield _must((*path, "name"), f"be {name.DNS_LABEL}", port.name)


def _port_faults(port: int, path: FieldPath) -> Iterator[Fault]:
    if not 1 <= port <= LARGEST_PORT:
        yield _must(path, f"be a port between 1 and {LARGEST_PORT}", port)


def _annotation_faults(annotations: Mapping[str, str]) -> Iterator[Fault]:
    """Check what users ask of us on a Service; what others wrote is theirs."""
    for key, text in annotations.items():
        path = ("metadata", "annotations", key)
        if key == LOAD_BALANCER:
            parsed = parse_load_balancer_type(text)
            if isinstance(parsed, Fault):
                yield replace(parsed, path=path)
        elif key == LISTEN_PORT:
            yield from _listen_port_faults(text, path)
        elif key.startswith(_PREFIX):
            yield Fault(
                path=path,
                message="unknown annotation: it has no effect on a Service",
                hint=did_you_mean(key, (LOAD_BALANCER, LISTEN_PORT)),
                severity=Severity.WARNING,
                at_key=True,
            )


def _listen_port_faults(text: str, path: FieldPath) -> Iterator[Fault]:
    """One number, or NAME=NUMBER for several ports."""
    for entry in text.split(","):
        number = entry.rpartition("=")[2].strip()
        if not (_NUMBER.fullmatch(number) and 1 <= int(number) <= LARGEST_PORT):
            yield _must(path, f"be a port between 1 and {LARGEST_PORT}", text)


def _unknown(path: FieldPath, found: str, allowed: tuple[str, ...]) -> Fault:
    return Fault(
        path=path,
        message=f"unknown value {written(found)} (allowed: {', '.join(allowed)})",
        hint=did_you_mean(found, allowed),
    )


def _must(
    path: FieldPath, hold: str, found: str | int, hint: str | None = None
) -> Fault:
    message = f"must {hold} (got {written(found)})"
    return Fault(path=path, message=message, hint=hint)
