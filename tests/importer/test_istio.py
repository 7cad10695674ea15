"""What DestinationRules mean, beyond the names of their fields."""

import pytest

from tests.importer.foreign import foreign, istio, messages, rule, specs, traffic
from xds_server.api.manifest import Value
from xds_server.api.problem import Severity
from xds_server.importer.source import mapping

RANDOM: dict[str, Value] = {"trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}


def target(host: str, namespace: str = "shop") -> tuple[Value, Value]:
    """Where the policy of a rule for a host is, and for what."""
    imported = istio(rule({"host": host, **RANDOM}, namespace=namespace))
    ((policy, _),) = imported.policies
    return mapping(policy["metadata"])["namespace"], mapping(policy["spec"])[
        "targetRefs"
    ]


@pytest.mark.parametrize(
    ("host", "namespace", "kind", "name"),
    [
        ("cart", "shop", "Service", "cart"),
        ("index.search.svc.cluster.local", "search", "Service", "index"),
        ("*.search.svc.cluster.local", "search", "Namespace", "search"),
        ("*.local", "shop", "Namespace", "shop"),
    ],
)
def test_a_host_is_a_service_or_a_namespace(
    host: str, namespace: str, kind: str, name: str
) -> None:
    assert target(host) == (namespace, [{"kind": kind, "name": name}])


@pytest.mark.parametrize("host", ["*", "*.local", "*.svc.cluster.local"])
def test_a_rule_of_the_root_namespace_is_for_the_mesh(host: str) -> None:
    expected = [{"kind": "Namespace", "name": "xds-system"}]

    assert target(host, "istio-system") == ("xds-system", expected)


@pytest.mark.parametrize("host", ["example.com", "*.foo.com", "cart.shop", "a.b.c", 5])
def test_hosts_that_are_no_services_make_no_policy(host: Value) -> None:
    imported = istio(rule({"host": host, **RANDOM}))

    assert imported.policies == []
    assert [one.path for one in imported.problems] == ["spec"]


def test_a_rule_for_some_clients_alone_is_told() -> None:
    host = "cart.shop.svc.cluster.local"
    imported = istio(rule({"host": host, "exportTo": ["."], **RANDOM}, namespace="web"))

    assert [one.path for one in imported.problems] == ["spec.host", "spec.exportTo"]
    assert not imported.is_whole
    assert istio(rule({"host": host, "exportTo": ["*"], **RANDOM})).is_whole
    assert istio(rule({"host": host, **RANDOM}, namespace="istio-system")).is_whole


def test_a_rule_that_says_how_traffic_is_handled_has_istios_defaults() -> None:
    pool: Value = {"tcp": {"connectTimeout": "1s"}, "http": {"maxRetries": 2}}

    assert specs(istio(traffic({"connectionPool": pool}))) == [
        {
            "loadBalancer": {"type": "LeastRequest"},
            "circuitBreaker": {
                "maxConnections": 4294967295,
                "maxPendingRequests": 4294967295,
                "maxRequests": 4294967295,
                "maxRetries": 2,
            },
            "connection": {"connectTimeout": "1s"},
        }
    ]


@pytest.mark.parametrize(
    ("pool", "connection", "limits"),
    [
        (
            {"http": {"idleTimeout": "1h"}},
            {"connectTimeout": "10s", "idleTimeout": "1h"},
            ["maxConnections", "maxPendingRequests", "maxRequests", "maxRetries"],
        ),
        (
            {"tcp": {"connectTimeout": "1s"}},
            {"connectTimeout": "1s"},
            ["maxConnections", "maxPendingRequests"],
        ),
    ],
)
def test_a_pool_without_limits_has_those_of_istio(
    pool: Value, connection: Value, limits: list[str]
) -> None:
    assert specs(istio(traffic({"connectionPool": pool}))) == [
        {
            "loadBalancer": {"type": "LeastRequest"},
            "circuitBreaker": dict.fromkeys(limits, 4294967295),
            "connection": connection,
        }
    ]


@pytest.mark.parametrize(
    ("written", "version"),
    [({}, "V1"), ({"version": "V1"}, "V1"), ({"version": "V2"}, "V2")],
)
def test_the_clients_address_is_told_to_endpoints(written: Value, version: str) -> None:
    """A header without a version is of the first: that is protobuf's zero."""
    assert specs(istio(traffic({"proxyProtocol": written}))) == [
        {"connection": {"proxyProtocol": version}}
    ]
    assert not istio(traffic({"proxyProtocol": {"version": "V3"}})).is_whole


def test_a_rule_that_says_nothing_of_that_makes_no_policy() -> None:
    mutual: dict[str, Value] = {"tls": {"mode": "ISTIO_MUTUAL"}}

    silent = istio(rule({}))

    assert specs(istio(traffic(mutual))) == specs(silent) == []
    assert messages(silent) == []


def test_a_rule_for_the_certificates_of_the_mesh_is_carried_over_without() -> None:
    """Without a rule Istio encrypts with them as well, and nobody has them here."""
    imported = istio(
        traffic({"loadBalancer": {"simple": "RANDOM"}, "tls": {"mode": "ISTIO_MUTUAL"}})
    )

    assert specs(imported) == [{"loadBalancer": {"type": "Random"}}]
    assert any("requests are not encrypted" in each for each in messages(imported))


SKIP: dict[str, Value] = {"insecureSkipVerify": True}
CA: dict[str, Value] = {"caCertificates": "/etc/ca.pem"}
FROM_SECRET: dict[str, Value] = {"credentialName": "shop-ca"}
NAMES: dict[str, Value] = {"sni": "db.example", "subjectAltNames": ["db.example"]}


@pytest.mark.parametrize(
    ("tls", "here"),
    [
        ({"mode": "DISABLE", **NAMES}, {"mode": "Disable"}),
        (
            {"mode": "SIMPLE", **NAMES},
            {
                "mode": "Simple",
                **NAMES,
                "ca": {"file": "/etc/ssl/certs/ca-certificates.crt"},
            },
        ),
        (
            {"mode": "SIMPLE", **NAMES, **CA},
            {"mode": "Simple", **NAMES, "ca": {"file": "/etc/ca.pem"}},
        ),
        (
            {"mode": "SIMPLE", **NAMES, **CA, **SKIP},
            {"mode": "Simple", "sni": "db.example", **SKIP},
        ),
        ({"mode": "SIMPLE", **SKIP, **FROM_SECRET}, {"mode": "Simple", **SKIP}),
        ({"mode": "SIMPLE", **NAMES, **FROM_SECRET}, None),
        ({"mode": "ISTIO_MUTUAL", **NAMES}, None),
    ],
)
def test_tls_trusts_nobody_whom_istio_would_not(
    tls: dict[str, Value], here: Value
) -> None:
    imported = istio(traffic({"tls": tls}))

    assert [spec.get("tls") for spec in specs(imported)] == [here] * bool(here)


ELSEWHERE: dict[str, Value] = {
    "mode": "MUTUAL",
    "clientCertificate": "/etc/a/cert.pem",
    "privateKey": "/etc/b/key.pem",
    "sni": "db.example",
    **CA,
}


@pytest.mark.parametrize(
    ("tls", "field"),
    [
        (ELSEWHERE, ".privateKey"),
        ({**ELSEWHERE, "sni": 5, "caCrl": "/etc/crl.pem"}, ".privateKey"),
        ({"mode": "SIMPLE", **FROM_SECRET}, ".credentialName"),
        ({"mode": "SIMPEL"}, ".mode"),
        ("SIMPLE", ""),
    ],
)
@pytest.mark.parametrize("is_of_port", [False, True])
def test_nothing_comes_of_a_rule_whose_encryption_would_be_lost(
    tls: Value, field: str, *, is_of_port: bool
) -> None:
    policy: dict[str, Value] = {"loadBalancer": {"simple": "RANDOM"}}
    path = "spec.trafficPolicy"
    if is_of_port:
        policy["portLevelSettings"] = [{"port": {"number": 80}, "tls": tls}]
        path = f"{path}.portLevelSettings[0]"
    else:
        policy["tls"] = tls
    imported = istio(traffic(policy))
    (problem,) = imported.problems

    assert imported.policies == []
    assert problem.path == f"{path}.tls{field}"
    assert problem.severity is Severity.ERROR
    assert problem.message.endswith(
        "; requests would not be encrypted, so nothing of the rule is"
    )


def test_encryption_of_a_port_of_all_services_is_not_lost_for_the_rest() -> None:
    port: Value = {"port": {"number": 80}, "tls": {"mode": "SIMPLE"}}
    policy: Value = {"loadBalancer": {"simple": "RANDOM"}, "portLevelSettings": [port]}
    imported = istio(rule({"host": "*.local", "trafficPolicy": policy}))

    assert imported.policies == []
    assert len(imported.problems) == 1


def test_a_name_that_istio_does_not_check_is_told() -> None:
    checked: dict[str, Value] = {"mode": "SIMPLE", "sni": "db.example", **CA}

    assert messages(istio(traffic({"tls": {**checked, **NAMES}}))) == []
    assert [
        message.partition(":")[0]
        for message in messages(istio(traffic({"tls": checked})))
    ] == ["spec.trafficPolicy.tls.sni"]


def test_outlier_detection_has_no_panic_and_ejects_no_more_than_it_says() -> None:
    (spec,) = specs(istio(traffic({"outlierDetection": {}})))

    assert spec["outlierDetection"] == {"alwaysEjectOne": False}
    assert spec["panicThreshold"] == 0


@pytest.mark.parametrize(
    ("written", "section"),
    [
        ({"consecutive5xxErrors": 0}, None),
        (
            {"consecutive5xxErrors": 0, "consecutiveGatewayErrors": 3},
            {"consecutive5xx": 0, "consecutiveGatewayErrors": 3},
        ),
        ({"consecutiveGatewayErrors": 5}, {}),
        ({"consecutiveGatewayErrors": 4}, {"consecutiveGatewayErrors": 4}),
        ({"consecutiveLocalOriginFailures": 4}, {}),
        (
            {
                "consecutiveLocalOriginFailures": 4,
                "splitExternalLocalOriginErrors": True,
            },
            {"consecutiveLocalErrors": 4},
        ),
        ({"splitExternalLocalOriginErrors": True}, {"consecutiveLocalErrors": 5}),
        ({"maxEjectionPercent": 0, "consecutiveGatewayErrors": 0}, {}),
    ],
)
def test_detectors_that_have_no_effect_are_left_out(
    written: dict[str, Value], section: dict[str, Value] | None
) -> None:
    imported = istio(traffic({"outlierDetection": written}))
    (spec,) = specs(imported)
    held = None if section is None else {**section, "alwaysEjectOne": False}

    assert imported.is_whole
    assert spec.get("outlierDetection") == held


def test_settings_of_a_port_inherit_nothing() -> None:
    """What is not said of it is by default there, so the policy says that."""
    whole: dict[str, Value] = {
        "connectionPool": {"tcp": {"maxConnections": 7, "connectTimeout": "1s"}},
        "outlierDetection": {"consecutive5xxErrors": 3},
    }
    port: Value = {"port": {"number": 80}, "loadBalancer": {"simple": "ROUND_ROBIN"}}
    imported = istio(traffic({**whole, "portLevelSettings": [port]}))
    _, spec = specs(imported)
    limits = {"maxConnections": 4294967295, "maxPendingRequests": 4294967295}

    assert (
        spec["loadBalancer"],
        spec["outlierDetection"],
        spec["panicThreshold"],
        spec["circuitBreaker"],
        spec["connection"],
    ) == (
        {"type": "RoundRobin"},
        {"consecutive5xx": 4294967295},
        50,
        limits,
        {"connectTimeout": "10s"},
    )


def test_a_rule_takes_the_place_of_broader_ones() -> None:
    """Policies share sections level by level, rules of Istio do not."""
    pool: Value = {"connectionPool": {"http": {"maxRetries": 1}}}
    mesh = rule({"host": "*.local", "trafficPolicy": pool}, namespace="istio-system")
    subsets: Value = [{"name": "v1"}]
    silent = rule({"host": "other", "subsets": subsets}, name="silent")
    imported = istio(rule(RANDOM), silent, mesh)
    first, second = specs(imported)

    assert first["circuitBreaker"] != second["circuitBreaker"]
    assert second == {
        "loadBalancer": {"type": "Random"},
        "circuitBreaker": dict.fromkeys(
            ["maxConnections", "maxPendingRequests", "maxRequests", "maxRetries"],
            4294967295,
        ),
    }
    assert messages(imported)[-1] == (
        "spec: in Istio the rule takes the place of broader ones; here their "
        "circuitBreaker, loadBalancer holds"
    )


@pytest.mark.parametrize(
    ("ports", "section", "is_told"),
    [
        (None, "80", True),
        ([{"name": "http", "port": 80}], "http", False),
        ([{"port": 80}], "80", False),
        ([{"name": "http", "port": 81}], "80", True),
    ],
)
def test_a_port_is_called_by_its_name_where_the_service_is_there(
    ports: Value, section: str, *, is_told: bool
) -> None:
    setting: Value = {"port": {"number": 80}, "loadBalancer": {"simple": "RANDOM"}}
    of_port = traffic({"portLevelSettings": [setting]})
    services = [] if ports is None else [foreign("Service", {"ports": ports})]
    imported = istio(of_port, *services)
    ((policy, _),) = imported.policies

    target = {"kind": "Service", "name": "cart", "sectionName": section}
    assert mapping(policy["spec"])["targetRefs"] == [target]
    assert bool(imported.problems) == is_told


def test_what_is_out_of_range_is_told_and_the_rest_carried_over() -> None:
    pool: Value = {"tcp": {"maxConnections": -3, "connectTimeout": "0s"}}
    imported = istio(traffic({"connectionPool": pool}))

    assert specs(imported) == [
        {
            "loadBalancer": {"type": "LeastRequest"},
            "circuitBreaker": {"maxPendingRequests": 4294967295},
        }
    ]
    assert messages(imported)[1:] == [
        (
            "spec.trafficPolicy.connectionPool.tcp.maxConnections: not carried over: "
            "spec.circuitBreaker.maxConnections must be an integer between 1 and "
            "4294967295 (got -3)"
        ),
        (
            "spec.trafficPolicy.connectionPool.tcp.connectTimeout: not carried over: "
            "spec.connection.connectTimeout must be a duration between 1ms and 87600h "
            '(got "0s")'
        ),
    ]


def test_of_two_policies_that_would_have_one_name_the_second_gets_another() -> None:
    host = "cart.shop.svc.cluster.local"
    imported = istio(
        rule({"host": host, **RANDOM}), rule({"host": host, **RANDOM}, namespace="web")
    )
    names = [mapping(policy["metadata"])["name"] for policy, _ in imported.policies]

    assert names == ["cart", "cart-2"]


def test_retries_and_timeouts_of_routes_are_named() -> None:
    routes: Value = {"http": [{"route": []}, {"retries": {}, "timeout": "1s"}]}
    imported = istio(foreign("VirtualService", routes))

    assert [(one.path, one.severity) for one in imported.problems] == [
        ("spec.http[1].retries", Severity.NOTICE),
        ("spec.http[1].timeout", Severity.NOTICE),
    ]
    assert "passed over: 1 VirtualService" in imported.told
