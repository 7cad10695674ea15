"""Which nodes see the same: from what a node says of itself to its audience and place.

The metadata of an xDS node in (a Struct: numbers are floats); an `Audience` out, and
what could not be used; and the node's `Place`. Garbage never stops a node: the defaults
take its place.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from xds_server.api.field import LARGEST_PORT
from xds_server.mesh.backend import canonical
from xds_server.mesh.model import Audience, Client, Locality, Role
from xds_server.mesh.service import ServiceName
from xds_server.xds import CLIENT_NAMESPACE, Labels, Place

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_DEFAULT: Final = Audience()
_GRPC: Final = "grpc"

T = TypeVar("T")


def client_of(user_agent: str) -> Client:
    """Return what a node is, by its user agent.

    All gRPC implementations begin theirs alike: `gRPC C-core linux Python`, `gRPC Go`.
    Their `client_features` say less: others have them too.
    """
    return Client.GRPC if user_agent.lower().startswith(_GRPC) else Client.ENVOY


def audience_of(
    metadata: Mapping[str, object], *, node_id: str = "", user_agent: str = ""
) -> tuple[Audience, tuple[str, ...]]:
    """Return the audience of a node, and one sentence for each unusable value.

    Read are the flat keys `namespace`, `role`, `listen_address` and `listen_port`, of
    gRPC clients the first alone; each one missing has its default, other keys are
    passed over, but that `labels` must be a mapping of texts, and `service` a name. A
    node that does not say its namespace but is called `NAME.NAMESPACE` is of that one.
    """
    complaints: list[str] = []

    def read(key: str, parse: Callable[[object], T], default: T) -> T:
        value = metadata.get(key)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as error:
            complaints.append(f"node metadata {key}: {error} (got {_brief(value)})")
            return default

    read("labels", _labels, None)
    read("service", _service, None)
    namespace = read("namespace", _namespace, _namespace_in(node_id))
    if client_of(user_agent) is Client.GRPC:
        return Audience(client=Client.GRPC, namespace=namespace), tuple(complaints)
    audience = Audience(
        namespace=namespace,
        role=read("role", _role, _DEFAULT.role),
        listen_address=read("listen_address", _address, _DEFAULT.listen_address),
        listen_port=read("listen_port", _port, _DEFAULT.listen_port),
    )
    return audience, tuple(complaints)


def place_of(
    metadata: Mapping[str, object],
    namespace: str,
    locality: Locality,
    find_locality: Callable[[str], Locality],
) -> Place:
    """Return where a node of *namespace* stands: its *locality*, and its metadata.

    These say the `node_name`, and the `labels` of the client. Where it says no zone,
    that of its Node counts, which *find_locality* knows.
    """
    value = metadata.get("node_name")
    name = value if isinstance(value, str) else ""
    found = locality if locality.zone or not name else find_locality(name)
    return Place(
        region=found.region,
        zone=found.zone,
        node=name,
        labels=labels_of(metadata, namespace),
    )


def service_of(metadata: Mapping[str, object], namespace: str) -> ServiceName | None:
    """Return the Service of *namespace* that a node says its client belongs to."""
    name = metadata.get("service")
    is_one = isinstance(name, str) and _LABEL.fullmatch(name)
    return (namespace, str(name)) if is_one else None


def labels_of(metadata: Mapping[str, object], namespace: str) -> Labels:
    """Return the labels of the client that a node is, and its *namespace* among them.

    A label that cannot be used does not count.
    """
    value = metadata.get("labels")
    labels = value if isinstance(value, Mapping) else {}
    usable = {key: each for key, each in labels.items() if isinstance(each, str)}
    return frozenset({**usable, CLIENT_NAMESPACE: namespace}.items())


def _namespace_in(node_id: str) -> str:
    name, _, namespace = node_id.rpartition(".")
    is_one = name and _LABEL.fullmatch(namespace)
    return namespace if is_one else _DEFAULT.namespace


def _namespace(value: object) -> str:
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        message = "must be the name of a namespace"
        raise ValueError(message)
    return value


def _service(value: object) -> None:
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        message = "must be the name of a Service"
        raise ValueError(message)


def _role(value: object) -> Role:
    if value not in tuple(Role):
        message = f"must be one of {', '.join(Role)}"
        raise ValueError(message)
    return Role(str(value))


def _labels(value: object) -> None:
    values = value.values() if isinstance(value, Mapping) else (None,)
    if not all(isinstance(each, str) for each in values):
        message = "must be a mapping of texts; what is none does not count"
        raise ValueError(message)


def _address(value: object) -> str:
    address = canonical(value) if isinstance(value, str) else None
    if address is None:
        message = "must be an IP address"
        raise ValueError(message)
    return address


def _port(value: object) -> int:
    number = value if isinstance(value, int | float) else 0
    if isinstance(value, bool) or not 1 <= number <= LARGEST_PORT or number % 1:
        message = f"must be a whole number of 1..{LARGEST_PORT}"
        raise ValueError(message)
    return int(number)


def _brief(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."
