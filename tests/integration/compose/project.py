"""A demo of deploy/docker-compose, brought up for a test and taken away again.

Its ports are any that are free, on 127.0.0.1; its name is the test's, so that a demo
that runs here already goes on.
"""

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict
from urllib.request import Request, urlopen

import pytest
from pytest_docker.plugin import DockerComposeExecutor, Services, execute

DEMOS: Final = Path(__file__).parents[3] / "deploy" / "docker-compose"
PORTS: Final = (
    *("CLIENT_PORT", "CLIENT_2_PORT", "CLIENT_3_PORT"),
    *("STATUS_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"),
)
OURS: Final = "com.docker.compose.project"


class Answer(TypedDict):
    """What one request gave; status 0 is no answer."""

    status: int
    who: str


@dataclass(frozen=True)
class Container:
    """What the Engine says of a container; `published` are addresses of this host."""

    service: str
    published: frozenset[str]
    details: Mapping[str, object]


class Project:
    """A demo that runs."""

    def __init__(self, demo: str, name: str, compose: DockerComposeExecutor) -> None:
        self.demo = demo
        self.name = name
        self._compose = compose
        self.services = Services(compose)

    def compose(self, command: str) -> str:
        """Run `docker compose` on this demo; return what it prints.

        Raises:
            Exception: it fails.
        """
        return str(self._compose.execute(command), "utf-8", "replace")

    def containers(self) -> Sequence[Container]:
        """Return all containers, those that have ended, too."""
        ids = docker(f"ps --all --quiet --filter label={OURS}={self.name}").split()
        return [
            _container(each) for each in json.loads(docker(f"inspect {' '.join(ids)}"))
        ]

    def load_exits(self) -> tuple[int, str]:
        """Wait until the load has ended; return its exit code and what it printed."""
        code = self.compose("wait load").split()[-1]
        return int(code), self.compose("logs --no-log-prefix load")

    def ask(self, client: str, host: str, **how: object) -> Sequence[Answer]:
        """Ask through a client's Envoy, by the port that it publishes."""
        body = json.dumps({"host": host, **how}).encode()
        request = Request(  # noqa: S310 - http
            f"{self.url(client, 8080)}/ask", body, {"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=120) as answer:  # noqa: S310 - http
            answers: Sequence[Answer] = json.load(answer)
            return answers

    def clusters(self, client: str) -> Mapping[str, str]:
        """Return the versions of the clusters that a client's Envoy works with."""
        with urlopen(f"{self.url(client, 8080)}/clusters", timeout=10) as answer:  # noqa: S310 - http
            versions: Mapping[str, str] = json.load(answer)
            return versions

    def url(self, service: str, port: int) -> str:
        """Return where a port is published."""
        return f"http://127.0.0.1:{self.services.port_for(service, port)}"


def docker(command: str) -> str:
    """Run the Docker client; return what it prints."""
    return str(execute(f"docker {command}"), "utf-8", "replace")


def _name_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave images alone that somebody has built of another checkout."""
    monkeypatch.setenv("XDS_SERVER_IMAGE", "xds-test-server")
    monkeypatch.setenv("XDS_DEMO_APP_IMAGE", "xds-test-demo-app")


def build_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build what the demos run, as it is now."""
    _name_images(monkeypatch)
    common = DEMOS / "services.yaml"
    DockerComposeExecutor("docker compose", [str(common)], "xds-test").execute("build")


@contextmanager
def running(
    demo: str, monkeypatch: pytest.MonkeyPatch, services: str = ""
) -> Iterator[Project]:
    """Bring a demo up, and take it away with all it has, whatever happens.

    *services* are those of a profile, too; unless given, all that are in none.
    """
    _name_images(monkeypatch)
    for port in PORTS:
        monkeypatch.setenv(port, "0")  # any that is free
    name = f"xds-test-{os.getpid()}-{demo}"
    file = DEMOS / demo / "compose.yaml"
    compose = DockerComposeExecutor("docker compose", [str(file)], name)
    project = Project(demo, name, compose)
    try:
        project.compose(f"up --detach --no-build --quiet-pull {services}")
        yield project
    except BaseException as error:
        error.add_note(project.compose("ps --all") + project.compose("logs --tail 50"))
        raise
    finally:
        profile = "--profile observe " if services else ""
        project.compose(f"{profile}down -v --timeout 5")


def left_behind(project: str) -> Sequence[str]:
    """Return what of a project the Engine still has."""
    ours = shlex.quote(f"label={OURS}={project}")
    kinds = ("ps --all", "network ls", "volume ls")
    return [
        line for kind in kinds for line in docker(f"{kind} -q --filter {ours}").split()
    ]


def _container(details: Mapping[str, object]) -> Container:
    config = details["Config"]
    network = details["NetworkSettings"]
    assert isinstance(network, dict)
    assert isinstance(config, dict)
    return Container(
        service=config["Labels"]["com.docker.compose.service"],
        published=frozenset(
            binding["HostIp"]
            for bindings in network["Ports"].values()
            for binding in bindings or ()
        ),
        details=details,
    )
