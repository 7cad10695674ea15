"""The lab's copy says the same as the documents, but for where endpoints are."""

from pathlib import Path

import pytest

from xds_server.api.policy import LoadBalancerType
from xds_server.lab.scenario import Scenario
from xds_server.mesh.event import Applied
from xds_server.mesh.index import Index
from xds_server.mesh.model import Discovery, Protocol, Upstream
from xds_server.sources.files import load

CART = """
apiVersion: v1
kind: Service
metadata:
  namespace: shop
  name: cart
  annotations: {traffic.xds-server.dev/listen-port: "16379"}
spec:
  ports:
    - {name: grpc, port: 80}
    - {name: redis, port: 6379}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: cart-1, labels: {kubernetes.io/service-name: cart}}
addressType: IPv6
ports:
  - {name: grpc, port: 8080}
  - {name: redis}
endpoints:
  - addresses: ["fd00::1"]
  - addresses: ["fd00:0::2"]
    targetRef: {kind: Pod, name: cart-2, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: cart-2, labels: {size: large}}
"""
POLICY = """
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: shop, name: cart}
spec:
  targetRefs: [{kind: Service, name: cart}]
  loadBalancer:
    type: Weighted
    weights:
      rules:
        - {addresses: ["fd00::1"], weight: 5}
        - {matchLabels: {size: large}, weight: 3}
"""
ELSEWHERE = """
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: bank}
spec: {type: ExternalName, externalName: bank.example, ports: [{port: 80, name: http}]}
"""

Upstreams = dict[tuple[str, int], Upstream]


def read(*paths: Path) -> tuple[Index, Scenario, Upstreams]:
    """Return what the files mean, and a scenario of their documents."""
    events = load(paths)
    index = Index()
    index.apply(events)
    documents = [event.document for event in events if isinstance(event, Applied)]
    upstreams = {
        (service.name, upstream.port.number): upstream
        for service in index.services.values()
        for upstream in service.upstreams
    }
    (copies := paths[0].parent / "copies").mkdir(exist_ok=True)
    return index, Scenario(documents, copies), upstreams


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file with all documents."""
    file = tmp_path / "all.yaml"
    file.write_text(f"{CART}---{POLICY}---{ELSEWHERE}", "utf-8")
    return file


def copied(scenario: Scenario, directory: Path) -> Upstreams:
    """Return what a server makes of the scenario's files."""
    scenario.write()
    index, _, upstreams = read(*directory.glob("copies/*.yaml"))
    assert index.problems == ()
    return upstreams


def test_endpoints_are_where_the_scenario_says(written: Path) -> None:
    _, scenario, originals = read(written)
    copies = copied(scenario, written.parent)

    assert copies.keys() == originals.keys()
    for key, original in originals.items():
        expected = {
            scenario.stand_in(("shop", key[0]), endpoint)
            for endpoint in original.endpoints
        }
        assert {(e.address, e.port) for e in copies[key].endpoints} == expected


def test_weights_are_the_same(written: Path) -> None:
    """Rules by address and rules by Pod still match."""
    _, scenario, originals = read(written)
    copies = copied(scenario, written.parent)

    for key in (("cart", 80), ("cart", 6379)):
        assert copies[key].load_balancer.type is LoadBalancerType.WEIGHTED
        assert [e.weight for e in originals[key].endpoints] == [5, 3]
        assert sorted(e.weight or 0 for e in copies[key].endpoints) == [3, 5]


def test_names_for_dns_become_addresses(written: Path) -> None:
    _, scenario, originals = read(written)
    copies = copied(scenario, written.parent)

    assert originals["bank", 80].discovery is Discovery.DNS
    assert copies["bank", 80].discovery is Discovery.EDS


def test_backends_need_no_http_2(written: Path) -> None:
    _, scenario, originals = read(written)
    copies = copied(scenario, written.parent)

    assert originals["cart", 80].port.protocol is Protocol.HTTP2
    assert copies["cart", 80].port.protocol is Protocol.HTTP1


def test_tcp_ports_listen_on_free_ports(written: Path) -> None:
    """Two runs at a time must not want the same port."""
    _, scenario, _ = read(written)
    copies = copied(scenario, written.parent)
    listen_port = copies["cart", 6379].port.listen_port

    assert listen_port == scenario.listen_port(("shop", "cart"), 6379)
    assert listen_port != 16379


def test_endpoints_can_be_left_out(written: Path) -> None:
    _, scenario, originals = read(written)
    scenario.write()
    name = ("shop", "cart")
    first = scenario.stand_in(name, originals["cart", 80].endpoints[0])
    scenario.write_service(name, [first])
    _, _, copies = read(*written.parent.glob("copies/*.yaml"))

    assert [(e.address, e.port) for e in copies["cart", 80].endpoints] == [first]


def test_every_endpoint_has_a_loopback_address_of_its_own(written: Path) -> None:
    _, scenario, originals = read(written)
    places = [
        scenario.stand_in(("shop", key[0]), endpoint)
        for key, upstream in originals.items()
        for endpoint in upstream.endpoints
    ]

    assert len(set(places)) == len(places)
    assert all(place.ip.startswith("127.") for place in places)
