"""Services, EndpointSlices and Pods as manifests say them, and what is none."""

import pytest

from xds_server.api.decode import decode
from xds_server.api.kubernetes import EndpointSlice, Hint, Node, Pod, Service
from xds_server.api.problem import ObjectKey, Severity, report

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: web
  annotations:
    a: b
spec:
  ports:
  - {name: http, port: 80}
"""
SLICE = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.1]}]
"""


def said(text: str) -> str:
    return report(decode(text.encode(), source="x.yaml").problems)


def service(text: str) -> Service:
    (document,) = decode(text.encode(), source="x.yaml").documents
    assert isinstance(document.body, Service)
    return document.body


def endpoint_slice(text: str) -> EndpointSlice:
    (document,) = decode(text.encode(), source="x.yaml").documents
    assert isinstance(document.body, EndpointSlice)
    return document.body


def test_a_service_is_read_with_the_defaults_of_kubernetes() -> None:
    found = service(SERVICE)

    assert (found.metadata.namespace, found.metadata.name) == ("default", "web")
    assert found.spec.type == "ClusterIP"
    assert [(port.name, port.port, port.protocol) for port in found.spec.ports] == [
        ("http", 80, "TCP")
    ]


def test_null_means_absent() -> None:
    """Controllers write `ports: null` and `endpoints: null` into empty slices."""
    found = endpoint_slice(
        SLICE.replace("[{name: http, port: 8080}]", "null").replace(
            "[{addresses: [10.0.0.1]}]", ""
        )
    )

    assert (found.ports, found.endpoints) == ((), ())
    assert said(SERVICE.replace("name: web", "name: null")) == (
        "x.yaml:4:9: metadata.name: required\n1 error in 1 file"
    )


def test_a_pod_is_read_for_its_labels_annotations_and_requests() -> None:
    text = (
        "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {b: c}}, spec: "
        "{containers: [{image: x, resources: {requests: {cpu: 1, memory: 1Gi}}}]}}"
    )
    (document,) = decode(text.encode(), source="x.yaml").documents

    assert document.key == ObjectKey("Pod", "default", "a")
    assert isinstance(document.body, Pod)
    assert document.body.metadata.labels == {"b": "c"}
    assert document.body.spec.containers[0].resources.requests == {
        "cpu": 1,
        "memory": "1Gi",
    }


PORT = "must be a port between 1 and 65535 (got {})\n1 error in 1 file"
LABEL = "must be a DNS label: lower-case letters, digits and -, at most 63"
WRONG_SERVICES = {
    ("port: 80", "port: 0"): ("x.yaml:9:24: spec.ports[0].port: " + PORT.format(0)),
    ("port: 80", "port: 70000"): (
        "x.yaml:9:24: spec.ports[0].port: " + PORT.format(70000)
    ),
    ("port: 80", "port: 80, targetPort: -1"): (
        "x.yaml:9:40: spec.ports[0].targetPort: " + PORT.format(-1)
    ),
    ("port: 80", "port: '80'"): (
        'x.yaml:9:24: spec.ports[0].port: must be an integer (got "80")\n'
        "1 error in 1 file"
    ),
    ("port: 80", "port: true"): (
        "x.yaml:9:24: spec.ports[0].port: must be an integer (got true)\n"
        "1 error in 1 file"
    ),
    (", port: 80", ""): ("x.yaml:9:5: spec.ports[0].port: required\n1 error in 1 file"),
    ("port: 80", "port: 80, targetPort: []"): (
        "x.yaml:9:40: spec.ports[0].targetPort: must be an integer or a string "
        "(got a list)\n1 error in 1 file"
    ),
    ("port: 80", "port: 80, protocol: tcp"): (
        'x.yaml:9:38: spec.ports[0].protocol: unknown value "tcp" '
        "(allowed: TCP, UDP, SCTP)\n  hint: did you mean TCP?\n1 error in 1 file"
    ),
    ("name: http", "name: Http"): (
        f'x.yaml:9:12: spec.ports[0].name: {LABEL} (got "Http")\n1 error in 1 file'
    ),
    ("port: 80}", "port: 80}\n  - {name: http, port: 81}"): (
        "x.yaml:10:12: spec.ports[1].name: must be unique among the ports "
        '(got "http" again)\n  hint: name every port\n1 error in 1 file'
    ),
    ("spec:", "spec:\n  type: Clusterip"): (
        'x.yaml:8:9: spec.type: unknown value "Clusterip" (allowed: ClusterIP, '
        "NodePort, LoadBalancer, ExternalName)\n  hint: did you mean ClusterIP?\n"
        "1 error in 1 file"
    ),
    ("spec:", "spec:\n  type: ExternalName"): (
        "x.yaml:7:1: spec.externalName: required when type is ExternalName\n"
        "1 error in 1 file"
    ),
    ("spec:", "spec:\n  type: ExternalName\n  externalName: a_b.example"): (
        "x.yaml:9:17: spec.externalName: must be a DNS name: lower-case letters, "
        'digits, - and ., at most 253 (got "a_b.example")\n1 error in 1 file'
    ),
    ("name: web", "name: Web"): (
        f'x.yaml:4:9: metadata.name: {LABEL} (got "Web")\n1 error in 1 file'
    ),
    ("name: web", "name: my.svc"): (
        f'x.yaml:4:9: metadata.name: {LABEL} (got "my.svc")\n1 error in 1 file'
    ),
    ("name: web", "name: web\n  namespace: a.b"): (
        f'x.yaml:5:14: metadata.namespace: {LABEL} (got "a.b")\n1 error in 1 file'
    ),
    ("a: b", "a: 1"): (
        "x.yaml:6:8: metadata.annotations.a: must be a string (got 1)\n"
        "  hint: quote it to make it a string\n1 error in 1 file"
    ),
    ("a: b", "traffic.xds-server.dev/load-balancer: RINGHASHH"): (
        "x.yaml:6:43: metadata.annotations[traffic.xds-server.dev/load-balancer]: "
        'unknown value "RINGHASHH" (allowed: RoundRobin, Random, Weighted, '
        "LeastRequest, RingHash, Maglev, IPHash, PerformanceBased)\n"
        "  hint: did you mean RingHash?\n1 error in 1 file"
    ),
    ("a: b", "traffic.xds-server.dev/listen-port: '0'"): (
        "x.yaml:6:41: metadata.annotations[traffic.xds-server.dev/listen-port]: "
        + PORT.format('"0"')
    ),
    ("a: b", "traffic.xds-server.dev/listen-port: a=1,b=65536"): (
        "x.yaml:6:41: metadata.annotations[traffic.xds-server.dev/listen-port]: "
        + PORT.format('"a=1,b=65536"')
    ),
}


@pytest.mark.parametrize(("change", "expected"), WRONG_SERVICES.items())
def test_a_service_that_is_wrong_is_refused(
    change: tuple[str, str], expected: str
) -> None:
    """The whole text of the error, and the Service is named as rejected."""
    decoded = decode(SERVICE.replace(*change).encode(), source="x.yaml")

    assert report(decoded.problems) == expected
    assert decoded.documents == ()
    assert [key.kind for key in decoded.rejected] == ["Service"]


@pytest.mark.parametrize(
    "annotation",
    [
        "traffic.xds-server.dev/load-balancer: CLIENT_SIDE_WEIGHTED_ROUND_ROBIN",
        "traffic.xds-server.dev/listen-port: '9000'",
        "traffic.xds-server.dev/listen-port: db=9000,cache=9001",
    ],
)
def test_annotations_that_we_read_are_fine(annotation: str) -> None:
    decoded = decode(SERVICE.replace("a: b", annotation).encode(), source="x.yaml")

    assert decoded.problems == ()


def test_a_mistyped_annotation_of_ours_is_worth_a_warning() -> None:
    text = SERVICE.replace("a: b", "traffic.xds-server.dev/listen-prot: '9000'")

    assert said(text) == (
        "x.yaml:6:5: warning: metadata.annotations[traffic.xds-server.dev/listen-prot]:"
        " unknown annotation: it has no effect on a Service\n"
        "  hint: did you mean traffic.xds-server.dev/listen-port?\n"
        "0 errors in 0 files"
    )
    assert service(text).metadata.name == "web"


@pytest.mark.parametrize(
    ("family", "written", "canonical"),
    [
        ("IPv4", "10.0.0.1", "10.0.0.1"),
        ("IPv4", "127.0.0.7", "127.0.0.7"),
        ("IPv6", "'2001:DB8::0:1'", "2001:db8::1"),
        ("IPv6", "'::1'", "::1"),
        ("FQDN", "DB.Example.COM.", "db.example.com"),
    ],
)
def test_addresses_become_canonical(family: str, written: str, canonical: str) -> None:
    text = SLICE.replace("IPv4", family).replace("10.0.0.1", written)

    assert endpoint_slice(text).endpoints[0].addresses == (canonical,)


IPV4 = "four decimal numbers without leading zeros, such as 10.0.0.1"
IPV6 = "no brackets, no zone, no IPv4, such as 2001:db8::1"


UNSPECIFIED = "0.0.0.0"  # noqa: S104 - refused here
NO_IPV4 = "010.0.0.1 127.1.1 10.0.0.256 224.0.0.1 255.255.255.255 ::1 web 10.0.0.1:80"
NO_IPV6 = "[::1] fe80::1%eth0 :: ff02::1 10.0.0.1 1::2::3"


@pytest.mark.parametrize(
    ("family", "address", "hint"),
    [
        *(("IPv4", one, IPV4) for one in [*NO_IPV4.split(), UNSPECIFIED, "", "\\0"]),
        *(("IPv6", one, IPV6) for one in NO_IPV6.split()),
    ],
)
def test_addresses_that_no_server_has_are_refused(
    family: str, address: str, hint: str
) -> None:
    """Envoy would refuse them, or worse, read them as something else."""
    text = SLICE.replace("IPv4", family).replace("10.0.0.1", f'"{address}"')
    shown = address.replace("\\0", "\\u0000")

    assert said(text) == (
        f"x.yaml:6:26: endpoints[0].addresses[0]: must be an {family} address of a "
        f'server (got "{shown}")\n  hint: {hint}\n1 error in 1 file'
    )


def test_a_name_that_is_an_address_is_no_name() -> None:
    assert said(SLICE.replace("IPv4", "FQDN")) == (
        "x.yaml:6:26: endpoints[0].addresses[0]: must be a DNS name: lower-case "
        'letters, digits, - and ., at most 253 (got "10.0.0.1")\n1 error in 1 file'
    )


WRONG_SLICES = {
    ("IPv4", "ipv4"): (
        'x.yaml:4:14: addressType: unknown value "ipv4" (allowed: IPv4, IPv6, FQDN)\n'
        "  hint: did you mean IPv4?"
    ),
    ("addressType: IPv4\n", ""): "x.yaml:1:1: addressType: required",
    ("8080", "65536"): (
        "x.yaml:5:28: ports[0].port: must be a port between 1 and 65535 (got 65536)"
    ),
    ("[10.0.0.1]", "[]"): (
        "x.yaml:6:25: endpoints[0].addresses: must have at least one address"
    ),
    ("[10.0.0.1]", "10.0.0.1"): (
        'x.yaml:6:25: endpoints[0].addresses: must be a list (got "10.0.0.1")'
    ),
    ("[10.0.0.1]", "[10.0.0.1], conditions: {ready: maybe}"): (
        "x.yaml:6:57: endpoints[0].conditions.ready: must be true or false "
        '(got "maybe")'
    ),
    ("[{addresses: [10.0.0.1]}]", "{}"): (
        "x.yaml:6:12: endpoints: must be a list (got a mapping)"
    ),
}


@pytest.mark.parametrize(("change", "expected"), WRONG_SLICES.items())
def test_a_slice_that_is_wrong_is_refused(
    change: tuple[str, str], expected: str
) -> None:
    errors = said(SLICE.replace(*change)).splitlines()

    assert expected.splitlines() == errors[: len(expected.splitlines())]


def test_a_slice_of_no_service_is_kept_with_a_warning() -> None:
    text = SLICE.replace(", labels: {kubernetes.io/service-name: web}", "")
    decoded = decode(text.encode(), source="x.yaml")

    assert [one.severity for one in decoded.problems] == [Severity.WARNING]
    assert decoded.problems[0].hint == "add kubernetes.io/service-name: NAME"
    assert len(decoded.documents) == 1


def test_everything_of_the_wrong_type_is_told_at_once() -> None:
    text = (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: 5, labels: [a]}\naddressType: 4\nendpoints: [1, {}]\n"
    )

    assert said(text) == (
        "x.yaml:3:18: metadata.name: must be a string (got 5)\n"
        "  hint: quote it to make it a string\n"
        "x.yaml:3:29: metadata.labels: must be a mapping (got a list)\n"
        "x.yaml:4:14: addressType: must be a string (got 4)\n"
        "  hint: quote it to make it a string\n"
        "x.yaml:5:13: endpoints[0]: must be a mapping (got 1)\n"
        "x.yaml:5:16: endpoints[1].addresses: required\n"
        "5 errors in 1 file"
    )


def test_of_a_node_only_its_place_is_kept() -> None:
    """The rest of it changes all the time, and means nothing here."""
    text = """\
apiVersion: v1
kind: Node
metadata:
  name: n1
  annotations: {heartbeat: "12:00"}
  labels:
    kubernetes.io/hostname: n1
    topology.kubernetes.io/region: north
    topology.kubernetes.io/zone: north-a
status: {images: []}
"""
    (document,) = decode(text.encode(), source="x.yaml").documents

    assert document.key == ObjectKey("Node", "default", "n1")
    assert isinstance(document.body, Node)
    assert document.body.metadata.annotations == {}
    assert document.body.metadata.labels == {
        "topology.kubernetes.io/region": "north",
        "topology.kubernetes.io/zone": "north-a",
    }


def test_hints_say_whose_clients_an_endpoint_is_for() -> None:
    found = endpoint_slice(
        SLICE.replace(
            "{addresses: [10.0.0.1]}",
            "{addresses: [10.0.0.1], hints: {forZones: [{name: a}]}}",
        )
    )
    hints = found.endpoints[0].hints

    assert hints is not None
    assert (hints.for_zones, hints.for_nodes) == ((Hint(name="a"),), ())


def test_a_traffic_distribution_of_a_later_kubernetes_is_no_error() -> None:
    """The Service is served, and nobody's endpoints are preferred."""
    text = SERVICE + "  trafficDistribution: PreferSameRack\n"

    assert service(text).spec.traffic_distribution == "PreferSameRack"
    assert said(text).startswith(
        "x.yaml:10:24: warning: spec.trafficDistribution: unknown value "
        '"PreferSameRack" (allowed: PreferSameZone, PreferSameNode, PreferClose)'
    )
