"""DestinationRules of Istio become TrafficPolicies.

One rule makes a policy for its host, and one for each port that it has settings for.
Where a rule is for clients of one namespace alone, a policy cannot say so; it is told.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from xds_server.api.manifest import Value
from xds_server.api.policy import API_VERSION
from xds_server.api.problem import FieldPath, Problem
from xds_server.api.wording import got
from xds_server.importer.account import Account
from xds_server.importer.draft import Draft, Manifest
from xds_server.importer.imported import Imported
from xds_server.importer.istio_defaults import (
    SPEAKING,
    Broader,
    hold_defaults,
)
from xds_server.importer.istio_fields import PORT, RULE, TRAFFIC_POLICY
from xds_server.importer.istio_host import EVERYBODY, Host, host_of
from xds_server.importer.istio_tls import (
    NotEncryptedError,
    hold_tls,
    keep_encryption,
)
from xds_server.importer.sorting import Kind, sort_out
from xds_server.importer.source import Foreign, items, mapping, text
from xds_server.importer.value import NotCarriedError, count, decline, members

KIND: Final = Kind(
    group="networking.istio.io",
    name="DestinationRule",
    versions=("v1", "v1beta1", "v1alpha3"),
)

_PORTS: Final = "portLevelSettings"
_SPEC: Final[FieldPath] = ("spec",)
_POLICY: Final[FieldPath] = ("spec", "trafficPolicy")
_ROUTE_FIELDS: Final = {
    "retries": "retry of a TrafficPolicy is for all requests to a Service",
    "timeout": "none: set it where the request is made",
}
_MESH_DEFAULTS: Final = (
    "what Istio does without a rule (LeastRequest, two retries, no limits) is not the "
    "default here; docs/import.md has a policy for it"
)
_SUBSETS: Final = (
    "give the Pods of each subset a share by loadBalancer.weights.groups, or make a "
    "second Service that selects them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """What rules are read against.

    `ports` has the names of a Service's ports by number, where its manifest is there;
    `root` is where Istio's rules for the whole mesh are, and `ours` where policies for
    it are. `broader` has what policies for all Services of a namespace have, so far.
    """

    ports: Mapping[tuple[str, str], Mapping[int, str]]
    root: str
    ours: str
    broader: dict[Host, Broader] = field(default_factory=dict)

    def broader_than(self, host: Host) -> Broader:
        """Return what would hold for *host* where its own policy says nothing."""
        found = Broader()
        for other in (Host(namespace=self.ours), Host(namespace=host.namespace)):
            if other != host:
                found |= self.broader.get(other, Broader())
        return found

    def breadth(self, host: Host | None) -> int:
        """Return where a rule for *host* comes: those for the mesh first."""
        if host is None or host.name:
            return 2
        return 1 if host.namespace != self.ours else 0


def import_istio(
    read: Iterable[Foreign | Problem], *, root: str, root_namespace: str
) -> Imported:
    """Return what the DestinationRules among what was *read* become.

    *root* is where Istio's rules for the whole mesh are, *root_namespace* where
    policies for it are.
    """
    imported = Imported(hint=_MESH_DEFAULTS)
    found = sort_out(read, KIND, imported)
    mesh = Mesh(ports=found.ports, root=root, ours=root_namespace)
    rules = [_Rule.of(rule, mesh) for rule in found.wanted]
    for rule in sorted(rules, key=lambda one: mesh.breadth(one.host)):
        imported.add(rule.account, rule.policies())
    for other in found.others:
        if (other.group, other.key.kind) == (KIND.group, "VirtualService"):
            imported.problems += _route_notices(other)
    return imported


def _route_notices(service: Foreign) -> Iterator[Problem]:
    """Name what a VirtualService says that a policy could."""
    account = Account(foreign=service)
    for position, route in enumerate(items(service.spec.get("http"))):
        for name, hint in _ROUTE_FIELDS.items():
            if name in mapping(route):
                path = (*_SPEC, "http", position, name)
                account.note(path, "not carried over: it is of a route", hint)
    yield from account.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A rule on its way; `host` is unset where no policy can be for that."""

    account: Account
    mesh: Mesh
    host: Host | None

    @classmethod
    def of(cls, rule: Foreign, mesh: Mesh) -> Self:
        """Find out what *rule* is for."""
        account = Account(foreign=rule)
        host = None
        try:
            host = host_of(rule, account, root=mesh.root, ours=mesh.ours)
        except NotCarriedError as error:
            account.lose(_SPEC, error.why, error.hint)
        return cls(account=account, mesh=mesh, host=host)

    def policies(self) -> list[Manifest]:
        """Return the policies that it makes; all else is told to its account.

        There are none where what is to be encrypted would be sent in the clear.
        """
        try:
            return list(self._made())
        except NotEncryptedError as error:
            self.account.refuse(error.fault)
            return []

    def _made(self) -> Iterator[Manifest]:
        rule, account, host = self.account.foreign, self.account, self.host
        if host is None:
            return
        Draft(account).read(RULE, rule.value.get("spec"), _SPEC)
        _tell_subsets(rule, account)
        try:
            head = _head(rule, host, account)
        except NotCarriedError as error:
            account.lose(_SPEC, error.why, error.hint)
            return
        whole = self._whole(host)
        made = whole.policy(head, _SPEC)
        policy = mapping(rule.spec.get("trafficPolicy"))
        keep_encryption(made, policy.get("tls"), _POLICY, account)
        if made is not None:
            yield made
        broader = self.mesh.broader_than(host) | Broader.of(whole)
        for path, settings in _port_settings(policy, account):
            port = _Port(settings=settings, path=path, host=host, mesh=self.mesh)
            made = port.policy(head, broader, account)
            keep_encryption(made, settings.get("tls"), path, account)
            if made is not None:
                yield made
        if not host.name:
            self.mesh.broader[host] = Broader.of(whole)

    def _whole(self, host: Host) -> Draft:
        """Return what is for all ports."""
        written = self.account.foreign.spec.get("trafficPolicy", {})
        policy, broader = mapping(written), self.mesh.broader_than(host)
        draft = Draft(self.account)
        draft.read(TRAFFIC_POLICY, written, _POLICY)
        if not policy.keys().isdisjoint(SPEAKING):
            hold_defaults(draft, policy, _POLICY)
            broader.undo(draft)
        elif broader.sections:
            self.account.differ(
                _SPEC,
                "in Istio the rule takes the place of broader ones; here their "
                f"{', '.join(sorted(broader.sections))} holds",
            )
        hold_tls(draft, policy.get("tls"), _POLICY)
        return draft


def _head(rule: Foreign, host: Host, account: Account) -> Manifest:
    """Return all of a policy but its sections."""
    spec: Manifest = {"targetRefs": [host.target]}
    labels = dict(_client_labels(rule, account))
    if labels:
        spec["clientSelector"] = {"matchLabels": labels}
    _tell_visibility(rule, account)
    return {
        "apiVersion": API_VERSION,
        "kind": "TrafficPolicy",
        "metadata": {"namespace": host.namespace, "name": rule.key.name},
        "spec": spec,
    }


def _client_labels(rule: Foreign, account: Account) -> Mapping[str, Value]:
    """Return the labels of the clients that *rule* is for; none: all clients.

    Raises:
        NotCarriedError: the selector cannot be read, so the rule might be for anybody.
    """
    selector = rule.spec.get("workloadSelector")
    path = (*_SPEC, "workloadSelector")
    if selector is None:
        return {}
    labels = members(selector, "matchLabels").get("matchLabels", {})
    if not isinstance(labels, dict):
        decline(f"workloadSelector.matchLabels must be a mapping{got(labels)}")
    account.settle(path, "spec.clientSelector" if labels else "")
    if labels:
        account.differ(
            path,
            f"in Istio for clients in {rule.key.namespace} alone, here for all clients "
            "with these labels",
            "name the namespace in clientSelector.namespaces, too; the labels of a "
            "client are those that `bootstrap --label` writes",
        )
    return labels


def _tell_visibility(rule: Foreign, account: Account) -> None:
    exported, path = rule.spec.get("exportTo"), (*_SPEC, "exportTo")
    if exported is None or "*" in items(exported):
        account.settle(path)
        return
    account.lose(
        path,
        "that it is for clients in some namespaces alone; the policy is for "
        "everybody's",
        EVERYBODY,
    )


def _tell_subsets(rule: Foreign, account: Account) -> None:
    subsets, path = items(rule.spec.get("subsets")), (*_SPEC, "subsets")
    if not subsets:
        account.settle(path)
        return
    names = ", ".join(text(mapping(one).get("name"), "?") for one in subsets)
    account.lose(path, f"a Service has no subsets here (got {names})", _SUBSETS)


def _port_settings(
    policy: Mapping[str, Value], account: Account
) -> Iterator[tuple[FieldPath, Mapping[str, Value]]]:
    path, settings = (*_POLICY, _PORTS), policy.get(_PORTS)
    if settings is not None and not isinstance(settings, list):
        account.lose(path, f"must be a list{got(settings)}")
    for position, one in enumerate(items(settings)):
        if isinstance(one, dict):
            yield (*path, position), one
        else:
            account.lose((*path, position), f"must be a mapping{got(one)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Port:
    """What a rule says of one port, at *path*."""

    settings: Mapping[str, Value]
    path: FieldPath
    host: Host
    mesh: Mesh

    def policy(
        self, head: Manifest, broader: Broader, account: Account
    ) -> Manifest | None:
        """Return a policy for the port, beside *broader* ones."""
        try:
            number = self._number()
        except NotCarriedError as error:
            account.lose(self.path, error.why, error.hint)
            return None
        section = self._section(number, account)
        draft = Draft(account)
        draft.read(PORT, dict(self.settings), self.path)
        if broader.sections or not self.settings.keys().isdisjoint(SPEAKING):
            hold_defaults(draft, self.settings, self.path)
            broader.undo(draft)
        hold_tls(draft, self.settings.get("tls"), self.path)
        target: Value = {**self.host.target, "sectionName": section}
        metadata, spec = mapping(head["metadata"]), mapping(head["spec"])
        name = f"{metadata['name']}-port-{number}"
        own: Manifest = {
            **head,
            "metadata": {**metadata, "name": name},
            "spec": {**spec, "targetRefs": [target]},
        }
        made = draft.policy(own, self.path)
        if made is not None:
            path = (*self.path, "port", "number")
            account.settle(path, "spec.targetRefs[0].sectionName")
        return made

    def _number(self) -> int:
        if not self.host.name:
            message = "a policy for a namespace cannot be for one port"
            raise NotCarriedError(message, "write a policy for each Service")
        number = count(mapping(self.settings.get("port")).get("number"))
        assert isinstance(number, int)  # noqa: S101 - that is what it reads
        return number

    def _section(self, number: int, account: Account) -> str:
        """Return what a policy calls the port: its name, if it has one."""
        path = (*self.path, "port", "number")
        account.settle(path)
        names = self.mesh.ports.get((self.host.namespace, self.host.name))
        if names is None:
            account.differ(
                path,
                "sectionName has to be the name of the port, if it has one "
                f'(got "{number}")',
                "name the file with the Service, too, and it will be",
            )
        elif number not in names:
            account.differ(path, f"the Service has no port {number}")
        return (names or {}).get(number) or str(number)
