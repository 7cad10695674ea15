"""What the endpoints of a real cluster mean: who they are, where, and for whom.

The real controller makes the EndpointSlices, out of Services, Pods and Nodes that a
test creates; what they mean is what the index of the server says.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest
import pytest_asyncio

from tests.integration.kubernetes.namespace import Namespace
from tests.integration.kubernetes.objects import REGION, node, pod, service
from tests.integration.kubernetes.test_source import Mesh, following
from tools.kubernetes.client import Json
from xds_server.mesh.model import (
    Discovery,
    Endpoint,
    Health,
    Locality,
    Upstream,
)

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

POLICIES: Final = "traffic.xds-server.dev/v1alpha1"
WEIGHT: Final = "traffic.xds-server.dev/weight"


class Cluster:
    """A namespace, and what the server makes of it; each test has Nodes of its own."""

    def __init__(self, namespace: Namespace, mesh: Mesh) -> None:
        self.namespace = namespace
        self.mesh = mesh

    def node(self, name: str) -> str:
        """Return what a Node is called in the cluster."""
        return f"{self.namespace.name}-{name}"

    async def add_nodes(self, **zones: str) -> None:
        """Create Nodes by name, in their zones of the region `north`."""
        for name, zone in zones.items():
            await self.namespace.create_node(
                node(self.node(name), zone=zone, region="north")
            )

    async def add_service(self, name: str = "web", **spec: object) -> None:
        """Create a Service of the port 80, with more of a *spec*."""
        await self.namespace.create_service(service(name, spec=spec))

    async def add_pod(
        self,
        name: str,
        *addresses: str,
        on: str = "n1",
        ready: bool = True,
        spec: Json | None = None,
        container: Json | None = None,
        annotations: dict[str, str] | None = None,
    ) -> None:
        """Create a Pod of `web` on a Node, and say that it runs."""
        document = pod(
            name,
            labels={"app": "web"},
            node=self.node(on),
            spec=spec,
            container=container,
            annotations=annotations,
        )
        await self.namespace.create_pod(document, addresses, ready=ready)

    def web(self) -> Upstream | None:
        """Return what the only port of the Service `web` is now."""
        found = self.mesh.service(self.namespace, "web")
        return found.upstreams[0] if found else None

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints of `web` now."""
        upstream = self.web()
        return upstream.endpoints if upstream else ()

    async def until_at(self, *addresses: str) -> tuple[Endpoint, ...]:
        """Return the endpoints of `web` once they are at *addresses*, `IP:PORT`."""

        def are_there() -> bool:
            found = [f"{each.address}:{each.port}" for each in self.endpoints()]
            return found == list(addresses)

        await self.mesh.until(are_there)
        return self.endpoints()

    async def until_health(self, *health: Health) -> None:
        """Return when the endpoints of `web` are in this *health*, by address."""
        await self.mesh.until(
            lambda: [each.health for each in self.endpoints()] == list(health)
        )


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(namespace: Namespace) -> AsyncIterator[Cluster]:
    """Return an empty namespace that the server follows."""
    async with following(namespace.kubeconfig, [namespace.name]) as mesh:
        yield Cluster(namespace, mesh)


async def test_endpoints_stand_where_their_nodes_do(cluster: Cluster) -> None:
    """The zone is in the slice, the region on the Node alone, and both are followed."""
    await cluster.add_nodes(n1="a", n2="b")
    await cluster.add_service()
    await cluster.add_pod("web-1", "10.1.0.1", on="n1")
    await cluster.add_pod("web-2", "10.1.0.2", on="n2")
    found = await cluster.until_at("10.1.0.1:8080", "10.1.0.2:8080")
    localities = {Locality(region="north", zone=zone) for zone in "ab"}
    await cluster.mesh.until(
        lambda: {each.locality for each in cluster.endpoints()} == localities
    )
    path = f"/api/v1/nodes/{cluster.node('n1')}"
    await cluster.namespace.client.patch(path, {"metadata": {"labels": {REGION: "s"}}})
    await cluster.mesh.until(
        lambda: cluster.endpoints()[0].locality == Locality(region="s", zone="a")
    )

    assert {each.near for each in found} == {()}, "nobody asked who is near"


@pytest.mark.parametrize("distribution", ["PreferSameZone", "PreferClose"])
async def test_the_same_zone_is_near_as_the_controller_hints(
    cluster: Cluster, distribution: str
) -> None:
    await cluster.add_nodes(n1="a", n2="b")
    await cluster.add_service(trafficDistribution=distribution)
    await cluster.add_pod("web-1", "10.1.0.1", on="n1")
    await cluster.add_pod("web-2", "10.1.0.2", on="n2")
    await cluster.mesh.until(
        lambda: [each.near for each in cluster.endpoints()] == [(("a",),), (("b",),)]
    )
    await cluster.namespace.until_endpoints(
        "web", lambda found: all(each.hints for each in found)
    )
    hinted = await cluster.namespace.endpoints("web")
    upstream = cluster.web()

    assert upstream is not None
    assert upstream.failover == ("Zone",)
    assert [
        [zone.name for zone in each.hints.for_zones] for each in hinted if each.hints
    ] == [["a"], ["b"]]


async def test_the_same_node_is_near_as_the_controller_hints(cluster: Cluster) -> None:
    await cluster.add_nodes(n1="a", n2="a")
    await cluster.add_service(trafficDistribution="PreferSameNode")
    await cluster.add_pod("web-1", "10.1.0.1", on="n1")
    await cluster.add_pod("web-2", "10.1.0.2", on="n2")
    nodes = [(cluster.node("n1"),), (cluster.node("n2"),)]
    await cluster.mesh.until(
        lambda: (
            [each.near[:1] for each in cluster.endpoints()]
            == [(each,) for each in nodes]
        )
    )
    await cluster.namespace.until_endpoints(
        "web", lambda found: all(each.hints for each in found)
    )
    hinted = await cluster.namespace.endpoints("web")
    upstream = cluster.web()

    assert upstream is not None
    assert upstream.failover == ("Node", "Zone")
    assert [
        tuple(each_node.name for each_node in each.hints.for_nodes)
        for each in hinted
        if each.hints
    ] == nodes


async def test_a_traffic_distribution_comes_and_goes(cluster: Cluster) -> None:
    await cluster.add_nodes(n1="a")
    await cluster.add_service()
    await cluster.add_pod("web-1", "10.1.0.1")
    await cluster.until_at("10.1.0.1:8080")
    path = cluster.namespace.path("services", "web")
    for written, near in (("PreferSameZone", (("a",),)), (None, ())):
        await cluster.namespace.client.patch(
            path, {"spec": {"trafficDistribution": written}}
        )

        def are_near(expected: Sequence[Sequence[str]] = near) -> bool:
            return [each.near for each in cluster.endpoints()] == [expected]

        await cluster.mesh.until(are_near)


async def test_a_named_port_is_what_each_pod_says(cluster: Cluster) -> None:
    """Pods of two versions serve it on two numbers, which makes two slices."""
    await cluster.add_nodes(n1="a")
    await cluster.namespace.create_service(service("web", target_port="serving"))
    for number, port in enumerate((8080, 9090), start=1):
        container = {"ports": [{"name": "serving", "containerPort": port}]}
        await cluster.add_pod(f"web-{number}", f"10.1.0.{number}", container=container)

    await cluster.until_at("10.1.0.1:8080", "10.1.0.2:9090")


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        (["IPv4", "IPv6"], "10.1.0.1:8080"),
        (["IPv6", "IPv4"], "fd00:1::1:8080"),
    ],
)
async def test_a_pod_of_two_families_is_one_endpoint(
    cluster: Cluster, families: list[str], expected: str
) -> None:
    """It is reached by the family of the Service's own address: the first."""
    await cluster.add_nodes(n1="a")
    await cluster.add_service(ipFamilyPolicy="RequireDualStack", ipFamilies=families)
    await cluster.add_pod("web-1", "10.1.0.1", "fd00:1::1")
    await cluster.namespace.until_endpoints("web", lambda found: len(found) == 2)

    await cluster.until_at(expected)


async def test_a_headless_service_has_its_pods(cluster: Cluster) -> None:
    await cluster.add_nodes(n1="a")
    await cluster.add_service(clusterIP="None")
    await cluster.add_pod("web-1", "10.1.0.1")
    await cluster.until_at("10.1.0.1:8080")
    upstream = cluster.web()

    assert upstream is not None
    assert upstream.discovery is Discovery.EDS


async def test_an_external_name_is_found_by_dns(cluster: Cluster) -> None:
    await cluster.add_service(type="ExternalName", externalName="db.example.com")
    await cluster.until_at("db.example.com:80")
    upstream = cluster.web()

    assert upstream is not None
    assert upstream.discovery is Discovery.DNS


async def test_an_address_in_several_slices_is_one_endpoint(cluster: Cluster) -> None:
    """Another controller may add slices; what it repeats is told, and not doubled."""
    await cluster.add_nodes(n1="a")
    await cluster.add_service()
    await cluster.add_pod("web-1", "10.1.0.1")
    await cluster.until_at("10.1.0.1:8080")
    labels = {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "tests",
    }
    await cluster.namespace.client.create(
        cluster.namespace.slices,
        {
            "metadata": {"name": "zzz", "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": ["10.1.0.1"]}, {"addresses": ["10.1.0.2"]}],
        },
    )
    await cluster.until_at("10.1.0.1:8080", "10.1.0.2:8080")

    assert any(
        "10.1.0.1 is there twice, the first wins" in each
        for each in cluster.mesh.problems
    )


async def test_addresses_that_are_not_ready_are_published_where_asked_for(
    cluster: Cluster,
) -> None:
    await cluster.add_nodes(n1="a")
    await cluster.add_service(publishNotReadyAddresses=True)
    await cluster.add_pod("web-1", "10.1.0.1", ready=False)
    await cluster.until_at("10.1.0.1:8080")
    await cluster.until_health(Health.HEALTHY)
    path = cluster.namespace.path("services", "web")
    change = {"spec": {"publishNotReadyAddresses": False}}
    await cluster.namespace.client.patch(path, change)

    await cluster.until_at()


async def test_a_pod_that_ends_drains_while_it_serves(cluster: Cluster) -> None:
    """Its kubelet lets it end for as long as its grace period, which is nobody here."""
    await cluster.add_nodes(n1="a")
    await cluster.add_service()
    await cluster.add_pod("web-1", "10.1.0.1")
    await cluster.add_pod(
        "web-2", "10.1.0.2", spec={"terminationGracePeriodSeconds": 600}
    )
    await cluster.until_at("10.1.0.1:8080", "10.1.0.2:8080")
    path = cluster.namespace.path("pods", "web-2")
    await cluster.namespace.client.delete(path)
    await cluster.until_health(Health.HEALTHY, Health.DRAINING)
    await cluster.namespace.set_pod("web-2", ["10.1.0.2"], ready=False)
    await cluster.until_at("10.1.0.1:8080")
    await cluster.namespace.client.call(
        "DELETE", path, query={"gracePeriodSeconds": "0"}
    )


@pytest.mark.usefixtures("policy_crd")
async def test_weights_follow_the_annotations_of_pods(cluster: Cluster) -> None:
    await cluster.add_nodes(n1="a")
    await cluster.add_service()
    await cluster.add_pod("web-1", "10.1.0.1", annotations={WEIGHT: "2"})
    await cluster.add_pod("web-2", "10.1.0.2")
    await cluster.namespace.client.create(
        cluster.namespace.path("trafficpolicies", group_version=POLICIES),
        {
            "apiVersion": POLICIES,
            "kind": "TrafficPolicy",
            "metadata": {"name": "web"},
            "spec": {
                "targetRefs": [{"kind": "Service", "name": "web"}],
                "loadBalancer": {
                    "type": "Weighted",
                    "weights": {"rules": [{"fromAnnotation": WEIGHT}], "default": 1},
                },
            },
        },
    )
    path = cluster.namespace.path("pods", "web-1")
    for weights in ([2, 1], [7, 1], [1, 1]):
        value = None if weights == [1, 1] else str(weights[0])
        change = {"metadata": {"annotations": {WEIGHT: value}}}
        await cluster.namespace.client.patch(path, change)

        def are_followed(expected: Sequence[int] = weights) -> bool:
            return [each.weight for each in cluster.endpoints()] == expected

        await cluster.mesh.until(are_followed)
