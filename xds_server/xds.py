"""The vocabulary of xDS that every room shares: type URLs, push order, `Resource`.

Nothing here does anything; it is what rooms call things.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

CLUSTER: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINT: Final = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER: Final = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE: Final = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"

EXTENSION: Final = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
SECRET: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type URL
VIRTUAL_HOST: Final = "type.googleapis.com/envoy.config.route.v3.VirtualHost"

PUSH_ORDER: Final = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
"""Make before break: what is referred to is sent before what refers to it.

Routes are not warmed, so the clusters they name come first (xds_protocol, "Eventual
consistency considerations").
"""

FULL_STATE_TYPES: Final = frozenset({CLUSTER, LISTENER})
"""The types whose clients want everything when they name nothing.

They are also the types of which a state-of-the-world response carries everything. No
other type has that rule, so an Envoy that comes back without interest in any assignment
is not flooded with all of them; `*` itself works for every type.
"""

SHORT_NAMES: Final = {
    CLUSTER: "cluster",
    ENDPOINT: "endpoint",
    LISTENER: "listener",
    ROUTE: "route",
    SECRET: "secret",
}
"""What people call the types, on the command line, in logs and in metrics."""


Labels = frozenset[tuple[str, str]]
"""Labels as pairs of a key and its value; no key is there twice."""

CLIENT_NAMESPACE: Final = "@namespace"
"""The key under which the namespace of a client is among its labels.

No label can have it: a key of Kubernetes begins with a letter or a digit.
"""


class Place(NamedTuple):
    """Where a node stands, as far as that is known; `node` is the machine's name.

    `labels` say among whom, by `CLIENT_NAMESPACE` in which namespace, too.
    """

    region: str = ""
    zone: str = ""
    node: str = ""
    labels: Labels = frozenset()

    @property
    def fingerprint(self) -> bytes:
        """The same bytes for equal places, on every machine."""
        return repr((*self[:3], sorted(self.labels))).encode()


NOWHERE: Final = Place()


class Forms(Protocol):
    """What a resource is in places where it is another one; pure."""

    @property
    def fingerprint(self) -> bytes:
        """A hash of all that the bodies depend on."""
        ...

    @property
    def owners(self) -> Mapping[Labels, tuple[str, ...]]:
        """What the forms were made of, by labels of `nearest` places (`owners_at`).

        Those that have none of them were made of what the resource was made of.
        """
        ...

    @property
    def lens(self) -> Hashable:
        """All that `nearest` depends on: forms of equal ones see places alike."""
        ...

    def nearest(self, place: Place) -> Place:
        """Return the least of *place* that tells its body apart.

        NOWHERE where it is that of the resource itself. There are few of them, however
        many places there are.
        """
        ...

    def body(self, place: Place) -> bytes:
        """Return what the resource is at a `nearest` place."""
        ...


def owners_at(
    near: Place,
    owners: Mapping[Labels, tuple[str, ...]],
    otherwise: tuple[str, ...],
) -> tuple[str, ...]:
    """Return what the form of a `nearest` place was made of.

    That is by the most labels of *owners* that it has.
    """
    found = (labels for labels in owners if labels <= near.labels)
    return owners.get(max(found, key=len, default=near.labels), otherwise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One encoded resource.

    `body` is the serialised message of `type_url` (the value of the Any, not the Any).
    A client may ask for it by any of its `aliases` too. It expires at clients that
    know of `ttl`, unless they hear from the server. Whoever holds it is sent it again
    after each `refresh`, whole and unchanged: some messages have a clock in them that
    starts when they arrive. `version` is what clients are told;
    whoever sets it promises that equal versions mean equal content. Else it is a hash
    of the content. `owners` are what it was made of, in words for whoever has to trace
    a rejection; no client is told. `forms` are what nodes of some places are sent in
    its place.

    `kin` is a hash of all that others must have in common with it for a client to go on
    with one of them for a while. Where it `yields`, a delta client that comes back with
    such another one is left with that until this one changes.
    """

    type_url: str
    name: str
    body: bytes
    aliases: tuple[str, ...] = ()
    ttl: timedelta | None = None
    refresh: timedelta | None = None
    version: str = ""
    owners: tuple[str, ...] = ()
    forms: Forms | None = None
    kin: bytes = b""
    yields: bool = False

    def at(self, place: Place) -> "Resource":
        """Return what a node at *place* is sent: a resource like any other."""
        if self.forms is None:
            return self
        near = self.forms.nearest(place)
        body = self.body if near == NOWHERE else self.forms.body(near)
        owners = owners_at(near, self.forms.owners, self.owners)
        kin = self.kin and self.kin + near.fingerprint
        return replace(self, body=body, owners=owners, version="", forms=None, kin=kin)
