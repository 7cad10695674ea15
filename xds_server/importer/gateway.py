"""BackendTrafficPolicies of Envoy Gateway become TrafficPolicies.

They are for routes or Gateways, ours for Services: those that the routes lead to, where
these are in the same files, or those that the user names. A policy is then for all who
use the Service, not for what comes by the route alone; that is told.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from xds_server.api.manifest import Value
from xds_server.api.policy import API_VERSION
from xds_server.api.problem import FieldPath, ObjectKey, Problem
from xds_server.api.wording import got
from xds_server.importer.account import Account
from xds_server.importer.draft import Draft, Manifest
from xds_server.importer.gateway_defaults import hold_defaults
from xds_server.importer.gateway_fields import SPEC
from xds_server.importer.gateway_routes import (
    GATEWAY,
    KINDS,
    Route,
    ServiceName,
    routes_of,
)
from xds_server.importer.imported import Imported
from xds_server.importer.sorting import Kind, sort_out
from xds_server.importer.source import Foreign, items, mapping, text
from xds_server.importer.value import NotCarriedError, decline, members

KIND: Final = Kind(
    group="gateway.envoyproxy.io",
    name="BackendTrafficPolicy",
    versions=("v1alpha1",),
)

_SPEC: Final[FieldPath] = ("spec",)
_MOST_TARGETS: Final = 16
_MESH_DEFAULTS: Final = (
    "what Envoy Gateway does without a policy (LeastRequest) is not the default here; "
    "docs/import.md has a policy for it"
)
_NAME_IT: Final = "name its file, too, or the Services: --service NAMESPACE/NAME"


@dataclass(slots=True, kw_only=True)
class _World:
    """What is known beside the policies.

    `claims` has which policy each Service has so far. `named` has the routes that a
    policy names itself, each with a rule or all of it (""): one for their Gateway does
    not count there, nor one for all of a route at a rule.
    """

    routes: Sequence[Route]
    services: Sequence[ServiceName]
    named: frozenset[tuple[ObjectKey, str]]
    claims: dict[ServiceName, ObjectKey] = field(default_factory=dict)


def import_gateway(
    read: Iterable[Foreign | Problem], *, services: Iterable[tuple[str, str]] = ()
) -> Imported:
    """Return what the BackendTrafficPolicies among what was *read* become.

    Those whose routes are not there are for *services*.
    """
    imported = Imported(hint=_MESH_DEFAULTS)
    found = sort_out(read, KIND, imported)
    named = frozenset(
        (
            ObjectKey(_kind(ref), policy.key.namespace, text(ref.get("name"))),
            text(ref.get("sectionName")),
        )
        for policy in found.wanted
        for _, ref in _refs(policy)
    )
    world = _World(
        routes=routes_of(found.others),
        services=[ServiceName(*each) for each in services],
        named=named,
    )
    for policy in found.wanted:
        account = Account(foreign=policy)
        imported.add(account, list(policies_of(policy, world, account)))
    return imported


def policies_of(policy: Foreign, world: _World, account: Account) -> Iterator[Manifest]:
    """Return the policies that *policy* makes; all else is told to its *account*."""
    found = _Targets(policy=policy, world=world, account=account)
    found.find()
    services = found.services or (world.services if found.missing else ())
    if not services and found.gives_way and not found.missing:
        account.settle(_SPEC)
        return
    if not services:
        account.lose(_SPEC, "there is no Service that it would be for", _NAME_IT)
        return
    draft = Draft(account)
    draft.read(SPEC, policy.value.get("spec"), _SPEC)
    hold_defaults(draft, policy.spec, _SPEC, speaks_http=found.speaks_http)
    made = [*_made(draft, policy.key.name, services)]
    if made:
        _tell_scope(account, found, services, world)
    yield from made


def _made(
    draft: Draft, name: str, services: Sequence[ServiceName]
) -> Iterator[Manifest]:
    """Return a policy of *draft* for each part of *services*."""
    for own, targets in _parts(name, services):
        head: Manifest = {
            "apiVersion": API_VERSION,
            "kind": "TrafficPolicy",
            "metadata": {"namespace": targets[0].namespace, "name": own},
            "spec": {
                "targetRefs": [
                    {"kind": "Service", "name": target.name} for target in targets
                ]
            },
        }
        policy = draft.policy(head, _SPEC)
        if policy is not None:
            yield policy


def _parts(
    name: str, services: Sequence[ServiceName]
) -> Iterator[tuple[str, list[ServiceName]]]:
    """Part Services by namespace, and into as many as a policy may be for."""
    by_namespace: dict[str, list[ServiceName]] = {}
    for service in services:
        by_namespace.setdefault(service.namespace, []).append(service)
    for those in by_namespace.values():
        for start in range(0, len(those), _MOST_TARGETS):
            number = start // _MOST_TARGETS + 1
            part = those[start : start + _MOST_TARGETS]
            yield (name if number == 1 else f"{name}-{number}"), part


def _tell_scope(
    account: Account,
    found: "_Targets",
    services: Sequence[ServiceName],
    world: _World,
) -> None:
    """Say whose traffic the policy is for, and who else has policies for it."""
    path = found.path
    account.differ(
        path,
        f"for all clients of {', '.join(map(str, services))}, not for what comes by "
        "way of the Gateway alone",
        "clientSelector.matchLabels says whose traffic a policy is for",
    )
    own = account.foreign.key
    for service in services:
        other = world.claims.setdefault(service, own)
        if other != own:
            account.differ(
                path,
                f"{service} has policies by {other}, too: of each section the first "
                "one's by name counts",
                "make a Service for each route that is to have its own",
            )


@dataclass(slots=True, kw_only=True)
class _Targets:
    """What a policy is for: Services, and references that lead nowhere that is known.

    `path` is where the first of them is; `gives_way` is whether any is left to a policy
    that is nearer to it.
    """

    policy: Foreign
    world: _World
    account: Account
    services: list[ServiceName] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    speaks_http: bool = False
    gives_way: bool = False
    path: FieldPath = _SPEC

    def find(self) -> None:
        """Follow all references, and tell of those that lead nowhere."""
        for name in ("targetRefs", "targetSelectors"):
            written = self.policy.spec.get(name)
            if written is not None and not isinstance(written, list):
                self.account.lose((*_SPEC, name), f"must be a list{got(written)}")
        for path, ref in _refs(self.policy):
            try:
                known = members(
                    dict(ref), "group", "kind", "name", "namespace", "sectionName"
                )
                routes = self._by_name(known, path)
            except NotCarriedError as error:
                self.account.lose(path, error.why, error.hint)
            else:
                self._follow(routes, path, text(known.get("sectionName")), _shown(ref))
        for position, one in enumerate(items(self.policy.spec.get("targetSelectors"))):
            path = (*_SPEC, "targetSelectors", position)
            try:
                routes = self._by_labels(one)
            except NotCarriedError as error:
                self.account.lose(path, error.why, error.hint)
            else:
                self._follow(routes, path, "", "what it selects")

    def _by_name(self, ref: Mapping[str, Value], path: FieldPath) -> list[Route]:
        kind, name = _kind(ref), text(ref.get("name"))
        namespace = self.policy.key.namespace
        if kind in KINDS:
            key = ObjectKey(kind, namespace, name)
            return [one for one in self.world.routes if one.key == key]
        if kind != GATEWAY:
            decline(f"a policy cannot be for a {kind or 'nameless kind'}")
        listener = text(ref.get("sectionName"))
        of_gateway = [
            route
            for route in self.world.routes
            if any(
                parent[:2] == (namespace, name) and listener in ("", parent[2])
                for parent in route.parents
            )
        ]
        own = [one for one in of_gateway if (one.key, "") in self.world.named]
        self._leave(path, [str(one.key) for one in own])
        return [one for one in of_gateway if one not in own]

    def _by_labels(self, selector: Value) -> list[Route]:
        known = members(selector, "group", "kind", "matchLabels", "matchExpressions")
        if "matchExpressions" in known:
            decline("labels are compared by matchLabels alone here", _NAME_IT)
        kind, labels = _kind(known), mapping(known.get("matchLabels"))
        if kind not in KINDS:
            decline(f"a {kind} is not found by labels here", _NAME_IT)
        return [
            one
            for one in self.world.routes
            if one.key.kind == kind
            and one.key.namespace == self.policy.key.namespace
            and labels.items() <= one.labels.items()
        ]

    def _follow(
        self, routes: Sequence[Route], path: FieldPath, section: str, shown: str
    ) -> None:
        """Take the Services that *routes* lead to."""
        rule = section if section and _kind(self._at(path)) != GATEWAY else ""
        backends = [(one, backend) for one in routes for backend in one.backends(rule)]
        nearer = [] if rule else self._of_named_rules(routes)
        self._leave(path, [f"Service {one}" for one in nearer])
        services = [
            backend.service
            for _, backend in backends
            if backend.kind == "Service" and backend.service not in nearer
        ]
        self.speaks_http |= any(one.speaks_http for one in routes)
        self.services += (one for one in services if one not in self.services)
        strangers = {
            f"{backend.kind} {backend.service}"
            for _, backend in backends
            if backend.kind != "Service"
        }
        for stranger in sorted(strangers):
            hint = "an EndpointSlice with addressType: FQDN makes a Service of hosts"
            self.account.lose(path, f"{stranger} is no Service", hint)
        if self.path == _SPEC:
            self.path = path
        if services:
            self.account.settle(path, "spec.targetRefs")
        elif not strangers and path not in self.account.outcomes:
            self.missing.append(shown)
            self._miss(path, shown)

    def _of_named_rules(self, routes: Sequence[Route]) -> list[ServiceName]:
        """Return the Services of rules that a policy names."""
        found = (
            backend.service
            for key, rule in sorted(self.world.named)
            for route in routes
            if rule and route.key == key
            for backend in route.backends(rule)
            if backend.kind == "Service"
        )
        return [*dict.fromkeys(found)]

    def _leave(self, path: FieldPath, own: Sequence[str]) -> None:
        """Tell what is left to policies that are nearer to it."""
        if own:
            self.gives_way = True
            self.account.settle(path)
            self.account.note(path, f"{', '.join(own)}: has a policy of its own")

    def _miss(self, path: FieldPath, shown: str) -> None:
        if self.world.services:
            self.speaks_http = True
            self.account.settle(path, "spec.targetRefs")
        else:
            why = f"{shown} leads to no Service in these files"
            self.account.lose(path, why, _NAME_IT)

    def _at(self, path: FieldPath) -> Mapping[str, Value]:
        return next((ref for at, ref in _refs(self.policy) if at == path), {})


def _refs(policy: Foreign) -> Iterator[tuple[FieldPath, Mapping[str, Value]]]:
    """Yield what a policy says that it is for, by name."""
    single = policy.spec.get("targetRef")
    if single is not None:
        yield (*_SPEC, "targetRef"), mapping(single)
    for position, ref in enumerate(items(policy.spec.get("targetRefs"))):
        yield (*_SPEC, "targetRefs", position), mapping(ref)


def _kind(ref: Mapping[str, Value]) -> str:
    return text(ref.get("kind"))


def _shown(ref: Mapping[str, Value]) -> str:
    return f"{_kind(ref)} {text(ref.get('name'))}"
