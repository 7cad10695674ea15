"""Which Services a BackendTrafficPolicy is for, and what Envoy Gateway holds unsaid."""

import pytest

from tests.importer.foreign import backend, foreign, gateway, messages, specs
from xds_server.api.manifest import Value
from xds_server.api.problem import Severity
from xds_server.importer.imported import Imported
from xds_server.importer.source import Foreign, mapping

RANDOM: dict[str, Value] = {"loadBalancer": {"type": "Random"}}


def route(
    name: str, *services: str, kind: str = "HTTPRoute", parent: str = "eg"
) -> Foreign:
    """A route with a rule, named like it, for each Service."""
    rules: list[Value] = [
        {"name": service, "backendRefs": [{"name": service, "port": 80}]}
        for service in services
    ]
    return foreign(kind, {"parentRefs": [{"name": parent}], "rules": rules}, name=name)


def policy(name: str, *refs: Value) -> Foreign:
    return foreign("BackendTrafficPolicy", {"targetRefs": [*refs], **RANDOM}, name=name)


def targets(imported: Imported) -> dict[str, list[str]]:
    """The Services that each policy is for."""
    found = {}
    for made, _ in imported.policies:
        metadata, refs = mapping(made["metadata"]), mapping(made["spec"])["targetRefs"]
        assert isinstance(refs, list)
        names = [str(mapping(ref)["name"]) for ref in refs]
        found[f"{metadata['namespace']}/{metadata['name']}"] = names
    return found


def test_a_policy_is_for_the_services_of_its_routes() -> None:
    imported = gateway(
        policy("p", {"kind": "HTTPRoute", "name": "r"}), route("r", "a", "b", "a")
    )

    assert targets(imported) == {"shop/p": ["a", "b"]}
    assert imported.is_whole
    assert "for all clients of shop/a, shop/b" in messages(imported)[0]


def test_a_rule_of_a_route_has_its_services_alone() -> None:
    ref: Value = {"kind": "HTTPRoute", "name": "r", "sectionName": "b"}

    assert targets(gateway(policy("p", ref), route("r", "a", "b"))) == {"shop/p": ["b"]}


def test_a_policy_for_a_gateway_is_for_routes_without_one_of_their_own() -> None:
    imported = gateway(
        policy("all", {"kind": "Gateway", "name": "eg"}),
        policy("own", {"kind": "HTTPRoute", "name": "second"}),
        route("first", "a"),
        route("second", "b"),
        route("third", "c", parent="other"),
    )

    assert targets(imported) == {"shop/all": ["a"], "shop/own": ["b"]}


@pytest.mark.parametrize(
    "broad", [{"kind": "HTTPRoute", "name": "r"}, {"kind": "Gateway", "name": "eg"}]
)
def test_a_policy_for_a_rule_of_a_route_goes_before_one_for_all_of_it(
    broad: Value,
) -> None:
    rule: Value = {"kind": "HTTPRoute", "name": "r", "sectionName": "b"}
    imported = gateway(policy("all", broad), policy("own", rule), route("r", "a", "b"))

    assert targets(imported) == {"shop/all": ["a"], "shop/own": ["b"]}
    assert imported.is_whole
    told = "spec.targetRefs[0]: Service shop/b: has a policy of its own"
    assert told in messages(imported)
    assert not any("has policies by" in one for one in messages(imported))


@pytest.mark.parametrize("rule", [{}, {"sectionName": "a"}])
def test_a_policy_whose_only_route_has_its_own_is_for_nothing_and_no_error(
    rule: dict[str, Value],
) -> None:
    nearer: Value = {"kind": "HTTPRoute", "name": "r", **rule}
    imported = gateway(
        policy("all", {"kind": "Gateway", "name": "eg"}),
        policy("own", nearer),
        route("r", "a"),
    )
    told = [one for one in imported.problems if one.severity is not Severity.WARNING]

    assert targets(imported) == {"shop/own": ["a"]}
    assert imported.is_whole
    assert [one.severity for one in told] == [Severity.NOTICE]


def test_policies_for_one_service_are_told_of_each_other() -> None:
    imported = gateway(
        policy("p", {"kind": "HTTPRoute", "name": "r"}),
        policy("q", {"kind": "HTTPRoute", "name": "s"}),
        route("r", "a"),
        route("s", "a"),
    )

    assert any("shop/a has policies by" in one for one in messages(imported))


def test_services_of_other_namespaces_have_policies_there() -> None:
    rules: Value = [{"backendRefs": [{"name": "a"}, {"namespace": "x", "name": "b"}]}]
    imported = gateway(
        policy("p", {"kind": "HTTPRoute", "name": "r"}),
        foreign("HTTPRoute", {"rules": rules}, name="r"),
    )

    assert targets(imported) == {"shop/p": ["a"], "x/p": ["b"]}


def test_more_services_than_a_policy_may_be_for_have_several() -> None:
    names = [f"s{number}" for number in range(20)]
    ref: Value = {"kind": "HTTPRoute", "name": "r"}

    assert targets(gateway(policy("p", ref), route("r", *names))) == {
        "shop/p": names[:16],
        "shop/p-2": names[16:],
    }


@pytest.mark.parametrize(
    "ref",
    [
        {"kind": "HTTPRoute", "name": "elsewhere"},
        {"kind": "Gateway", "name": "elsewhere"},
        {"kind": "Service", "name": "a"},
        {},
    ],
)
def test_what_leads_to_no_service_makes_no_policy(ref: Value) -> None:
    imported = gateway(policy("p", ref), route("r", "a"))

    assert imported.policies == []
    assert not imported.is_whole


def test_the_user_may_name_the_services() -> None:
    imported = gateway(
        policy("p", {"kind": "Gateway", "name": "elsewhere"}),
        services=(("web", "front"),),
    )

    assert targets(imported) == {"web/p": ["front"]}
    assert imported.is_whole


def test_backends_that_are_no_services_are_told() -> None:
    rules: Value = [{"backendRefs": [{"kind": "Backend", "name": "b"}, {"name": "a"}]}]
    imported = gateway(
        policy("p", {"kind": "HTTPRoute", "name": "r"}),
        foreign("HTTPRoute", {"rules": rules}, name="r"),
    )

    assert targets(imported) == {"shop/p": ["a"]}
    assert any("Backend shop/b is no Service" in one for one in messages(imported))


def test_a_policy_without_a_load_balancer_has_least_request() -> None:
    assert specs(backend({"timeout": {"tcp": {"connectTimeout": "1s"}}})) == [
        {
            "loadBalancer": {"type": "LeastRequest"},
            "connection": {"connectTimeout": "1s"},
        }
    ]


@pytest.mark.parametrize(
    ("attributes", "lost"),
    [
        ({"HttpOnly": "true"}, []),
        ({"httponly": "", "SameSite": "Lax"}, []),
        ({"SameSite": "Lax", "Domain": "example.com"}, ["Domain"]),
    ],
)
def test_a_cookie_without_an_attribute_is_hashed_by_all_the_same(
    attributes: dict[str, Value], lost: list[str]
) -> None:
    cookie: Value = {"name": "user", "ttl": "60s", "attributes": attributes}
    hashed: Value = {"type": "Cookie", "cookie": cookie}
    balancer: Value = {"type": "ConsistentHash", "consistentHash": hashed}
    imported = backend({"loadBalancer": balancer})
    same_site = {"sameSite": "Lax"} if "SameSite" in attributes else {}
    key = {"name": "user", "ttl": "1m", **same_site}

    assert specs(imported) == [
        {"loadBalancer": {"type": "Maglev", "hashOn": [{"cookie": key}]}}
    ]
    path = "spec.loadBalancer.consistentHash.cookie.attributes"
    errors = [one for one in imported.problems if one.severity is Severity.ERROR]
    assert [one.path for one in errors] == [f"{path}.{name}" for name in lost]


def test_passive_checks_have_envoys_detector_of_success_rates() -> None:
    """Envoy has it on, and Envoy Gateway leaves it so."""
    (spec,) = specs(backend({"healthCheck": {"passive": {}}}))

    assert spec["outlierDetection"] == {
        "successRate": {},
        "interval": "3s",
        "alwaysEjectOne": False,
    }


def test_active_checks_are_as_often_as_there() -> None:
    (spec,) = specs(backend({"healthCheck": {"active": {"type": "TCP"}}}))

    assert spec["healthCheck"] == {
        "type": "TCP",
        "interval": "3s",
        "healthyThreshold": 1,
        "jitterPercent": 0,
        "noTrafficInterval": "1m",
    }


def test_where_nothing_is_left_to_send_again_nothing_is() -> None:
    """Left out, retryOn would be what we send again by default."""
    retry: Value = {"numRetries": 4, "retryOn": {"httpStatusCodes": [503]}}
    imported = backend({"retry": retry})

    assert specs(imported) == []
    assert len(imported.problems) == 2


def test_retries_have_the_limit_of_requests_there_where_there_are_requests() -> None:
    limits: Value = {"maxConnections": 5}
    http = backend({"circuitBreaker": limits})
    tcp = gateway(
        foreign(
            "BackendTrafficPolicy",
            {
                "targetRefs": [{"kind": "TCPRoute", "name": "r"}],
                "circuitBreaker": limits,
            },
        ),
        route("r", "a", kind="TCPRoute"),
    )

    assert specs(http)[0]["circuitBreaker"] == {"maxConnections": 5, "maxRetries": 1024}
    assert specs(tcp)[0]["circuitBreaker"] == {"maxConnections": 5}
