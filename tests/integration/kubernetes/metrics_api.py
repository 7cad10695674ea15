"""A metrics API without metrics-server: its objects are stored, and a test writes them.

In: a client with an administrator's rights. Out: `metrics.k8s.io` as a real API server
serves it, by a CustomResourceDefinition of the same group, version and names; what its
PodMetrics say, again and again, as if somebody measured.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import pytest
from kubernetes.aio.client.exceptions import ApiException

from tests.integration.envoy.world import until
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from tools.kubernetes.client import Client, Json

API_VERSION: Final = "metrics.k8s.io/v1beta1"
_GROUP, _VERSION = API_VERSION.split("/")
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_STARTING: Final = (404, 429, 503)
_DEFINITION: Final = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": f"pods.{_GROUP}",
        "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
    },
    "spec": {
        "group": _GROUP,
        "scope": "Namespaced",
        "names": {"plural": "pods", "kind": "PodMetrics"},
        "versions": [
            {
                "name": _VERSION,
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}
_WINDOW: Final = "1s"
_EVERY: Final = 1.0
"""Seconds between two measurements of the tests."""


async def is_served(client: Client) -> bool:
    """Whether the API server has PodMetrics."""
    try:
        await client.get(f"/apis/{API_VERSION}/pods")
    except ApiException as error:
        if error.status not in _STARTING:
            raise
        return False
    return True


async def without_metrics_api(client: Client) -> None:
    """Skip the test where a metrics-server runs; else wait until there is no API."""
    if await client.exists(f"/apis/apiregistration.k8s.io/v1/apiservices/{_NAME}"):
        found = await client.get(f"/apis/apiregistration.k8s.io/v1/apiservices/{_NAME}")
        if b'"service":{' in found:
            pytest.skip("this cluster has a metrics-server")

    async def is_gone() -> bool:
        return not await is_served(client)

    await until(is_gone, FOLLOWING)


_NAME: Final = f"{_VERSION}.{_GROUP}"


@asynccontextmanager
async def metrics_api(client: Client) -> AsyncIterator[None]:
    """Let the API server have PodMetrics inside the block."""
    await client.create(_DEFINITIONS, _DEFINITION)
    try:
        await until(lambda: is_served(client), FOLLOWING)
        yield
    finally:
        await client.delete(f"{_DEFINITIONS}/pods.{_GROUP}")


@asynccontextmanager
async def measuring(
    namespace: Namespace, usages: Mapping[str, str]
) -> AsyncIterator[None]:
    """Say inside the block what Pods use now, by their names in *usages*.

    What is in *usages* may be changed meanwhile.
    """

    async def measure() -> None:
        while True:
            for name, cpu in tuple(usages.items()):
                path = namespace.path("pods", name, API_VERSION)
                await namespace.client.apply(path, _metrics(name, cpu), dry_run=False)
            await asyncio.sleep(_EVERY)  # as metrics-server does, which waits 15 s

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(measure())
        yield
        task.cancel()


def _metrics(name: str, cpu: str) -> Json:
    """Return the PodMetrics of a Pod of one container, measured now."""
    return {
        "apiVersion": API_VERSION,
        "kind": "PodMetrics",
        "metadata": {"name": name},
        "timestamp": datetime.now(UTC).isoformat(),
        "window": _WINDOW,
        "containers": [{"name": "main", "usage": {"cpu": cpu, "memory": "16Mi"}}],
    }
