"""What sections say of the ports and endpoints that they are for."""

from collections.abc import Sequence

import pytest

from tests.mesh.documents import HTTP, TCP, policy, service, slice_of
from tests.mesh.test_attachment import accepted, condition, errors, index_of, key
from tests.translate.mesh_input import Spec, sections
from xds_server.api.kubernetes import ServicePort
from xds_server.api.policy import Connection, EnvoyPatch, SpokenProtocol
from xds_server.mesh.event import Applied
from xds_server.mesh.index import Index
from xds_server.mesh.misfit import Misfit
from xds_server.mesh.model import Protocol, Role, Section, Sections, Upstream
from xds_server.mesh.proxyless import UNHEEDED, tell
from xds_server.mesh.status import ConditionType


def index_with(
    spec: Spec,
    *,
    ports: list[ServicePort] | None = None,
    endpoints: int = 3,
    target: str = "web",
) -> Index:
    """Return a mesh of one Service, and one policy `p` for it with sections."""
    read = sections(spec)
    given = {
        each.name.lower(): getattr(read, each.name.lower()) for each in read.present
    }
    return index_of(
        service(ports=ports or [HTTP]),
        slice_of([f"10.0.0.{number}" for number in range(1, endpoints + 1)]),
        policy("p", targets=[target], **given),
    )


def in_force(index: Index) -> dict[int, Sections]:
    upstreams = index.services["shop", "web"].upstreams
    return {each.port.number: each.sections for each in upstreams}


def warnings(index: Index) -> str:
    found = condition(index.statuses[key("p")], ConditionType.WARNINGS)
    return found.message if found else ""


def test_every_section_but_the_algorithm_is_a_field_of_its_name() -> None:
    names = {each.name.lower() for each in Section} - {"load_balancer"}

    assert names == set(Sections.__dataclass_fields__)


def test_grpc_clients_are_told_of_every_section_that_they_do_not_heed() -> None:
    """What is not in a cluster they may heed: overload is in an assignment."""
    heeded = {Section.LOAD_BALANCER, Section.LOCALITY, Section.OVERLOAD}

    assert set(UNHEEDED) == set(Section) - heeded


OVERRIDE: Spec = {"overrideHost": {"header": {"name": "x-endpoint"}}}
SESSION: Spec = {"session": {"type": "Cookie", "cookie": {"name": "sid"}}}
FEW = "nothing is ejected: one of 3 endpoints is more than 33 %"


@pytest.mark.parametrize(
    ("detection", "endpoints", "said"),
    [
        ({"alwaysEjectOne": False, "maxEjectionPercent": 33}, 3, FEW),
        ({"alwaysEjectOne": False, "maxEjectionPercent": 34}, 3, ""),
        ({"alwaysEjectOne": False, "maxEjectionPercent": 10}, 10, ""),
        ({"maxEjectionPercent": 0}, 3, ""),
        ({"successRate": {}}, 4, "there are 4 endpoints (got 5)"),
        ({"successRate": {}}, 5, ""),
        (
            {"successRate": {"minimumHosts": 3}},
            4,
            "of 4 endpoints none can be so far from the mean (got 1.9)",
        ),
        ({"successRate": {"minimumHosts": 3, "stdevFactor": 1.4}}, 3, ""),
        ({"failurePercentage": {"minimumHosts": 4}}, 3, "there are 3 endpoints"),
        ({"failurePercentage": {"minimumHosts": 3}}, 3, ""),
        ({"failurePercentage": {}}, 0, "has no ready endpoint"),
    ],
)
def test_a_detector_that_can_eject_nothing_is_told(
    detection: Spec, endpoints: int, said: str
) -> None:
    """It is in force all the same: endpoints may come."""
    index = index_with({"outlierDetection": detection}, endpoints=endpoints)

    assert said in warnings(index)
    assert bool(said) is bool(warnings(index))
    assert in_force(index)[80] == sections({"outlierDetection": detection})
    assert accepted(index, "p").status


FARTHER = (
    "they use farther endpoints when no nearer one is left, and not before "
    "(locality.failover.overprovisioningPercent)"
)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"outlierDetection": {}}, "they take no endpoints out (outlierDetection)"),
        ({"panicThreshold": 0}, "health always counts for them (panicThreshold)"),
        (
            {"circuitBreaker": {}},
            "their limit stays at 1024 requests (circuitBreaker)",
        ),
        ({"connection": {}}, "their connections are their own (connection)"),
        (
            {"locality": {"type": "Failover"}},
            FARTHER,
        ),
        (
            {"locality": {"type": "LoadAware"}},
            "all endpoints are alike to them, wherever these are (locality)",
        ),
        (
            {"locality": {"type": "ZoneAware"}},
            "all endpoints are alike to them, wherever these are (locality)",
        ),
        (SESSION, "they keep no sessions (session)"),
        ({"rateLimit": {"requests": 5}}, "they send as much as they like (rateLimit)"),
        ({"admissionControl": {}}, "they refuse no requests (admissionControl)"),
        (
            {"adaptiveConcurrency": {}},
            "their limit does not adapt (adaptiveConcurrency)",
        ),
        (OVERRIDE, "their callers choose no endpoint (overrideHost)"),
        (
            {"envoyPatch": {"cluster": {"connect_timeout": "3s"}}},
            "they are sent nothing of an Envoy's (envoyPatch)",
        ),
        (
            {"tls": {"mode": "Disable"}},
            "they encrypt as their channel's credentials say (tls)",
        ),
        ({"retry": {}}, "they send again only what no server has seen (retry)"),
        (
            {"staleEndpoints": {"after": "1m"}},
            "their endpoints do not go stale (staleEndpoints)",
        ),
    ],
)
def test_grpc_clients_are_said_not_to_have_a_section(spec: Spec, said: str) -> None:
    index = index_with(spec)
    told = condition(
        tell(index.statuses[key("p")], index.services), ConditionType.WARNINGS
    )

    assert told is not None
    assert told.message.rpartition("gRPC clients: ")[2] == said


MAX_DURATION = "connection.maxConnectionDuration"
MAX_REQUESTS = "connection.maxRequestsPerConnection"
ALONE = [
    ({"circuitBreaker": {"maxRequests": 5}}, "circuitBreaker.maxRequests"),
    ({"circuitBreaker": {"maxRetries": 5}}, "circuitBreaker.maxRetries"),
    ({"circuitBreaker": {"retryBudget": {}}}, "circuitBreaker.retryBudget"),
    ({"retry": {}}, "retry"),
    ({"locality": {"type": "LoadAware"}}, "locality.type"),
    ({"connection": {"protocol": "HTTP2"}}, "connection.protocol"),
    ({"connection": {"idleTimeout": "1s"}}, "connection.idleTimeout"),
    ({"connection": {"maxConnectionDuration": "1s"}}, MAX_DURATION),
    ({"connection": {"maxRequestsPerConnection": 1}}, MAX_REQUESTS),
    ({"connection": {"protocol": "Same"}}, "connection.protocol"),
    (SESSION, "session"),
    ({"rateLimit": {"requests": 5}}, "rateLimit"),
    ({"admissionControl": {}}, "admissionControl"),
    ({"adaptiveConcurrency": {}}, "adaptiveConcurrency"),
    (OVERRIDE, "overrideHost.header"),
    ({"overload": {"dropPercent": 5}}, "overload"),
]
"""What a TCP port has no use for, and where that is written."""


@pytest.mark.parametrize(("spec", "place"), ALONE)
@pytest.mark.parametrize("target", ["web", "web:postgres"])
def test_what_tcp_does_not_know_is_an_error_where_the_port_is_meant(
    spec: Spec, place: str, target: str
) -> None:
    index = index_with(spec, ports=[TCP], target=target)

    assert [each.split(": ")[1] for each in errors(index)] == [f"spec.{place}"]
    assert not accepted(index, "p").status
    assert in_force(index) == {5432: Sections()}


@pytest.mark.parametrize(("spec", "place"), ALONE)
def test_what_tcp_does_not_know_is_a_warning_where_another_port_is_meant(
    spec: Spec, place: str
) -> None:
    index = index_with(spec, ports=[HTTP, TCP])

    assert f"spec.{place}: " in "".join(map(str, index.problems))
    assert "port postgres is TCP" in warnings(index)
    assert accepted(index, "p").status
    assert in_force(index)[80] == sections(spec)


def test_limits_of_connections_are_for_tcp_too() -> None:
    limits = {"maxConnections": 1, "maxPendingRequests": 1}
    spec: Spec = {"circuitBreaker": {**limits, "perEndpoint": {"maxConnections": 1}}}
    index = index_with(spec, ports=[TCP])

    assert in_force(index) == {5432: sections(spec)}
    assert accepted(index, "p").status


def test_a_port_of_tcp_does_without_a_retry_policy() -> None:
    index = index_with({"retry": {}}, ports=[HTTP, TCP])

    assert in_force(index) == {80: sections({"retry": {}}), 5432: Sections()}


def test_timeouts_and_probes_of_connections_are_for_tcp_too() -> None:
    spec: Spec = {"connection": {"connectTimeout": "1s", "tcpKeepalive": {}}}
    index = index_with(spec, ports=[TCP])

    assert in_force(index) == {5432: sections(spec)}
    assert accepted(index, "p").status


@pytest.mark.parametrize("ports", [[HTTP], [TCP]])
def test_who_is_announced_behind_a_sidecar_is_told(ports: list[ServicePort]) -> None:
    """Of a policy for any port; it is in force all the same: gateways have a use."""
    spec: Spec = {"connection": {"proxyProtocol": "V1"}}
    index = index_with(spec, ports=ports)
    (told,) = [each for each in index.problems if "sidecar" in each.message]

    assert told.path == "spec.connection.proxyProtocol"
    assert told.role is Role.SIDECAR
    assert list(in_force(index).values()) == [sections(spec)]
    assert accepted(index, "p").status


@pytest.mark.parametrize(
    ("connection", "fits"),
    [
        ({}, False),
        ({"protocol": "HTTP1"}, False),
        ({"protocol": "HTTP2"}, True),
        ({"protocol": "Same"}, True),
    ],
)
def test_settings_of_http2_are_for_where_it_is_spoken(
    connection: Spec, *, fits: bool
) -> None:
    index = index_with({"connection": {**connection, "http2": {}}})

    assert accepted(index, "p").status is fits
    if not fits:
        assert [each.split(": ")[1] for each in errors(index)] == [
            "spec.connection.http2"
        ]


def test_what_the_endpoints_are_spoken_with_is_what_health_checks_go_by() -> None:
    """A gRPC check needs HTTP/2."""
    spec: Spec = {"connection": {"protocol": "HTTP2"}, "healthCheck": {"type": "GRPC"}}
    index = index_with(spec)
    (web,) = index.services["shop", "web"].upstreams

    assert accepted(index, "p").status
    assert web.sections == sections(spec)
    assert web.port.protocol is Protocol.HTTP2


OPEN = "any caller can send to any endpoint, whatever its weight and health"


@pytest.mark.parametrize("target", ["web", "web:http", "*"])
@pytest.mark.parametrize("clients", [None, {"tier": "test"}])
def test_that_any_caller_may_choose_an_endpoint_is_told(
    target: str, clients: dict[str, str] | None
) -> None:
    """Of a policy for a whole Namespace, too: it is so at every Service."""
    override = sections(OVERRIDE).override_host
    assert override is not None
    index = index_of(
        service(),
        slice_of(["10.0.0.1"]),
        policy("p", targets=[target], override_host=override, clients=clients),
    )

    assert accepted(index, "p").status
    assert (OPEN in warnings(index)) is (clients is None)


@pytest.mark.parametrize(
    "spec", [{"overload": {"dropPercent": 5}}, {"staleEndpoints": {"after": "1m"}}]
)
@pytest.mark.parametrize("names", [["a.example", "b.example"], []])
def test_what_travels_with_endpoints_is_not_for_names(
    spec: Spec, names: list[str]
) -> None:
    """Nor for those that may come."""
    read = sections(spec)
    (section,) = read.present
    index = index_of(
        service(),
        slice_of(names, address_type="FQDN"),
        policy("p", **{section.field: getattr(read, section.field)}),
    )

    assert [each.split(": ")[1] for each in errors(index)] == [f"spec.{section}"]
    assert "the endpoints are names" in errors(index)[0]
    assert in_force(index) == {80: Sections()}


def test_endpoints_of_tcp_go_stale_too() -> None:
    index = index_with({"staleEndpoints": {"after": "1m"}}, ports=[TCP])

    assert accepted(index, "p").status
    assert in_force(index) == {5432: sections({"staleEndpoints": {"after": "1m"}})}


ENCRYPTED: Spec = {"mode": "Simple", "insecureSkipVerify": True}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({}, False),
        ({"tls": {"mode": "Disable"}}, False),
        ({"tls": ENCRYPTED}, True),
    ],
)
def test_the_best_protocol_is_found_in_a_handshake_alone(
    spec: Spec, *, fits: bool
) -> None:
    """Whoever's word the encryption is."""
    read = sections(spec)
    index = index_of(
        service(),
        slice_of(["10.0.0.1"]),
        policy("p", connection=Connection(protocol=SpokenProtocol.AUTO)),
        *([policy("q", tls=read.tls)] if read.tls else ()),
    )
    found = in_force(index)[80].connection

    assert accepted(index, "p").status is fits
    assert (found is not None) is fits
    if not fits:
        assert "Auto needs TLS" in errors(index)[0]


def test_tcp_is_encrypted_too() -> None:
    index = index_with({"tls": ENCRYPTED}, ports=[TCP])

    assert in_force(index) == {5432: sections({"tls": ENCRYPTED})}
    assert accepted(index, "p").status


def test_a_patch_is_tried_out_with_all_that_goes_with_it() -> None:
    """Whoever knows Envoy is asked once for each port, and its word is told there."""
    patch = EnvoyPatch(cluster='{"a": 1}')
    asked: list[Upstream] = []

    def refuse(upstream: Upstream) -> Sequence[Misfit]:
        asked.append(upstream)
        return [Misfit(path=("cluster", "a"), message="no")]

    index = Index(try_out=refuse)
    index.apply(
        Applied(document=each)
        for each in (
            service(ports=[HTTP]),
            slice_of(["10.0.0.1"]),
            policy("p", envoy_patch=patch, panic_threshold=30.0),
        )
    )

    assert [each.split(": ")[1:] for each in errors(index)] == [
        ["spec.envoyPatch.cluster.a", "no"]
    ]
    assert in_force(index) == {80: Sections(panic_threshold=30.0)}
    assert [each.sections for each in asked] == [
        Sections(panic_threshold=30.0, envoy_patch=patch)
    ]
    assert asked[0].endpoints[0].address == "10.0.0.1"
