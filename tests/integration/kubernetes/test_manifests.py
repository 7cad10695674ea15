"""What deploy/kubernetes asks of a cluster is right, enough, and no more than that."""

from pathlib import Path
from typing import Final

import msgspec
import pytest
import yaml

from tests.integration.kubernetes.namespace import Namespace
from tests.integration.kubernetes.test_source import Mesh, create, following
from tools.kubernetes.client import APPLY, Client, Json
from xds_server.sources.kubernetes import collections

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

FOLDER: Final = Path(__file__).parents[3] / "deploy" / "kubernetes"
COLLECTIONS: Final = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/default/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
    "RoleBinding": (
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    ),
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "CustomResourceDefinition": (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    ),
}


class Kustomization(msgspec.Struct):
    resources: list[str]


class Rule(msgspec.Struct, rename="camel"):
    api_groups: list[str]
    resources: list[str]
    verbs: list[str]


class ObjectMeta(msgspec.Struct):
    name: str


class Manifest(msgspec.Struct):
    kind: str
    metadata: ObjectMeta
    rules: list[Rule] = []


def documents() -> list[Json]:
    """Return what the kustomization names, in its order."""
    file = FOLDER / "kustomization.yaml"
    names = msgspec.yaml.decode(file.read_bytes(), type=Kustomization).resources
    return [
        document
        for name in names
        for document in yaml.safe_load_all((FOLDER / name).read_text())
    ]


def rules() -> list[Rule]:
    """Return what the server may do."""
    manifests = [msgspec.convert(each, Manifest) for each in documents()]
    return [rule for each in manifests for rule in each.rules]


async def test_the_api_server_takes_every_manifest(client: Client) -> None:
    """Dry, with all fields known; the account in a namespace that is there."""
    query = {"dryRun": "All", "fieldManager": "tests", "fieldValidation": "Strict"}
    for document in documents():
        manifest = msgspec.convert(document, Manifest)
        path = f"{COLLECTIONS[manifest.kind]}/{manifest.metadata.name}"
        body = dict(document)
        if "/namespaces/default/" in path:
            body["metadata"] = {"name": manifest.metadata.name}
        await client.patch(
            path, body, content_type=APPLY, query={**query, "force": "true"}
        )


@pytest.mark.usefixtures("policy_crd")
async def test_its_permissions_are_all_that_it_needs(namespace: Namespace) -> None:
    await create(namespace, "web", "10.1.0.1")
    granted = [msgspec.to_builtins(rule) for rule in rules()]
    account = await namespace.create_account("server", granted)
    async with following(account, [namespace.name]) as mesh:
        await mesh.until(lambda: mesh.index.listed)
        await mesh.until(lambda: mesh.addresses(namespace, "web") == ["10.1.0.1"])

        assert mesh.problems == []


async def first_problems(mesh: Mesh) -> list[str]:
    """Return what is wrong, once something is."""
    await mesh.until(lambda: bool(mesh.problems))
    return mesh.problems


@pytest.mark.usefixtures("policy_crd")
async def test_none_of_its_permissions_is_idle(namespace: Namespace) -> None:
    """Without one of them something is missing, and is named.

    Of those to write, and of Leases, the tests of the status and the replicas say so.
    """
    await create(namespace, "web", "10.1.0.1")  # else there is nothing to serve, too
    read = {each.plural for each in collections()}
    every = [
        Rule(rule.api_groups, [resource], rule.verbs)
        for rule in rules()
        for resource in rule.resources
        if resource in read
    ]
    for number, missing in enumerate(every):
        granted = [msgspec.to_builtins(each) for each in every if each is not missing]
        account = await namespace.create_account(f"server-{number}", granted)
        async with following(account, [namespace.name]) as mesh:
            (problem,) = await first_problems(mesh)

        assert f"list and watch on {missing.resources[0]} of" in problem
