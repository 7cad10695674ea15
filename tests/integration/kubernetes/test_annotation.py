"""An API server warns of the annotations that `check` refuses, and of no others."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from tests.deploy.kustomization import KUBERNETES, build
from tests.integration.envoy.world import until
from tests.integration.kubernetes.namespace import FOLLOWING, Namespace
from tests.integration.kubernetes.objects import service
from tests.integration.kubernetes.test_manifests import path_in
from xds_server.api.algorithm import LoadBalancerType
from xds_server.api.kubernetes_rule import LOAD_BALANCER
from xds_server.api.policy import parse_load_balancer_type
from xds_server.api.problem import Fault

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

GOOD: Final = (
    *LoadBalancerType,
    *(each.name for each in LoadBalancerType),
    "round-robin",
    "LEAST_CONN",
    "WeightedLeastRequest",
    "WEIGHTED_ROUND_ROBIN",
    "consistentHash",
    "source_ip",
    "CLIENT_SIDE_WEIGHTED_ROUND_ROBIN",
)
KINDS: Final = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
BAD: Final = ("RoundRobbin", "", " Random", "PASSTHROUGH", "Subset", "ClusterProvided")


async def warnings_of(namespace: Namespace, text: str) -> list[str]:
    """Return what the API server says to a Service that is annotated with *text*."""
    document = service("web", annotations={LOAD_BALANCER: text})
    return await namespace.client.apply(
        namespace.path("services", "web"), document, dry_run=True
    )


@pytest_asyncio.fixture(loop_scope="session")
async def looked_at(namespace: Namespace) -> AsyncIterator[Namespace]:
    """Let the API server look at annotations; it is left as it was."""
    found = [each for each in build(KUBERNETES) if each["kind"] in KINDS]
    paths = {path_in(namespace, each): each for each in found}
    ours = [path for path in paths if not await namespace.client.exists(path)]
    for path, document in paths.items():
        await namespace.client.apply(path, document, dry_run=False)

    async def looks() -> bool:
        return bool(await warnings_of(namespace, "nonsense"))

    await until(looks, FOLLOWING)
    yield namespace
    for path in ours:
        await namespace.client.delete(path)


async def test_it_warns_of_what_check_refuses(looked_at: Namespace) -> None:
    for text in (*GOOD, *BAD):
        is_fine = not isinstance(parse_load_balancer_type(text), Fault)
        warnings = await warnings_of(looked_at, text)

        assert is_fine is (text in GOOD), text
        assert (warnings == []) is is_fine, text
        assert all(
            f'unknown value "{text}"' in each.replace("\\", "") for each in warnings
        )


async def test_it_says_what_is_allowed(looked_at: Namespace) -> None:
    (warning,) = await warnings_of(looked_at, "RoundRobbin")

    assert f"(allowed: {', '.join(LoadBalancerType)})" in warning


async def test_it_lets_all_other_services_be(looked_at: Namespace) -> None:
    path = looked_at.path("services", "web")

    assert await looked_at.client.apply(path, service("web"), dry_run=True) == []
