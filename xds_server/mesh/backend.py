"""The servers behind the ports of a Service, as its EndpointSlices tell them.

EndpointSlices in; backends out, deduplicated and in a stable order, before any policy
weighs them. Conditions follow KEP-1672 (serving and terminating).
"""

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from xds_server.api.document import Document
from xds_server.api.kubernetes import (
    EndpointConditions,
    EndpointSlice,
    ServicePort,
    SliceEndpoint,
)
from xds_server.api.problem import ObjectKey, Problem
from xds_server.mesh.finding import warning
from xds_server.mesh.model import Discovery, Health
from xds_server.mesh.site import FindNode, Site, Sites

_FAMILIES: Final = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}


class Backend(NamedTuple):
    """One server of one port. `pod` is the Pod that the slice says it is, if any.

    A tuple, like `_Seat`, since a mesh has a hundred thousand of them.
    """

    address: str
    port: int
    health: Health
    site: Site
    pod: ObjectKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """All servers of a Service: how they are found, and who serves each port number."""

    discovery: Discovery
    by_port: Mapping[int, tuple[Backend, ...]]
    problems: tuple[Problem, ...] = ()


class _Seat(NamedTuple):
    """A usable endpoint of a slice, on whatever port.

    `order` sorts addresses as numbers, not text; `position` is that in the slice.
    """

    order: bytes
    address: str
    health: Health
    site: Site
    pod: ObjectKey | None
    position: int


def canonical(address: str) -> str | None:
    """Return an IP address in the one form that is compared, or None if it is none."""
    for family in _FAMILIES.values():
        packed = _pack(family, address)
        if packed is not None:
            return socket.inet_ntop(family, packed)
    return None


def health_of(conditions: EndpointConditions, *, publish_all: bool) -> Health | None:
    """Return whether new traffic may go to an endpoint; None keeps it out.

    Unset means ready. Serving but terminating ones finish what they have.
    `publish_all` is the Service's `publishNotReadyAddresses`.
    """
    if publish_all or conditions.ready is not False:
        return Health.HEALTHY
    if conditions.serving and conditions.terminating:
        return Health.DRAINING
    return None


def resolve_backends(
    ports: Sequence[ServicePort],
    slices: Iterable[Document],
    find_node: FindNode,
    *,
    publish_all: bool,
    families: Sequence[str] = (),
) -> Backends:
    """Return who serves each of *ports*, from all slices of one Service.

    A slice's port belongs to the Service's port of the same name. IP addresses beat
    names where a Service has both, since Envoy finds a cluster's endpoints one way. Of
    the *families* of a Service the first counts that has endpoints: in each of them the
    same Pods are told of, and two addresses of a Pod would pass for two servers.
    """
    problems: list[Problem] = []
    ordered = sorted(slices, key=lambda document: document.key)
    discovery, used = _choose(ordered, families, problems)
    sites = Sites(find_node)
    seats = [
        (slice_, list(_seats(slice_, sites, problems, publish_all=publish_all)))
        for slice_ in used
    ]
    by_port = {port.port: _serve(port, seats, problems) for port in ports}
    return Backends(discovery=discovery, by_port=by_port, problems=tuple(problems))


def _body(document: Document) -> EndpointSlice:
    assert isinstance(document.body, EndpointSlice)  # noqa: S101 - narrows the union
    return document.body


def _choose(
    slices: Sequence[Document], families: Sequence[str], problems: list[Problem]
) -> tuple[Discovery, list[Document]]:
    by_address = [s for s in slices if _body(s).address_type in _FAMILIES]
    by_name = [s for s in slices if _body(s).address_type not in _FAMILIES]
    if by_name and not by_address:
        return Discovery.DNS, by_name
    problems += (
        warning(
            slice_,
            ("addressType",),
            "not used: the Service also has EndpointSlices with IP addresses",
            hint="give the names a Service of their own",
        )
        for slice_ in by_name
    )
    for family in families:
        used = [s for s in by_address if _body(s).address_type == family]
        if any(_body(slice_).endpoints for slice_ in used):
            return Discovery.EDS, used
    return Discovery.EDS, by_address


def _seats(
    document: Document, sites: Sites, problems: list[Problem], *, publish_all: bool
) -> Iterator[_Seat]:
    slice_ = _body(document)
    family = _FAMILIES.get(slice_.address_type)
    unused: list[tuple[int, int]] = []
    for position, endpoint in enumerate(slice_.endpoints):
        health = health_of(endpoint.conditions, publish_all=publish_all)
        if len(endpoint.addresses) > 1:
            unused.append((position, 1))
        if health is None or not endpoint.addresses:
            continue
        address = _read(family, endpoint.addresses[0])
        if address is None:
            unused.append((position, 0))
            continue
        pod = pod_key(endpoint, document.key.namespace)
        yield _Seat(*address, health, sites.site_of(endpoint), pod, position)
    problems += _unused(document, unused)


def _unused(document: Document, unused: Sequence[tuple[int, int]]) -> Iterator[Problem]:
    """Report addresses that are passed over: one problem a slice, however many."""
    for position, rank in unused[:1]:
        yield warning(
            document,
            ("endpoints", position, "addresses", rank),
            "not used: only the first address of an endpoint is, and only if it is of "
            f"the addressType{_more(unused)}",
            hint="write one endpoint for each server",
        )


def _more(found: Sequence[object]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""


def _read(family: socket.AddressFamily | None, text: str) -> tuple[bytes, str] | None:
    """Return what an address is sorted by and its canonical form; None if it is none.

    Without a family it is a DNS name. IPv4 comes before IPv6.
    """
    if family is None:
        name = text.lower().rstrip(".")
        return name.encode(), name
    packed = _pack(family, text)
    if packed is None:
        return None
    if family is socket.AF_INET:
        return b"4" + packed, text
    return b"6" + packed, socket.inet_ntop(family, packed)


def _serve(
    port: ServicePort,
    slices: Iterable[tuple[Document, Sequence[_Seat]]],
    problems: list[Problem],
) -> tuple[Backend, ...]:
    found: dict[tuple[bytes, int], Backend] = {}
    unmatched: list[Document] = []
    for document, seats in slices:
        number = _target(port, _body(document))
        if number is None:
            unmatched += [document] if seats else []
            continue
        twice: list[_Seat] = []
        for seat in seats:
            key = (seat.order, number)
            if key in found:
                twice.append(seat)
            else:
                found[key] = Backend(
                    seat.address, number, seat.health, seat.site, seat.pod
                )
        for seat in twice[:1]:  # one problem a slice, however many
            path = ("endpoints", seat.position, "addresses", 0)
            message = f"{seat.address} is there twice, the first wins{_more(twice)}"
            problems.append(warning(document, path, message))
    if not found:
        problems += (_unmatched(port, document) for document in unmatched)
    return tuple(found[key] for key in sorted(found))


def _unmatched(port: ServicePort, slice_: Document) -> Problem:
    name = f"is named {port.name}" if port.name else "has no name"
    return warning(
        slice_,
        ("ports",),
        f"no TCP port here {name}, like port {port.port} of the Service: it has no "
        "endpoints",
        hint="a slice's ports have the names of the Service's",
    )


def pod_key(endpoint: SliceEndpoint, namespace: str) -> ObjectKey | None:
    """Return the Pod behind an endpoint of a slice in *namespace*, if it names one."""
    reference = endpoint.target_ref
    if reference is None or reference.kind != "Pod":
        return None
    return ObjectKey("Pod", reference.namespace or namespace, reference.name)


def _target(port: ServicePort, slice_: EndpointSlice) -> int | None:
    """Return where *slice_* serves *port*; a number left out means the same number."""
    for candidate in slice_.ports:
        if candidate.protocol == "TCP" and (candidate.name or "") == port.name:
            return port.port if candidate.port is None else candidate.port
    return None


def _pack(family: socket.AddressFamily, address: str) -> bytes | None:
    try:
        return socket.inet_pton(family, address)
    except (OSError, ValueError):  # ValueError: a null character
        return None
