"""The demos' files fit the program and each other; an Engine shows that they hold."""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest
import yaml
from typer.testing import CliRunner

from xds_server.cli import cli

COMPOSE: Final = Path(__file__).parents[2] / "deploy" / "docker-compose"
DEMOS: Final = sorted(path.parent for path in COMPOSE.glob("*/compose.yaml"))
BOOTSTRAP: Final = (
    *("bootstrap", "--xds-address", "xds-server:18000"),
    *("--stats-address", "0.0.0.0:19001"),
    "--node-id",
)
GATEWAY: Final = (
    *("gateway", "--role", "gateway", "--listen-port", "10000"),
    *("--listen-address", "0.0.0.0"),  # noqa: S104 - of its container
)

each_demo = pytest.mark.parametrize("demo", DEMOS, ids=lambda path: path.name)


def services_of(file: Path) -> Mapping[str, Mapping[str, object]]:
    services: Mapping[str, Mapping[str, object]] = yaml.safe_load(file.read_text())[
        "services"
    ]
    return services


def texts(service: Mapping[str, object], key: str) -> Sequence[str]:
    value = service.get(key, [])
    assert isinstance(value, list)
    return [str(each) for each in value]


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("sidecar.yaml", ("sidecar",)),
        ("gateway.yaml", GATEWAY),
    ],
)
def test_bootstraps_are_what_the_command_prints(
    file: str, arguments: Sequence[str]
) -> None:
    printed = CliRunner().invoke(cli, [*BOOTSTRAP, *arguments]).stdout

    assert (COMPOSE / file).read_text() == printed


@each_demo
def test_only_loopback_is_published(demo: Path) -> None:
    ports = [
        port
        for service in services_of(demo / "compose.yaml").values()
        for port in texts(service, "ports")
    ]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@each_demo
def test_every_service_is_a_common_one(demo: Path) -> None:
    common = services_of(COMPOSE / "services.yaml")

    for name, service in services_of(demo / "compose.yaml").items():
        extends = service["extends"]
        assert isinstance(extends, dict), name
        assert extends["file"] == "../services.yaml"
        assert extends["service"] in common
        assert not {"user", "privileged", "cap_add", "image"} & service.keys()


def test_nothing_has_more_rights_than_it_needs() -> None:
    for service in services_of(COMPOSE / "services.yaml").values():
        assert service["user"] == "65532:65532"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_images_are_of_this_version() -> None:
    images = " ".join(
        str(service["image"])
        for service in services_of(COMPOSE / "services.yaml").values()
    )

    assert set(re.findall(r"-(xds-[\w-]+:[\d.]+)\}", images)) == {
        f"{name}:{version('xds-server')}" for name in ("xds-server", "xds-demo-app")
    }


@each_demo
def test_what_it_serves_has_no_error(demo: Path) -> None:
    for policy in [None, *sorted((demo / "policies").glob("*.yaml"))]:
        paths = [str(path) for path in (demo / "mesh", policy) if path]
        checked = CliRunner().invoke(cli, ["check", *paths])
        assert checked.exit_code == 0, checked.output


@each_demo
def test_it_is_listed_and_tells_how_it_is_run(demo: Path) -> None:
    listed = re.findall(
        r"^\| \[([\w-]+)\]", (COMPOSE / "README.md").read_text(), re.MULTILINE
    )
    readme = (demo / "README.md").read_text()
    script = demo / f"{demo.name.replace('-', '_')}.py"

    assert demo.name in listed
    assert "\ndocker compose up --attach load --exit-code-from load\n" in readme
    assert script.exists()


def test_the_front_page_shows_what_the_demo_does() -> None:
    front = (COMPOSE.parents[1] / "README.md").read_text()
    blocks = (COMPOSE / "performance" / "README.md").read_text().split("```")
    (shown,) = [block for block in blocks if block.rstrip().endswith("claims hold.")]

    assert shown in front
    assert all(f"(deploy/docker-compose/{demo.name})" in front for demo in DEMOS)
