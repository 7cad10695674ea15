"""Deployments, and what their Pods run.

Objects in; their containers out: commands, variables, files and probes, no more of each
than deploy/kubernetes uses.
"""

from collections.abc import Iterable, Iterator

import msgspec

from tests.deploy.kustomization import Json


class Named(msgspec.Struct, frozen=True):
    """What has a name."""

    name: str


class FieldRef(msgspec.Struct, frozen=True, rename="camel"):
    """A field of the Pod itself."""

    field_path: str


class ValueFrom(msgspec.Struct, frozen=True, rename="camel"):
    """Where a variable's value is from."""

    field_ref: FieldRef


class Variable(msgspec.Struct, frozen=True, rename="camel"):
    """A variable of a container."""

    name: str
    value: str = ""
    value_from: ValueFrom | None = None


class Mount(msgspec.Struct, frozen=True, rename="camel"):
    """Where a container has a volume."""

    name: str
    mount_path: str


class Volume(msgspec.Struct, frozen=True, rename="camel"):
    """Files of a ConfigMap; None where they are of something else."""

    name: str
    config_map: Named | None = None


class Exec(msgspec.Struct, frozen=True):
    """A command in a container."""

    command: tuple[str, ...]


class HttpGet(msgspec.Struct, frozen=True):
    """A request of the kubelet."""

    path: str
    port: str


class Probe(msgspec.Struct, frozen=True, rename="camel"):
    """What a kubelet asks a container."""

    http_get: HttpGet | None = None
    exec: Exec | None = None


class Port(msgspec.Struct, frozen=True, rename="camel"):
    """A port of a container."""

    name: str
    container_port: int


class SecurityContext(msgspec.Struct, frozen=True, rename="camel"):
    """What a container may do."""

    read_only_root_filesystem: bool = False


class EnvFrom(msgspec.Struct, frozen=True, rename="camel"):
    """Where variables come from."""

    config_map_ref: Named


class Container(msgspec.Struct, frozen=True, rename="camel"):
    """A container of a Pod."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    volume_mounts: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()
    startup_probe: Probe | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    security_context: SecurityContext = SecurityContext()


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What a Pod runs."""

    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    service_account_name: str = "default"
    automount_service_account_token: bool = True
    enable_service_links: bool = True
    termination_grace_period_seconds: int = 30


class PodTemplate(msgspec.Struct, frozen=True):
    """What the Pods of a Deployment are."""

    spec: PodSpec


class DeploymentSpec(msgspec.Struct, frozen=True):
    """What a Deployment is to be."""

    template: PodTemplate


class Deployment(msgspec.Struct, frozen=True):
    """A Deployment."""

    metadata: Named
    spec: DeploymentSpec

    @property
    def pod(self) -> PodSpec:
        """What its Pods run."""
        return self.spec.template.spec

    @property
    def containers(self) -> tuple[Container, ...]:
        """All containers of a Pod."""
        return (*self.pod.init_containers, *self.pod.containers)


def deployments(documents: Iterable[Json]) -> Iterator[Deployment]:
    """Yield the Deployments among *documents*."""
    for document in documents:
        if document["kind"] == "Deployment":
            yield msgspec.convert(document, Deployment)
