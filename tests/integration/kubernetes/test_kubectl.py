"""kubectl reads deploy/kubernetes as the tests do, and an API server takes it."""

import asyncio
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import pytest
import yaml

from tests.components import kubectl_binary
from tests.deploy.kustomization import EXAMPLES, KUBERNETES, Json, build
from tests.integration.kubernetes.namespace import Namespace
from tests.integration.kubernetes.test_manifests import Identity

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.kubernetes,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

HASH: Final = re.compile(
    r"\b(xds-server|xds-sidecar|programs)-[2456789bcdfghkmt]{10}\b"
)
FOLDERS: Final = (KUBERNETES, EXAMPLES)


async def kubectl(namespace: Namespace, *arguments: str | Path) -> str:
    """Return what kubectl prints; whatever it complains of fails the test."""
    binary = kubectl_binary()
    assert binary is not None
    process = await asyncio.create_subprocess_exec(
        *(str(binary), *map(str, arguments)),
        env={
            **os.environ,
            "KUBECONFIG": str(namespace.kubeconfig),
            "KUBECACHEDIR": str(namespace.folder / "cache"),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaints = (text.decode() for text in await process.communicate())
    assert process.returncode == 0, complaints
    return printed


def by_name(documents: Iterable[Json]) -> dict[str, Json]:
    """Return *documents* by what each is, and what it is called."""
    found = [(msgspec.convert(each, Identity), each) for each in documents]
    return {f"{one.kind} {one.metadata.name}": each for one, each in found}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
async def test_the_tests_read_a_kustomization_as_kubectl_does(
    namespace: Namespace, folder: Path
) -> None:
    printed = HASH.sub(r"\1", await kubectl(namespace, "kustomize", folder))

    assert by_name(yaml.safe_load_all(printed)) == by_name(build(folder))


@pytest.mark.usefixtures("policy_crd")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
async def test_the_api_server_takes_what_kubectl_applies(
    namespace: Namespace, folder: Path, tmp_path: Path
) -> None:
    """Dry, from a kustomization above it that says another namespace and image."""
    above = {
        "resources": [os.path.relpath(folder, tmp_path.resolve())],
        "namespace": namespace.name,
        "images": [{"name": "xds-server", "newName": "registry.example/xds-server"}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(above))
    applied = await kubectl(
        namespace, "apply", "-k", tmp_path, "--dry-run=server", "-o", "yaml"
    )

    assert yaml.safe_load(applied)["kind"] == "List"
    assert ("image: registry.example/xds-server:" in applied) is (folder == KUBERNETES)
