"""One Service, resolved from its documents."""

from tests.mesh.documents import HTTP, TCP, endpoint, pod, policy, service, slice_of
from xds_server.api.document import Document
from xds_server.api.kubernetes import ServicePort, ServiceSpec
from xds_server.api.policy import LoadBalancer, LoadBalancerType, WeightRule, Weights
from xds_server.api.problem import ObjectKey
from xds_server.mesh.event import Applied
from xds_server.mesh.index import Index
from xds_server.mesh.model import (
    Discovery,
    Endpoint,
    Health,
    Locality,
    Port,
    Protocol,
    Service,
    Upstream,
)

LISTEN = "traffic.xds-server.dev/listen-port"
BALANCE = "traffic.xds-server.dev/load-balancer"


def index_of(*documents: Document) -> Index:
    index = Index()
    index.apply([Applied(document=document) for document in documents])
    return index


def service_in(index: Index, name: str = "web") -> Service:
    return index.services["shop", name]


def messages(index: Index) -> list[str]:
    return [problem.message for problem in index.problems]


def test_a_service_joins_its_ports_and_endpoints() -> None:
    index = index_of(service(), slice_of([endpoint("10.0.0.1", zone="a")]))

    assert service_in(index) == Service(
        namespace="shop",
        name="web",
        upstreams=(
            Upstream(
                namespace="shop",
                service="web",
                port=Port(number=80, name="http", protocol=Protocol.HTTP1),
                discovery=Discovery.EDS,
                load_balancer=LoadBalancer(),
                endpoints=(
                    Endpoint(
                        address="10.0.0.1", port=8080, locality=Locality(zone="a")
                    ),
                ),
            ),
        ),
    )
    assert index.problems == ()


def test_a_service_without_slices_has_no_endpoints() -> None:
    (upstream,) = service_in(index_of(service())).upstreams

    assert upstream.endpoints == ()
    assert upstream.discovery is Discovery.EDS


def test_external_name_is_one_dns_endpoint_a_port() -> None:
    spec = ServiceSpec(
        type="ExternalName",
        external_name="API.Example.",
        ports=(HTTP, ServicePort(port=443, name="https", target_port=8443)),
    )

    first, second = service_in(index_of(service(spec=spec))).upstreams

    assert first.discovery is second.discovery is Discovery.DNS
    assert first.endpoints == (Endpoint(address="api.example", port=80),)
    assert second.endpoints == (Endpoint(address="api.example", port=443),)


def test_a_service_without_ports_is_worth_a_warning() -> None:
    """Kubernetes asks no ExternalName for ports, but an Envoy needs them."""
    spec = ServiceSpec(type="ExternalName", external_name="api.example")
    index = index_of(service(spec=spec))
    (problem,) = index.problems

    assert service_in(index).upstreams == ()
    assert str(problem) == (
        "test.yaml:1:3: warning: spec.ports: a Service without ports has no cluster: "
        "no Envoy can reach it\n  hint: add a port, such as {name: http, port: 80}"
    )


def test_a_headless_service_has_the_endpoints_of_its_slices() -> None:
    spec = ServiceSpec(cluster_ip="None", ports=(HTTP,))

    (upstream,) = service_in(
        index_of(service(spec=spec), slice_of(["10.0.0.1"]))
    ).upstreams

    assert upstream.endpoints == (Endpoint(address="10.0.0.1", port=8080),)


def test_weight_0_drains_and_leaves_the_common_divisor_of_the_others() -> None:
    """Envoy refuses a weight of 0, and counts a missing one as 1."""
    rules = (WeightRule(from_label="weight"),)
    weighted = LoadBalancer(
        type=LoadBalancerType.WEIGHTED, weights=Weights(rules=rules)
    )
    names = {"p1": "0", "p2": "40", "p3": "60"}
    index = index_of(
        service(),
        slice_of(
            [
                endpoint("10.0.0.1", pod="p1"),
                endpoint("10.0.0.2", pod="p2"),
                endpoint("10.0.0.3", pod="p3"),
            ]
        ),
        *(pod(name, labels={"weight": weight}) for name, weight in names.items()),
        policy(load_balancer=weighted),
    )

    (upstream,) = service_in(index).upstreams

    assert [(each.weight, each.health) for each in upstream.endpoints] == [
        (40, Health.DRAINING),
        (40, Health.HEALTHY),
        (60, Health.HEALTHY),
    ]


def test_an_annotation_picks_an_algorithm_with_its_defaults() -> None:
    (upstream,) = service_in(
        index_of(service(annotations={BALANCE: "RING_HASH"}))
    ).upstreams

    assert upstream.load_balancer.type is LoadBalancerType.RING_HASH
    assert upstream.load_balancer.hash_on[0].source_ip is not None
    assert upstream.policies == (ObjectKey("Service", "shop", "web"),)


def test_a_policy_beats_the_annotation() -> None:
    index = index_of(
        service(annotations={BALANCE: "RANDOM"}),
        policy(load_balancer=LoadBalancer(type=LoadBalancerType.LEAST_REQUEST)),
    )

    (upstream,) = service_in(index).upstreams

    assert upstream.load_balancer.type is LoadBalancerType.LEAST_REQUEST
    assert upstream.policies == (ObjectKey("TrafficPolicy", "shop", "policy"),)


def test_warnings_about_an_annotation_stand_at_it() -> None:
    index = index_of(service(annotations={BALANCE: "IP_HASH"}))

    assert [problem.path for problem in index.problems] == [
        f"metadata.annotations[{BALANCE}]"
    ]


def test_one_number_is_the_listen_port_of_the_only_tcp_port() -> None:
    index = index_of(service(ports=[HTTP, TCP], annotations={LISTEN: "15432"}))

    http, postgres = service_in(index).upstreams

    assert http.port.listen_port is None
    assert postgres.port.listen_port == 15432


def test_several_listen_ports_are_given_by_the_ports_names() -> None:
    ports = [TCP, ServicePort(port=6379)]
    asked = {LISTEN: "postgres=15432, 6379=16379"}

    index = index_of(service(ports=ports, annotations=asked))

    assert [each.port.listen_port for each in service_in(index).upstreams] == [
        15432,
        16379,
    ]


def test_a_listen_port_needs_a_tcp_port() -> None:
    index = index_of(service(annotations={LISTEN: "15432"}))

    assert service_in(index).upstreams[0].port.listen_port is None
    assert messages(index) == [
        "must be PORT=NUMBER for a TCP port of the Service (got '15432')"
    ]
    assert index.problems[0].path == f"metadata.annotations[{LISTEN}]"


def test_a_listen_port_asked_for_twice_in_a_service_is_given_once() -> None:
    ports = [TCP, ServicePort(port=6379, name="redis")]
    asked = {LISTEN: "postgres=15432,redis=15432,mysql=1"}

    index = index_of(service(ports=ports, annotations=asked))

    assert [each.port.listen_port for each in service_in(index).upstreams] == [
        15432,
        None,
    ]
    assert messages(index) == [
        "no TCP port is named 'mysql'",
        "port 'redis' or listen port 15432 is there twice",
    ]


def test_of_two_services_the_first_by_name_gets_a_listen_port() -> None:
    asked = {LISTEN: "15432"}
    index = index_of(
        service("b", ports=[TCP], annotations=asked),
        service("a", ports=[TCP], annotations=asked),
    )

    assert service_in(index, "a").upstreams[0].port.listen_port == 15432
    assert service_in(index, "b").upstreams[0].port.listen_port is None
    assert messages(index) == ["listen port 15432 belongs to Service shop/a"]


def test_no_service_gets_the_port_of_the_http_listener() -> None:
    index = index_of(service(ports=[TCP], annotations={LISTEN: "15001"}))

    assert service_in(index).upstreams[0].port.listen_port is None
    (problem,) = index.problems
    assert str(problem) == (
        f"test.yaml:1:4: metadata.annotations[{LISTEN}]: listen port 15001 belongs to "
        "the HTTP listener\n  hint: choose another port"
    )


def test_a_listen_port_is_handed_on_when_its_service_lets_go() -> None:
    asked = {LISTEN: "15432"}
    index = index_of(
        service("a", ports=[TCP], annotations=asked),
        service("b", ports=[TCP], annotations=asked),
    )

    changes = index.apply([Applied(document=service("a", ports=[TCP]))])

    assert changes.services == {("shop", "a"), ("shop", "b")}
    assert service_in(index, "b").upstreams[0].port.listen_port == 15432
    assert index.problems == ()


def test_a_slice_of_a_missing_service_is_a_warning() -> None:
    index = index_of(slice_of(["10.0.0.1"], service="wbe"))

    assert messages(index) == ["there is no Service shop/wbe"]
    assert index.problems[0].path == "metadata.labels[kubernetes.io/service-name]"


def test_a_port_that_says_nothing_of_itself_is_a_warning() -> None:
    """Somebody forgot to name it http: as TCP without a listener it is unreachable."""
    silent = service(ports=[ServicePort(port=80)])
    listening = service("api", ports=[ServicePort(port=80)], annotations={LISTEN: "1"})
    index = index_of(silent, listening, service("db", ports=[TCP]))

    assert [problem.object_key for problem in index.problems] == [silent.key]
    assert index.problems[0].path == "spec.ports[0]"
    assert "neither a name nor an appProtocol" in index.problems[0].message


def test_a_policy_for_a_service_without_tcp_ports_is_a_warning() -> None:
    udp = ServicePort(port=53, name="dns", protocol="UDP")
    index = index_of(service(ports=[udp]), policy())

    assert "Service shop/web has no TCP port: the policy has no effect on it" in (
        messages(index)
    )
