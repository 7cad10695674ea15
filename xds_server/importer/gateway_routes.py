"""Which Services a BackendTrafficPolicy is for: those that its routes lead to.

Objects of the Gateway API in, as far as they are in the same files; Services out. A
policy names routes, or the Gateway that they belong to, never a Service.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from xds_server.api.manifest import Value
from xds_server.api.problem import ObjectKey
from xds_server.importer.source import Foreign, items, mapping, text

GATEWAY: Final = "Gateway"
KINDS: Final = ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute")
_HTTP: Final = ("HTTPRoute", "GRPCRoute")
_GROUP: Final = "gateway.networking.k8s.io"


class ServiceName(NamedTuple):
    """A Service, by its name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What a rule of a route leads to; `kind` is not always Service."""

    kind: str
    service: ServiceName


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route: its Gateways, each with the listener or nothing, and its backends."""

    key: ObjectKey
    labels: Mapping[str, Value]
    parents: frozenset[tuple[str, str, str]]
    rules: tuple[tuple[str, tuple[Backend, ...]], ...]

    @property
    def speaks_http(self) -> bool:
        """Whether there are requests on it."""
        return self.key.kind in _HTTP

    def backends(self, rule: str = "") -> list[Backend]:
        """Return what it leads to, by the rule of a name alone where one is said."""
        found = (
            b for name, backends in self.rules for b in backends if rule in ("", name)
        )
        return [*dict.fromkeys(found)]


def routes_of(objects: Iterable[Foreign]) -> list[Route]:
    """Return the routes among *objects*."""
    return [
        Route(
            key=one.key,
            labels=mapping(mapping(one.value.get("metadata")).get("labels")),
            parents=frozenset(_parents(one)),
            rules=tuple(_rules(one)),
        )
        for one in objects
        if one.group == _GROUP and one.key.kind in KINDS
    ]


def _parents(route: Foreign) -> Iterable[tuple[str, str, str]]:
    for parent in map(mapping, items(route.spec.get("parentRefs"))):
        if text(parent.get("kind"), GATEWAY) == GATEWAY:
            namespace = text(parent.get("namespace"), route.key.namespace)
            listener = text(parent.get("sectionName"))
            yield namespace, text(parent.get("name")), listener


def _rules(route: Foreign) -> Iterable[tuple[str, tuple[Backend, ...]]]:
    for rule in map(mapping, items(route.spec.get("rules"))):
        backends = (
            Backend(
                kind=text(one.get("kind"), "Service"),
                service=ServiceName(
                    text(one.get("namespace"), route.key.namespace),
                    text(one.get("name")),
                ),
            )
            for one in map(mapping, items(rule.get("backendRefs")))
        )
        yield text(rule.get("name")), tuple(backends)
