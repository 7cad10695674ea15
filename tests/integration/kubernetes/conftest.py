"""A Kubernetes API server for the tests of this folder: our own, or one that is named.

Our own is started once a run. `XDS_TEST_KUBECONFIG` names the kubeconfig of another
cluster; tests that kill its programs are skipped then.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.components import KUBECONFIG
from tests.integration.kubernetes.custom_resource import (
    CustomResource,
    installed_policy_crd,
)
from tests.integration.kubernetes.namespace import Namespace, open_namespace
from tools.kubernetes.build import find_programs
from tools.kubernetes.client import Client, connect
from tools.kubernetes.control_plane import ControlPlane, run_control_plane


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def own_control_plane(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[ControlPlane | None]:
    """Run the control plane of this run; None when another cluster is named."""
    if KUBECONFIG in os.environ:
        yield None
        return
    programs = find_programs()
    assert programs is not None, "tests.components skips the tests without programs"
    folder = tmp_path_factory.mktemp("control-plane")
    async with run_control_plane(programs, folder) as control_plane:
        yield control_plane


@pytest_asyncio.fixture(loop_scope="session")
async def control_plane(
    own_control_plane: ControlPlane | None,
) -> AsyncIterator[ControlPlane]:
    """Return the programs, to kill and pause; all run again after the test."""
    if own_control_plane is None:
        pytest.skip(f"the programs of {KUBECONFIG} are not ours to kill")
    yield own_control_plane
    await own_control_plane.restore()


@pytest.fixture(scope="session")
def kubeconfig(own_control_plane: ControlPlane | None) -> Path:
    """Return the kubeconfig of an administrator."""
    if own_control_plane is None:
        return Path(os.environ[KUBECONFIG])
    return own_control_plane.kubeconfig


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def policy_crd(kubeconfig: Path) -> AsyncIterator[CustomResource]:
    """Let the API server know TrafficPolicies, for the rest of the run."""
    async with connect(kubeconfig) as client, installed_policy_crd(client) as crd:
        yield crd


@pytest_asyncio.fixture(loop_scope="session")
async def client(kubeconfig: Path) -> AsyncIterator[Client]:
    """Return a client with an administrator's rights."""
    async with connect(kubeconfig) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(
    client: Client, kubeconfig: Path, tmp_path: Path
) -> AsyncIterator[Namespace]:
    """Return a namespace that no other test sees."""
    async with open_namespace(client, kubeconfig, tmp_path) as namespace:
        yield namespace
