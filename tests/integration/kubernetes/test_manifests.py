"""What deploy/kubernetes asks of a cluster is right, enough, and no more than that."""

from pathlib import Path
from typing import Final

import msgspec
import pytest
import pytest_asyncio
from kubernetes.aio.client.exceptions import ForbiddenException

from tests.deploy.kustomization import CLUSTER_SCOPED, EXAMPLES, KUBERNETES, Json, build
from tests.integration.kubernetes.namespace import Namespace
from tests.integration.kubernetes.objects import pod
from tests.integration.kubernetes.test_source import Mesh, create, following
from xds_server.sources.kubernetes import collections

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

RESTRICTED: Final = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")
}
FOLDERS: Final = (KUBERNETES, EXAMPLES)


class Rule(msgspec.Struct, rename="camel"):
    api_groups: list[str]
    resources: list[str]
    verbs: list[str]


class Manifest(msgspec.Struct):
    kind: str
    rules: list[Rule] = []


class Named(msgspec.Struct):
    name: str


class Identity(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    metadata: Named


class WorkloadSpec(msgspec.Struct):
    template: dict[str, object]


class Workload(msgspec.Struct):
    spec: WorkloadSpec


def rules(*kinds: str) -> list[Rule]:
    """Return what the server may do: by roles of some kinds, or by all."""
    manifests = [msgspec.convert(each, Manifest) for each in build(KUBERNETES)]
    return [
        rule
        for each in manifests
        if not kinds or each.kind in kinds
        for rule in each.rules
    ]


def path_in(namespace: Namespace, document: Json) -> str:
    """Return where *document* would be, if its namespace were this one."""
    named = msgspec.convert(document, Identity)
    kind = named.kind.lower()
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    path = namespace.path(plural, named.metadata.name, named.api_version)
    is_ours = named.kind in CLUSTER_SCOPED
    return path.replace(f"/namespaces/{namespace.name}", "") if is_ours else path


def moved(document: Json, namespace: Namespace) -> Json:
    """Return *document*, in a namespace that is there."""
    if document["kind"] in CLUSTER_SCOPED:
        return document
    metadata = msgspec.convert(document["metadata"], dict[str, object])
    return {**document, "metadata": {**metadata, "namespace": namespace.name}}


@pytest_asyncio.fixture(loop_scope="session")
async def restricted(namespace: Namespace) -> Namespace:
    """Return a namespace for restricted Pods alone; what would make others, warns."""
    labels = {"metadata": {"labels": RESTRICTED}}
    await namespace.client.patch(f"/api/v1/namespaces/{namespace.name}", labels)
    return namespace


@pytest.mark.usefixtures("policy_crd")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
async def test_the_api_server_takes_every_manifest(
    restricted: Namespace, folder: Path
) -> None:
    """Dry, with all fields known, and without a word of warning."""
    for document in build(folder):
        warnings = await restricted.client.apply(
            path_in(restricted, document), moved(document, restricted), dry_run=True
        )

        assert warnings == [], document


async def create_pod(namespace: Namespace, template: Json) -> None:
    """Create a Pod of a Deployment's *template*, dry: it is admitted, or refused."""
    metadata = {"name": "one", **msgspec.convert(template["metadata"], dict)}
    await namespace.client.apply(
        namespace.path("pods", "one"),
        {**template, "apiVersion": "v1", "kind": "Pod", "metadata": metadata},
        dry_run=True,
    )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
async def test_pod_security_admits_all_pods(
    restricted: Namespace, folder: Path
) -> None:
    """What makes Pods is only warned of; the Pods themselves would be refused."""
    await restricted.create_account("xds-server")
    for document in build(folder):
        if document["kind"] == "Deployment":
            template = msgspec.convert(document, Workload).spec.template
            await create_pod(restricted, template)


async def test_pod_security_looks(restricted: Namespace) -> None:
    """So that the test before this one can fail."""
    with pytest.raises(ForbiddenException, match="violates PodSecurity"):
        await create_pod(restricted, pod("one", labels={}))


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
