"""Leases of coordination.k8s.io: what is in them, and when one has run out.

Clocks of different machines are never compared: a Lease has run out when it was not
seen to change for as long as it lasts, by the clock of whoever looks.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from xds_server.sources.kube_api import Json

API_VERSION: Final = "coordination.k8s.io/v1"
FIELD_MANAGER: Final = "xds-server"


class LeaseName(NamedTuple):
    """Where a Lease is."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """Its path on an API server."""
        return f"{collection_path(self.namespace)}/{self.name}"

    def about(self, topic: str) -> "LeaseName":
        """Return what replicas are called by who tell each other of *topic* there."""
        return LeaseName(self.namespace, f"{self.name}.{topic}")

    def of_replica(self, replica: str) -> "LeaseName":
        """Return the Lease of one replica of those that elect by this one."""
        return LeaseName(self.namespace, f"{self.name}-{replica}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How long a Lease lasts, and how it is kept; the figures are those of client-go.

    `deadline` after the last renewal a leader stops, before others may begin; `retry`
    is between two tries to get or to renew it.
    """

    duration: timedelta = timedelta(seconds=15)
    deadline: timedelta = timedelta(seconds=10)
    retry: timedelta = timedelta(seconds=2)


class ObjectMeta(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The part of an object's metadata that matters here."""

    name: str = ""
    resource_version: str = ""
    annotations: dict[str, str] = {}


class LeaseSpec(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """Who holds a Lease, since when, for how many seconds from `renew_time` on."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int = 0


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A Lease, as an API server tells of it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()


def collection_path(namespace: str) -> str:
    """Return where the Leases of a namespace are."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/leases"


def lease_body(name: LeaseName, spec: LeaseSpec, **metadata: object) -> Json:
    """Return a Lease to be applied or created; without defaults of *metadata*."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Lease",
        "metadata": {"namespace": name.namespace, "name": name.name, **metadata},
        "spec": msgspec.to_builtins(spec),
    }


def micro_time(moment: datetime) -> str:
    """Return a `metav1.MicroTime`; *moment* is in UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Sight:
    """When a Lease was last seen to change."""

    def __init__(self, lease: Lease, now: float) -> None:
        self._spec = lease.spec
        self._since = now

    def see(self, lease: Lease, now: float) -> None:
        """See it again."""
        if lease.spec != self._spec:
            self._spec, self._since = lease.spec, now

    def expires_at(self) -> float:
        """Return when it runs out unless it changes."""
        return self._since + self._spec.lease_duration_seconds
