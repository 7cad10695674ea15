"""What a folder of deploy/kubernetes is as a list of objects, without kubectl.

A kustomization in; the objects that `kubectl kustomize` prints out, but for the hash
behind the name of a generated ConfigMap. A field that is not understood is an error.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import yaml

Json = Mapping[str, object]
KUBERNETES: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
EXAMPLES: Final = KUBERNETES / "examples"
SIDECAR: Final = KUBERNETES / "sidecar" / "envoy.yaml"
"""The bootstrap of the Envoys beside applications."""
CLUSTER_SCOPED: Final = frozenset(
    {
        "Namespace",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
)


class Generator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ConfigMap that is made of files."""

    name: str
    namespace: str | None = None
    envs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What the name of an image stands for."""

    name: str
    new_tag: str


class Kustomization(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"
):
    """What deploy/kubernetes uses of kustomize."""

    api_version: str
    kind: str
    namespace: str | None = None
    resources: tuple[str, ...] = ()
    config_map_generator: tuple[Generator, ...] = ()
    images: tuple[Image, ...] = ()


def read(folder: Path) -> Kustomization:
    """Return the kustomization of *folder*."""
    content = (folder / "kustomization.yaml").read_bytes()
    return msgspec.yaml.decode(content, type=Kustomization)


def build(folder: Path) -> list[Json]:
    """Return the objects of the kustomization in *folder*, in its order."""
    kustomization = read(folder)
    tags = {image.name: image.new_tag for image in kustomization.images}
    documents = [*_resources(folder, kustomization), *_maps(folder, kustomization)]
    return [_finished(each, kustomization.namespace, tags) for each in documents]


def variables(file: Path) -> dict[str, str]:
    """Return the variables of an env file."""
    lines = [line for line in file.read_text().splitlines() if line]
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def _resources(folder: Path, kustomization: Kustomization) -> Iterator[Json]:
    for name in kustomization.resources:
        path = folder / name
        if path.is_dir():
            yield from build(path)
        else:
            yield from yaml.safe_load_all(path.read_text())


def _maps(folder: Path, kustomization: Kustomization) -> Iterator[Json]:
    for generator in kustomization.config_map_generator:
        data = {name: (folder / name).read_text() for name in generator.files}
        for name in generator.envs:
            data |= variables(folder / name)
        metadata = {"name": generator.name}
        if generator.namespace is not None:
            metadata["namespace"] = generator.namespace
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": data,
        }


def _finished(document: Json, namespace: str | None, tags: Mapping[str, str]) -> Json:
    """Return *document* with its namespace, and with tags on the images in it."""
    finished = {key: _tagged(value, tags) for key, value in document.items()}
    metadata = finished["metadata"]
    if namespace is not None and document["kind"] not in CLUSTER_SCOPED:
        assert isinstance(metadata, dict)
        finished["metadata"] = {**metadata, "namespace": namespace}
    return finished


def _tagged(value: object, tags: Mapping[str, str]) -> object:
    if isinstance(value, list):
        return [_tagged(each, tags) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _tagged(each, tags) for key, each in value.items()}
    image = found.get("image")
    if isinstance(image, str) and image in tags:
        found["image"] = f"{image}:{tags[image]}"
    return found
