"""The CustomResourceDefinition of TrafficPolicy on an API server, and its verdicts.

In: a client with an administrator's rights. Out: the definition, established; what the
server says of a policy as it is written in a file.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec
from kubernetes.aio.client.exceptions import ApiException

from tests.integration.envoy.world import until
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from tools.kubernetes.client import APPLY, YAML, Client, Json
from xds_server.api.crd import PLURAL, custom_resource_definition
from xds_server.api.policy import API_VERSION

_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PATH: Final = f"{_DEFINITIONS}/{PLURAL}.{API_VERSION.partition('/')[0]}"
_STARTING: Final = (404, 429)
"""What the server answers before it serves a new resource."""

_STRICT: Final = {"fieldValidation": "Strict"}


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str
    message: str = ""


class _Conditions(msgspec.Struct, frozen=True):
    conditions: tuple[_Condition, ...] | None = None  # null before the first


class _Definition(msgspec.Struct, frozen=True):
    status: _Conditions = _Conditions()


class _Refusal(msgspec.Struct, frozen=True):
    message: str


class _Version(msgspec.Struct, frozen=True):
    schema: dict[str, object]


class _Spec(msgspec.Struct, frozen=True):
    versions: tuple[_Version, ...]


class _Written(msgspec.Struct, frozen=True):
    spec: _Spec


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What would become of a policy: the object, or why there is none."""

    object: dict[str, object] | None = None
    refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class CustomResource:
    """TrafficPolicies, as an API server knows them."""

    definition: Json
    conditions: Mapping[str, str]

    def path(self, namespace: Namespace, name: str = "") -> str:
        """Return the path of the policies of a namespace, or of one of them."""
        return namespace.path(PLURAL, name, API_VERSION)

    @property
    def schema(self) -> object:
        """The OpenAPI schema."""
        found = msgspec.convert(self.definition, _Written)
        return found.spec.versions[0].schema["openAPIV3Schema"]

    async def create(
        self, namespace: Namespace, policy: str, query: Mapping[str, str] = _STRICT
    ) -> bytes:
        """Create a policy, which is sent as it is written but for its namespace."""
        return await namespace.client.call(
            "POST",
            self.path(namespace),
            query=query,
            body=policy.replace("namespace: shop", f"namespace: {namespace.name}"),
            content_type=YAML,
        )

    async def try_create(
        self, namespace: Namespace, policy: str, *, validation: str = "Strict"
    ) -> Answer:
        """Say what would become of a policy, and do not store it."""
        query = {"fieldValidation": validation, "dryRun": "All"}
        try:
            created = await self.create(namespace, policy, query)
        except ApiException as error:
            refusal = msgspec.json.decode(error.body or "", type=_Refusal)
            return Answer(refusal=refusal.message)
        return Answer(object=msgspec.json.decode(created, type=dict[str, object]))


@asynccontextmanager
async def installed_policy_crd(client: Client) -> AsyncIterator[CustomResource]:
    """Apply the definition; yield it when it is established.

    It is deleted in the end, with all policies, unless it was there before.
    """
    definition, path = custom_resource_definition(), _PATH
    was_there = await client.exists(path)
    await _apply(client, definition)

    async def conditions() -> dict[str, str]:
        found = msgspec.json.decode(await client.get(path), type=_Definition)
        return {one.type: one.status for one in found.status.conditions or ()}

    async def is_established() -> bool:
        return (await conditions()).get("Established") == "True"

    async def is_served() -> bool:
        try:
            return bool(await client.get(f"/apis/{API_VERSION}/{PLURAL}"))
        except ApiException as error:
            if error.status not in _STARTING:
                raise
            return False

    await until(is_established, FOLLOWING)
    await until(is_served, FOLLOWING)
    yield CustomResource(definition=definition, conditions=await conditions())
    if not was_there:
        await client.delete(path)


@asynccontextmanager
async def loosened(crd: CustomResource, namespace: Namespace) -> AsyncIterator[None]:
    """Let the API server take any policy inside the block.

    As it would where the definition is of another release, or somebody's own.
    """
    client = namespace.client
    loose = json.loads(json.dumps(crd.definition))
    schema = loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"] = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    }

    async def takes_anything() -> bool:
        return (await crd.try_create(namespace, _NONSENSE)).object is not None

    async def takes_policies_alone() -> bool:
        return not await takes_anything()

    try:
        await _apply(client, loose)
        await until(takes_anything, FOLLOWING)
        yield
    finally:
        await _apply(client, crd.definition)
        await until(takes_policies_alone, FOLLOWING)


_NONSENSE: Final = f"""
apiVersion: {API_VERSION}
kind: TrafficPolicy
metadata: {{name: nonsense}}
spec: {{nonsense: true}}
"""


async def _apply(client: Client, definition: Json) -> None:
    query = {**_STRICT, "fieldManager": "xds-server-tests", "force": "true"}
    await client.patch(_PATH, definition, content_type=APPLY, query=query)
