"""The README's Kubernetes tutorial works when it is pasted as a whole.

On a real API server with real controllers and a real kubectl; the small kubelet of
these tests runs the Pods: two servers, three backends, a client and its Envoy. What the
tutorial does with images and with a cluster of its own is passed over.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.components import kubectl_binary
from tests.integration.envoy.world import until
from tests.integration.kubernetes.kubelet import Kubelet, run_kubelet
from tests.integration.kubernetes.loopback import pod_addresses
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from xds_server.api.algorithm import LoadBalancerType

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.kubernetes,
    pytest.mark.envoy,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

REPOSITORY: Final = Path(__file__).parents[3]
_, _, TUTORIAL = (
    (REPOSITORY / "README.md").read_text("utf-8").partition("## Kubernetes\n")
)
BLOCKS: Final = re.findall(
    r"^```\n(.*?)^```$", TUTORIAL.partition("\n## ")[0], re.MULTILINE | re.DOTALL
)
SCRIPT: Final = "".join(block for block in BLOCKS if not block.startswith("NAME "))
PODS: Final = 6
NAMESPACES: Final = ("xds-system", "xds-example")
ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1/validatingadmission"
LEFT: Final = (
    *(f"/api/v1/namespaces/{name}" for name in NAMESPACES),
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/xds-server",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/xds-server",
    f"{ADMISSION}policies/xds-server-annotation",
    f"{ADMISSION}policybindings/xds-server-annotation",
)
"""What the tutorial leaves in a cluster, but for the resource TrafficPolicy."""
ROW: Final = r"^([\w-]+) +\1 +\w+ +True +"
"""A policy that is accepted, as `kubectl get tp` shows it."""

PRELUDE: Final = r"""
set -euo pipefail
docker() { :; }
kind() { :; }
ask() { "$PYTHON" "$PODS"/client-*/programs/ask.py "$@"; }
kubectl() {
  if [ "$1" = exec ]; then
    while [ "$1" != python3 ]; do shift; done
    ask "${@:3}"
  else
    command kubectl "$@"
  fi
  # A Pod that is ready is an endpoint of the sidecar a moment later.
  if [[ "$*" == "rollout status -n xds-example"* ]]; then
    until [ "$(ask server 3 2>/dev/null | wc -l)" = 3 ]; do sleep 0.1; done
  fi
}
"""


@asynccontextmanager
async def cluster(namespace: Namespace, folder: Path) -> AsyncIterator[None]:
    """Run the tutorial's Pods, their files in *folder*; leave nothing behind."""
    client = namespace.client

    async def are_gone() -> bool:
        return not any([await client.exists(path) for path in LEFT])

    with pod_addresses(PODS) as addresses:
        kubelet = Kubelet(
            namespace=namespace,
            namespaces=NAMESPACES,
            addresses=iter(addresses),
            services={"xds-server.xds-system.svc": ("xds-system", "xds-server")},
            folder=folder,
        )
        async with run_kubelet(kubelet):
            try:
                yield
            finally:
                for path in LEFT:
                    if await client.exists(path):
                        await client.delete(path)
                await until(are_gone, FOLLOWING)


async def paste(script: str, namespace: Namespace, pods: Path) -> str:
    """Return what a shell prints that *script* was pasted into."""
    binary = kubectl_binary()
    assert binary is not None
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", PRELUDE + script),
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PATH": f"{binary.parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(namespace.kubeconfig),
            "KUBECACHEDIR": str(namespace.folder / "cache"),
            "PYTHON": sys.executable,
            "PODS": str(pods),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        printed, complaints = (text.decode() for text in await process.communicate())
    finally:
        with suppress(ProcessLookupError):  # what is left where it did not end
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, printed + complaints
    return printed


def answers(printed: str) -> list[tuple[int, str]]:
    """Return how often which Deployment's Pods answered."""
    found = re.findall(r"^ *(\d+) (server-\w+)-", printed, re.MULTILINE)
    return [(int(times), name) for times, name in found]


@pytest.mark.usefixtures("control_plane", "policy_crd")
async def test_the_tutorial_works_when_it_is_pasted(
    namespace: Namespace, tmp_path: Path
) -> None:
    (pods := tmp_path / "pods").mkdir()
    async with cluster(namespace, pods):
        printed = await paste(SCRIPT, namespace, pods)
    first, rest = answers(printed)[:3], answers(printed)[3:]

    assert [times for times, _ in first] == [30, 30, 30]
    assert rest == [(60, "server-large"), (20, "server-small"), (20, "server-small")]
    assert "/server condition met" in printed
    assert len(re.findall(ROW, printed, re.MULTILINE)) == len(LoadBalancerType) + 1
