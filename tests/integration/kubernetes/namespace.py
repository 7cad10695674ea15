"""A namespace of a test's own, and what the tests do in it.

In: a client with an administrator's rights. Out: Services, Pods with a status, Nodes
and accounts of few rights; the EndpointSlices that the real controller makes of them.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import yaml

from tests.integration.envoy.world import until
from tests.integration.kubernetes import objects
from tools.kubernetes.client import Client, Json
from xds_server.api.kubernetes import SliceEndpoint

FOLLOWING: Final = timedelta(seconds=45)
"""How long controllers may take: up to 30 s of it to come back to an API server."""
RBAC: Final = "rbac.authorization.k8s.io"


class _Slice(msgspec.Struct, frozen=True):
    endpoints: tuple[SliceEndpoint, ...] | None  # the server writes null for none


class _Slices(msgspec.Struct, frozen=True):
    items: tuple[_Slice, ...]


class _TokenStatus(msgspec.Struct, frozen=True):
    token: str


class _TokenRequest(msgspec.Struct, frozen=True):
    status: _TokenStatus


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """A namespace by its name; what is outside it goes with it all the same."""

    name: str
    client: Client
    kubeconfig: Path
    folder: Path
    _undo: AsyncExitStack

    def path(self, plural: str, name: str = "", group_version: str = "v1") -> str:
        """Return the path of a collection of this namespace, or of an object in it."""
        root = "/api" if group_version == "v1" else "/apis"
        parts = [root, group_version, "namespaces", self.name, plural]
        return "/".join([*parts, name] if name else parts)

    @property
    def slices(self) -> str:
        """The path of the EndpointSlices here."""
        return self.path("endpointslices", group_version="discovery.k8s.io/v1")

    async def create_service(self, document: Json) -> None:
        """Create a Service."""
        await self.client.create(self.path("services"), document)

    async def create_pod(
        self, document: Json, addresses: Sequence[str], *, ready: bool = True
    ) -> None:
        """Create a Pod, and say as its kubelet would that it runs."""
        await self.client.create(self.path("pods"), document)
        name = msgspec.convert(document, _Named).metadata.name
        await self.set_pod(name, addresses, ready=ready)

    async def set_pod(
        self, name: str, addresses: Sequence[str], *, ready: bool
    ) -> None:
        """Say of a Pod at which addresses it runs, and whether it is ready."""
        status = objects.pod_status(addresses, ready=ready)
        await self.client.patch(self.path("pods", f"{name}/status"), status)

    async def create_node(self, document: Json) -> None:
        """Create a Node; it is deleted after the test."""
        name = msgspec.convert(document, _Named).metadata.name
        await self.client.create("/api/v1/nodes", document)
        self._undo.push_async_callback(self.client.delete, f"/api/v1/nodes/{name}")

    async def endpoints(self, service: str) -> tuple[SliceEndpoint, ...]:
        """Return the endpoints of all slices of *service*, by address."""
        query = {"labelSelector": f"kubernetes.io/service-name={service}"}
        answer = await self.client.get(self.slices, query)
        slices = msgspec.json.decode(answer, type=_Slices).items
        found = [endpoint for each in slices for endpoint in each.endpoints or ()]
        return tuple(sorted(found, key=lambda endpoint: endpoint.addresses))

    async def until_endpoints(
        self, service: str, condition: Callable[[tuple[SliceEndpoint, ...]], bool]
    ) -> None:
        """Return when *condition* holds of the endpoints of *service*."""

        async def holds() -> bool:
            return condition(await self.endpoints(service))

        await until(holds, FOLLOWING)

    async def create_account(
        self, name: str, rules: Sequence[Json] = (), *, local: Sequence[Json] = ()
    ) -> Path:
        """Create a service account: *rules* in the whole cluster, *local* ones here.

        Returns the kubeconfig of a token of it, good for an hour.
        """
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.name}
        accounts = self.path("serviceaccounts")
        await self.client.create(accounts, {"metadata": {"name": name}})
        if rules:
            path = f"/apis/{RBAC}/v1/cluster"
            await self._grant("ClusterRole", path, subject, rules)
        if local:
            path = self.path("", group_version=f"{RBAC}/v1")
            await self._grant("Role", path, subject, local)
        return await self.kubeconfig_of(name)

    async def kubeconfig_of(self, account: str) -> Path:
        """Return a kubeconfig with a token of a service account, good for an hour."""
        path = self.path("serviceaccounts", f"{account}/token")
        answer = await self.client.create(path, {"spec": {"expirationSeconds": 3600}})
        token = msgspec.json.decode(answer, type=_TokenRequest).status.token
        return self.kubeconfig_with(token, account)

    async def set_rules(self, account: str, rules: Sequence[Json]) -> None:
        """Let an account that has rules have others."""
        path = f"/apis/{RBAC}/v1/clusterroles/{self.name}-{account}"
        await self.client.patch(path, {"rules": list(rules)})

    def kubeconfig_with(self, token: str, name: str) -> Path:
        """Return a kubeconfig for the same server with another *token*."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        for user in document["users"]:
            user["user"] = {"token": token}
        file = self.folder / f"{name}.kubeconfig"
        file.write_text(yaml.safe_dump(document))
        return file

    async def _grant(
        self, kind: str, root: str, subject: Json, rules: Sequence[Json]
    ) -> None:
        """Create a role and its binding, at paths that begin with *root*."""
        role = f"{self.name}-{subject['name']}"
        metadata = {"name": role}
        reference = {"apiGroup": RBAC, "kind": kind, "name": role}
        bodies: Mapping[str, Json] = {
            "roles": {"metadata": metadata, "rules": list(rules)},
            "rolebindings": {
                "metadata": metadata,
                "roleRef": reference,
                "subjects": [subject],
            },
        }
        for plural, body in bodies.items():
            path = f"{root}{plural}"
            await self.client.create(path, body)
            self._undo.push_async_callback(self.client.delete, f"{path}/{role}")


class _Name(msgspec.Struct, frozen=True):
    name: str


class _Named(msgspec.Struct, frozen=True):
    metadata: _Name


@asynccontextmanager
async def open_namespace(
    client: Client, kubeconfig: Path, folder: Path
) -> AsyncIterator[Namespace]:
    """Create a namespace; yield it when Pods may be created in it; delete it."""
    name = f"xds-test-{secrets.token_hex(4)}"
    async with AsyncExitStack() as undo:
        await client.create("/api/v1/namespaces", {"metadata": {"name": name}})
        undo.push_async_callback(client.delete, f"/api/v1/namespaces/{name}")
        namespace = Namespace(
            name=name, client=client, kubeconfig=kubeconfig, folder=folder, _undo=undo
        )
        account = namespace.path("serviceaccounts", "default")
        await until(lambda: client.exists(account), FOLLOWING)
        yield namespace
