"""What a DestinationRule is for: the Service, or all of a namespace or the mesh."""

from dataclasses import dataclass
from typing import Final

from xds_server.api.manifest import Value
from xds_server.api.problem import FieldPath
from xds_server.importer.account import Account
from xds_server.importer.source import Foreign
from xds_server.importer.value import NotCarriedError, decline

_SERVICES: Final = "svc.cluster.local"
_ALL: Final = ("*", "*.local", "*.cluster.local", "*.svc.cluster.local")
_SPEC: Final[FieldPath] = ("spec",)
EVERYBODY: Final = "name the namespaces of its clients in clientSelector.namespaces"
"""What to do about a rule that is for some clients alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What a rule is for: a Service, or all of a namespace where there is no `name`."""

    namespace: str
    name: str = ""

    @property
    def target(self) -> dict[str, Value]:
        """The target of a policy for it."""
        kind, name = ("Service", self.name) if self.name else ("Namespace", "")
        return {"kind": kind, "name": name or self.namespace}


def host_of(rule: Foreign, account: Account, *, root: str, ours: str) -> Host:
    """Return what *rule* is for, and tell whose traffic it is for in Istio.

    *root* is where Istio's rules for the whole mesh are, *ours* where policies for it
    are.

    Raises:
        NotCarriedError: it is for no Service.
    """
    written, path, own = rule.spec.get("host"), (*_SPEC, "host"), rule.key.namespace
    if not isinstance(written, str) or not written:
        decline("host is required")
    account.settle(path)
    if written in _ALL:
        if own == root:
            return Host(namespace=ours)
        account.lose(
            path,
            f"that it is also for what clients in {own} send to other namespaces",
            f"write a policy for each of them, and {EVERYBODY}",
        )
        return Host(namespace=own)
    host = _service(written, own)
    if own not in (host.namespace, root):
        account.lose(
            path,
            f"that it is for clients in {own} alone; the policy is for everybody's",
            EVERYBODY,
        )
    return host


def _service(written: str, own: str) -> Host:
    name, *labels = written.split(".")
    if not labels:
        return Host(namespace=own, name=name)
    if labels[1:] == [*_SERVICES.split(".")]:
        return Host(namespace=labels[0], name="" if name == "*" else name)
    message = f"{written} is no Service of the cluster"
    hint = "an EndpointSlice with addressType: FQDN makes a Service of other hosts"
    if len(labels) == 1 and name != "*":
        hint += f"; of a Service, write all of the name: {written}.{_SERVICES}"
    raise NotCarriedError(message, hint)
