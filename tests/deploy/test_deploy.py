"""What is in deploy/ fits the program, its commands and its examples."""

import re
from collections.abc import Collection
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
import pytest
import yaml
from typer.testing import CliRunner

from tests.deploy.kustomization import (
    EXAMPLES,
    KUBERNETES,
    SIDECAR,
    Json,
    build,
    variables,
)
from tests.deploy.workload import Deployment, Named, deployments
from xds_server import app
from xds_server.api.algorithm import LoadBalancerType
from xds_server.cli import cli
from xds_server.settings import ServeSettings

REPOSITORY: Final = KUBERNETES.parents[1]
SETTINGS: Final = variables(KUBERNETES / "settings.env")


class ServicePort(msgspec.Struct, frozen=True, rename="camel"):
    port: int
    target_port: str


class ServiceSpec(msgspec.Struct, frozen=True):
    ports: tuple[ServicePort, ...]


class Metadata(msgspec.Struct, frozen=True):
    name: str
    namespace: str


class Service(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: ServiceSpec


class PolicySpec(msgspec.Struct, frozen=True, rename="camel"):
    target_refs: tuple[Named, ...]
    load_balancer: dict[str, object]


class Policy(msgspec.Struct, frozen=True):
    metadata: Named
    spec: PolicySpec


@pytest.fixture
def server() -> Deployment:
    (found,) = deployments(build(KUBERNETES))
    return found


def started_with(
    monkeypatch: pytest.MonkeyPatch, arguments: Collection[str]
) -> ServeSettings:
    """Return what the program would serve with, as it is started in a Pod."""
    started: list[ServeSettings] = []

    async def serve(_: list[Path], settings: ServeSettings) -> None:
        started.append(settings)

    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr("xds_server.log.configure_logging", lambda *_: None)
    done = CliRunner().invoke(cli, list(arguments), env=SETTINGS)
    assert done.exit_code == 0, done.output
    (settings,) = started
    return settings


def test_the_server_starts_with_its_arguments_and_variables(
    monkeypatch: pytest.MonkeyPatch, server: Deployment
) -> None:
    (container,) = server.containers
    settings = started_with(monkeypatch, container.args)

    known = {f"XDS_SERVER_{field}".upper() for field in ServeSettings.model_fields}
    assert known >= SETTINGS.keys()
    assert [each.config_map_ref.name for each in container.env_from] == ["xds-server"]
    assert settings.kubernetes
    assert settings.stop_timeout < timedelta(
        seconds=server.pod.termination_grace_period_seconds
    )


def test_the_service_adds_no_variables_that_look_like_settings(
    server: Deployment,
) -> None:
    """A kubelet sets XDS_SERVER_PORT and the like for a Service `xds-server`."""
    assert not server.pod.enable_service_links


def test_the_ports_are_those_that_the_server_listens_on(
    monkeypatch: pytest.MonkeyPatch, server: Deployment
) -> None:
    (container,) = server.containers
    settings = started_with(monkeypatch, container.args)
    ports = {port.name: port.container_port for port in container.ports}
    probes = [
        probe.http_get
        for probe in (
            container.startup_probe,
            container.liveness_probe,
            container.readiness_probe,
        )
        if probe is not None and probe.http_get is not None
    ]

    assert settings.xds_address == f"0.0.0.0:{ports['grpc-xds']}"
    assert settings.admin_address == f"0.0.0.0:{ports['http-admin']}"
    assert [(each.path, each.port) for each in probes] == [
        ("/healthz", "http-admin"),
        ("/healthz", "http-admin"),
        ("/readyz", "http-admin"),
    ]


def test_sidecars_ask_the_service_by_its_name() -> None:
    """The bootstrap is what the command prints for that address."""
    (document,) = [each for each in build(KUBERNETES) if each["kind"] == "Service"]
    service = msgspec.convert(document, Service)
    (port,) = service.spec.ports
    address = f"{service.metadata.name}.{service.metadata.namespace}.svc:{port.port}"
    command = ["bootstrap", "--node-id", "sidecar", "--xds-address", address]

    assert port.target_port == "grpc-xds"
    assert SIDECAR.read_text() == CliRunner().invoke(cli, command).stdout


@pytest.mark.parametrize("folder", [KUBERNETES, EXAMPLES], ids=lambda path: path.name)
def test_no_container_can_write_to_its_root(folder: Path) -> None:
    """Pod Security asks for everything else."""
    containers = [each for one in deployments(build(folder)) for each in one.containers]

    assert containers
    assert all(each.security_context.read_only_root_filesystem for each in containers)


def test_the_image_is_of_this_version(server: Deployment) -> None:
    (container,) = server.containers
    dockerfile = (REPOSITORY / "deploy" / "docker" / "Dockerfile").read_text()

    assert container.image == f"xds-server:{version('xds-server')}"
    assert set(re.findall(r"xds-server:([\w.]+)", dockerfile)) == {
        version("xds-server")
    }
    assert f'image.version="{version("xds-server")}"' in dockerfile


def policies_of(file: Path) -> list[Json]:
    """Return the TrafficPolicies of an example in policies/."""
    documents = yaml.safe_load_all(file.read_text())
    return [each for each in documents if each["kind"] == "TrafficPolicy"]


def test_the_permission_to_read_what_pods_use_is_of_the_same_account() -> None:
    text = (KUBERNETES / "pod-metrics.yaml").read_text("utf-8")
    role, binding = yaml.safe_load_all(text)
    (usual,) = (e for e in build(KUBERNETES) if e["kind"] == "ClusterRoleBinding")

    assert binding["subjects"] == usual["subjects"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_there_is_an_example_of_each_algorithm_as_in_policies() -> None:
    documents = [each for each in build(EXAMPLES) if each["kind"] == "TrafficPolicy"]
    policies = [msgspec.convert(each, Policy) for each in documents]

    for policy in policies:
        (told,) = policies_of(REPOSITORY / "policies" / f"{policy.metadata.name}.yaml")
        assert (
            policy.spec.load_balancer
            == msgspec.convert(told, Policy).spec.load_balancer
        )
        assert [each.name for each in policy.spec.target_refs] == [policy.metadata.name]
    types = sorted(str(each.spec.load_balancer["type"]) for each in policies)
    assert types == sorted(LoadBalancerType)
