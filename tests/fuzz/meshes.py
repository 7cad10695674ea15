"""Random meshes: Services with endpoints and Pods, and the policies that are for them.

A namespace in, all that is in it out, as manifests. Nothing answers at the endpoints,
which are on loopback: what counts is what an Envoy says of its configuration.
"""

from typing import Final, NamedTuple

from hypothesis import strategies as st

from tests.fuzz.written import LABELS, Json, documents
from xds_server.api.weights import WEIGHT_ANNOTATION

ZONES: Final = ("a", "b")
_ADDRESSES: Final = {
    "IPv4": [f"127.0.0.{number}" for number in range(1, 7)],
    "IPv6": ["::1"],
    "FQDN": ["localhost", "localhost."],
}
_PORTS: Final = (
    {"name": "http", "port": 80},
    {"name": "grpc", "port": 81, "appProtocol": "kubernetes.io/h2c"},
    {"name": "db", "port": 5432},
)
_DISTRIBUTIONS: Final = ("PreferSameZone", "PreferSameNode")
_ANNOTATIONS: Final = ("ROUND_ROBIN", "RANDOM", "WEIGHTED", "LEAST_REQUEST", "IP_HASH")


class Mesh(NamedTuple):
    """What is in one namespace: `manifests`, of which so many are `policies`."""

    manifests: list[Json]
    policies: int


@st.composite
def meshes(draw: st.DrawFn, namespace: str) -> Mesh:
    """Return a Service `web` of *namespace*, and up to four policies for it."""
    ports = draw(st.lists(st.sampled_from(_PORTS), min_size=1, unique_by=id))
    policies = draw(_policies(namespace, [str(port["name"]) for port in ports]))
    manifests = [
        draw(_service(namespace, list(ports))),
        *draw(_pods(namespace)),
        draw(_slice(namespace, list(ports))),
        *policies,
    ]
    return Mesh(manifests, len(policies))


@st.composite
def _service(draw: st.DrawFn, namespace: str, ports: list[Json]) -> Json:
    metadata: Json = {"namespace": namespace, "name": "web"}
    annotation = draw(st.none() | st.sampled_from(_ANNOTATIONS))
    if annotation is not None:
        metadata["annotations"] = {"traffic.xds-server.dev/load-balancer": annotation}
    spec: Json = {"ports": ports}
    distribution = draw(st.none() | st.sampled_from(_DISTRIBUTIONS))
    if distribution is not None:
        spec["trafficDistribution"] = distribution
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


@st.composite
def _pods(draw: st.DrawFn, namespace: str) -> list[Json]:
    labels = st.fixed_dictionaries(
        {}, optional={key: st.sampled_from(values) for key, values in LABELS.items()}
    )
    weights = st.none() | st.sampled_from(["0", "1", "7", "1000000", "much"])
    found: list[Json] = []
    for number in range(3):
        metadata: Json = {
            "namespace": namespace,
            "name": f"web-{number}",
            "labels": draw(labels),
        }
        weight = draw(weights)
        if weight is not None:
            metadata["annotations"] = {WEIGHT_ANNOTATION: weight}
        found.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
    return found


@st.composite
def _slice(draw: st.DrawFn, namespace: str, ports: list[Json]) -> Json:
    kind = draw(st.sampled_from(["IPv4", "IPv4", "IPv6", "FQDN"]))
    addresses = draw(
        st.lists(st.sampled_from(_ADDRESSES[kind]), unique=True, max_size=6)
    )
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": "web-1",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": kind,
        "ports": [
            {"name": port["name"], "port": 9 + number}
            for number, port in enumerate(ports)
        ],
        "endpoints": [draw(_endpoint(namespace, address)) for address in addresses],
    }


@st.composite
def _endpoint(draw: st.DrawFn, namespace: str, address: str) -> Json:
    found: Json = {
        "addresses": [address],
        "conditions": draw(
            st.sampled_from([{}, {}, {"ready": False, "serving": True}])
            | st.just({"ready": False, "serving": True, "terminating": True})
        ),
    }
    zone = draw(st.none() | st.sampled_from(ZONES))
    if zone is not None:
        found["zone"] = zone
        found["nodeName"] = f"node-{zone}"
    pod = draw(st.none() | st.integers(0, 2))
    if pod is not None:
        reference = {"kind": "Pod", "namespace": namespace, "name": f"web-{pod}"}
        found["targetRef"] = reference
    return found


@st.composite
def _policies(draw: st.DrawFn, namespace: str, ports: list[str]) -> list[Json]:
    """Return policies of different levels, some of them for the same target."""
    service: Json = {"kind": "Service", "name": "web"}
    targets: st.SearchStrategy[Json] = st.sampled_from(
        [
            service,
            service,
            {"kind": "Namespace", "name": namespace},
            *({**service, "sectionName": port} for port in ports),
        ]
    )
    chosen = draw(st.lists(targets, min_size=1, max_size=4))
    return [
        draw(documents(target, namespace, f"p{number}"))
        for number, target in enumerate(chosen)
    ]
