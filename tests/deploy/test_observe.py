"""The observability profile of the Compose demos fits together, and is confined.

That its Prometheus scrapes is shown in tests/integration/observe.
"""

import re
from pathlib import Path
from typing import Final

import msgspec
import pytest
import yaml

from tests.deploy.kustomization import KUBERNETES

DEPLOY: Final = KUBERNETES.parent
COMPOSE: Final = DEPLOY / "docker-compose" / "observe.yaml"


class Bind(msgspec.Struct, frozen=True):
    """Files of the checkout in a container."""

    type: str
    source: str
    target: str
    read_only: bool = False


class Health(msgspec.Struct, frozen=True):
    """How it is known to work."""

    test: tuple[str, ...]


class Service(msgspec.Struct, frozen=True):
    """A service of Compose."""

    image: str
    user: str
    profiles: tuple[str, ...]
    ports: tuple[str, ...]
    tmpfs: tuple[str, ...]
    volumes: tuple[Bind, ...]
    healthcheck: Health
    mem_limit: str
    pids_limit: int
    read_only: bool = False
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    command: tuple[str, ...] = ()

    def path_of(self, inside: str) -> Path:
        """Return what is at a path in the container."""
        for bind in self.volumes:
            if inside.startswith(bind.target):
                return COMPOSE.parent / (bind.source + inside.removeprefix(bind.target))
        message = f"nothing is mounted at {inside}"
        raise AssertionError(message)


class Source(msgspec.Struct, frozen=True, rename="camel"):
    """A data source of Grafana."""

    uid: str
    url: str
    json_data: dict[str, str]


class Sources(msgspec.Struct, frozen=True):
    """All of them."""

    datasources: tuple[Source, ...]


class Options(msgspec.Struct, frozen=True):
    """Where dashboards are."""

    path: str


class Provider(msgspec.Struct, frozen=True):
    """Where dashboards come from."""

    options: Options


class Providers(msgspec.Struct, frozen=True):
    """All of them."""

    providers: tuple[Provider, ...]


class Whole(msgspec.Struct, frozen=True):
    """What of the file is looked at."""

    services: dict[str, Service]


SERVICES: Final = msgspec.convert(
    yaml.safe_load(COMPOSE.read_text()), Whole, strict=False
).services


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_a_service_is_confined(name: str) -> None:
    """It is asked for, seen from this machine alone, and can change nothing."""
    service = SERVICES[name]

    assert service.profiles == ("observe",)
    assert all(port.startswith("127.0.0.1:${") for port in service.ports)
    assert service.read_only
    assert service.cap_drop == ("ALL",)
    assert service.security_opt == ("no-new-privileges:true",)
    assert int(service.user.partition(":")[0]) > 0
    assert service.mem_limit
    assert service.pids_limit
    assert service.healthcheck.test[0] == "CMD"
    assert all(bind.type == "bind" and bind.read_only for bind in service.volumes)
    assert all((COMPOSE.parent / bind.source).is_dir() for bind in service.volumes)


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_its_image_is_pinned_and_can_be_another(name: str) -> None:
    variable = f"{name.upper()}_IMAGE"
    pattern = rf"\$\{{{variable}:-[a-z]+/{name}:v?\d+\.\d+\.\d+\}}"

    assert re.fullmatch(pattern, SERVICES[name].image)


def test_prometheus_finds_its_configuration() -> None:
    service = SERVICES["prometheus"]
    flags = dict(flag.removeprefix("--").split("=") for flag in service.command)

    assert service.path_of(flags["config.file"]).samefile(
        DEPLOY / "prometheus" / "prometheus.yaml"
    )
    assert service.tmpfs[0].startswith(flags["storage.tsdb.path"] + ":")


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    grafana = SERVICES["grafana"]
    folder = grafana.path_of(grafana.environment["GF_PATHS_PROVISIONING"])
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    (source,) = msgspec.yaml.decode(
        (folder / "datasources" / "prometheus.yaml").read_bytes(), type=Sources
    ).datasources
    (provider,) = msgspec.yaml.decode(
        (folder / "dashboards" / "xds-server.yaml").read_bytes(), type=Providers
    ).providers
    home = grafana.environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert source.url == "http://prometheus:9090"
    assert "--web.listen-address=0.0.0.0:9090" in SERVICES["prometheus"].command
    assert source.json_data["timeInterval"] == config["global"]["scrape_interval"]
    assert home.startswith(provider.options.path + "/")
    assert grafana.path_of(home).is_file()
