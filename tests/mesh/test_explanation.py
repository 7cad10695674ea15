"""Why a client gets what it gets: every field, whose word it is, and the losers."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings, strategies as st

from tests.mesh.documents import policy, service, slice_of
from tests.mesh.test_attachment import BY_HEADER, LEAST, RANDOM
from tests.mesh.test_selector import labels, seen
from xds_server.api.decode import decode
from xds_server.api.document import Document
from xds_server.api.policy import (
    HealthCheck,
    HealthCheckType,
    HttpCheck,
    LoadBalancer,
    LoadBalancerType,
    TcpCheck,
)
from xds_server.mesh.event import Applied
from xds_server.mesh.explanation import DEFAULT, NOTHING, Explanation, Fate
from xds_server.mesh.index import Index
from xds_server.mesh.model import Section
from xds_server.xds import Labels

MANIFEST = """\
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: cart, annotations: {ANNOTATION}}
spec: {ports: [{name: http, port: 80}, {name: db, port: 90}]}
"""
POLICY = """\
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: NAMESPACE, name: NAME}
spec:
"""
CART = "targetRefs: [{kind: Service, name: cart}]"
MESH = """\
  targetRefs: [{kind: Namespace, name: xds-system}]
  loadBalancer: {type: LeastRequest}
  healthCheck: {type: TCP, interval: 7s}
"""
SPACE = """\
  targetRefs: [{kind: Namespace, name: shop}]
  healthCheck:
    type: HTTP
    http: {path: /ok}
"""
OWN = f"""\
  {CART}
  loadBalancer:
    type: RingHash
    ringHash: {{minimumRingSize: 4096}}
    hashOn:
      - {{header: {{name: x-user}}, terminal: true}}
"""
LATER = f"""\
  {CART}
  loadBalancer: {{type: Random}}
"""
JOBS = """\
  targetRefs: [{kind: Service, name: cart, sectionName: http}]
  clientSelector: {matchLabels: {tier: batch}}
  loadBalancer: {type: LEAST_REQUEST, leastRequest: {choiceCount: 5}}
"""


def index_of(*policies: str, annotation: str = "") -> Index:
    """Return the index of a Service and policies, each `namespace/name` and its spec.

    Each is a file, called like the policy.
    """
    index = Index()
    files = {"cart.yaml": MANIFEST.replace("ANNOTATION", annotation)}
    for each in policies:
        name, _, spec = each.partition("\n")
        namespace, _, own = name.partition("/")
        head = POLICY.replace("NAMESPACE", namespace).replace("NAME", own)
        files[f"{own}.yaml"] = head + spec
    for file, text in files.items():
        decoded = decode(text.encode(), source=file)
        assert not [p for p in decoded.problems if p.severity == "error"]
        index.apply([Applied(document=each) for each in decoded.documents])
    return index


FIVE = (
    f"xds-system/mesh\n{MESH}",
    f"shop/space\n{SPACE}",
    f"shop/own\n{OWN}",
    f"shop/own2\n{LATER}",
    f"shop/jobs\n{JOBS}",
)


def nothing_but(*present: Section) -> dict[str, tuple[str, str, str]]:
    """Return what is told of all sections that nobody has."""
    return {
        each.value: (NOTHING, DEFAULT, "") for each in Section if each not in present
    }


def facts(explanation: Explanation) -> dict[str, tuple[str, str, str]]:
    """Return value, origin and place by field."""
    return {
        each.field: (each.value, each.origin, str(each.place or ""))
        for each in explanation.facts
    }


def fates(explanation: Explanation) -> list[tuple[str, str, Fate, str]]:
    return [
        (each.policy, str(each.place), each.fate, each.reason)
        for each in explanation.losers
    ]


def test_a_merge_of_five_policies_with_a_conflict() -> None:
    http, db = index_of(*FIVE).explain(("shop", "cart"), labels())
    own, space = "TrafficPolicy shop/own", "TrafficPolicy shop/space"
    mesh, jobs = "TrafficPolicy xds-system/mesh", "TrafficPolicy shop/jobs"

    balancer = {
        "loadBalancer.type": ("RingHash", own, "own.yaml:7:11"),
        "loadBalancer.ringHash.minimumRingSize": ("4096", own, "own.yaml:8:33"),
        "loadBalancer.ringHash.maximumRingSize": ("65536", DEFAULT, ""),
        "loadBalancer.ringHash.hashFunction": ("XXHash", DEFAULT, ""),
        "loadBalancer.hashOn[0].header.name": ("x-user", own, "own.yaml:10:25"),
        "loadBalancer.hashOn[0].terminal": ("true", own, "own.yaml:10:44"),
    }
    check = {
        "healthCheck.type": ("HTTP", space, "space.yaml:7:11"),
        "healthCheck.interval": ("10s", DEFAULT, ""),
        "healthCheck.timeout": ("1s", DEFAULT, ""),
        "healthCheck.unhealthyThreshold": ("3", DEFAULT, ""),
        "healthCheck.healthyThreshold": ("2", DEFAULT, ""),
        "healthCheck.jitterPercent": ("10", DEFAULT, ""),
        "healthCheck.noTrafficInterval": ("10s", DEFAULT, ""),
        "healthCheck.http.path": ("/ok", space, "space.yaml:8:18"),
        "healthCheck.http.method": ("GET", DEFAULT, ""),
        "healthCheck.http.expectedStatuses": ("[200]", DEFAULT, ""),
    }
    others = nothing_but(Section.LOAD_BALANCER, Section.HEALTH_CHECK)
    assert facts(http) == {**balancer, **check, **others}
    by_own = f"by {own}, for Service shop/cart"
    conflict = ("TrafficPolicy shop/own2", "own2.yaml:6:17", Fate.CONFLICTED, by_own)
    beaten = (mesh, "mesh.yaml:6:17", Fate.OVERRIDDEN, by_own)
    assert fates(http) == [
        (jobs, "jobs.yaml:7:17", Fate.FOR_OTHERS, "for clients with tier=batch"),
        conflict,
        beaten,
        (
            mesh,
            "mesh.yaml:7:16",
            Fate.OVERRIDDEN,
            f"by {space}, for Namespace shop",
        ),
    ]

    # TCP has no HTTP checks, so the next that has one for it gives it: the mesh's.
    assert facts(db)["healthCheck.type"] == ("TCP", mesh, "mesh.yaml:7:23")
    assert facts(db)["healthCheck.interval"] == ("7s", mesh, "mesh.yaml:7:38")
    assert {k: v for k, v in facts(db).items() if k in balancer} == balancer
    unfit = [each for each in fates(db) if each[2] is Fate.UNFIT]
    assert [(policy, place) for policy, place, _, _ in unfit] == [
        (space, "space.yaml:7:5")
    ]


def test_a_client_with_labels_is_told_of_the_policies_for_it() -> None:
    http, _ = index_of(*FIVE).explain(("shop", "cart"), labels(tier="batch", a="b"))
    jobs = "TrafficPolicy shop/jobs"

    found = facts(http)
    assert found["loadBalancer.type"] == ("LeastRequest", jobs, "jobs.yaml:7:24")
    assert found["loadBalancer.leastRequest.choiceCount"][:2] == ("5", jobs)
    assert found["healthCheck.type"][1] == "TrafficPolicy shop/space"
    by_jobs = f"by {jobs}, for Service shop/cart port http"
    assert [(each[2], each[3]) for each in fates(http)][:3] == [
        (Fate.OVERRIDDEN, by_jobs)
    ] * 3


def test_the_annotation_of_a_service() -> None:
    annotation = "traffic.xds-server.dev/load-balancer: MAGLEV"
    annotation = annotation.replace("MAGLEV", "RANDOM")
    index = index_of(f"xds-system/mesh\n{MESH}", annotation=annotation)
    http, _ = index.explain(("shop", "cart"), labels())

    value, origin, place = facts(http)["loadBalancer.type"]
    assert (value, origin) == ("Random", "Service shop/cart")
    assert place.startswith("cart.yaml:3:")
    assert facts(http)["healthCheck.type"][1] == "TrafficPolicy xds-system/mesh"
    assert fates(http) == [
        (
            "TrafficPolicy xds-system/mesh",
            "mesh.yaml:6:17",
            Fate.OVERRIDDEN,
            "by the annotation of Service shop/cart",
        )
    ]


def test_without_any_policy_all_are_defaults() -> None:
    http, db = index_of().explain(("shop", "cart"), labels())

    expected = {
        "loadBalancer.type": ("RoundRobin", DEFAULT, ""),
        **nothing_but(Section.LOAD_BALANCER),
    }
    assert facts(http) == facts(db) == expected
    assert fates(http) == []


@pytest.mark.parametrize(
    ("balancer", "written"),
    [
        ("{type: LeastRequest}", {"type": 6}),
        ("{type: Weighted}", {"type": 6}),
        (
            (
                "\n    ringHash: {minimumRingSize: 100000}\n    type: RingHash\n"
                "    hashOn:\n    - sourceIP: {}"
            ),
            {"ringHash.minimumRingSize": 7, "type": 8, "hashOn[0].sourceIP": 10},
        ),
    ],
)
def test_what_is_filled_in_is_nobodys_word(
    balancer: str, written: Mapping[str, int]
) -> None:
    """Blocks that a type brings along, and a maximum that follows the minimum."""
    spec = f"  {CART}\n  loadBalancer: {balancer}\n"
    http, _ = index_of(f"shop/p\n{spec}").explain(("shop", "cart"), labels())

    said = {
        each.field.removeprefix("loadBalancer."): each.place.line
        for each in http.facts
        if each.place is not None
    }
    assert said == written


SECTIONS = {
    "loadBalancer": "{type: Random}",
    "locality": "{type: None}",
    "healthCheck": "{type: TCP}",
    "outlierDetection": "{consecutive5xx: 3}",
    "panicThreshold": "30",
    "circuitBreaker": "{maxRequests: 5}",
    "retry": "{attempts: 2}",
    "connection": "{connectTimeout: 2s}",
    "session": "{type: Header, header: {name: x-session}}",
    "overrideHost": "{header: {name: x-endpoint}}",
    "rateLimit": "{requests: 5}",
    "admissionControl": "{aggression: 2}",
    "adaptiveConcurrency": "{maxConcurrency: 9}",
    "tls": "{mode: Disable}",
    "envoyPatch": "{cluster: {connect_timeout: 3s}}",
    "overload": "{dropPercent: 5}",
    "staleEndpoints": "{after: 2m}",
}


@pytest.mark.parametrize("section", Section)
def test_every_section_is_explained(section: Section) -> None:
    """What is written is said to be, be it a block or a value."""
    spec = f"  {CART}\n  {section}: {SECTIONS[section.value]}\n"
    http, _ = index_of(f"shop/p\n{spec}").explain(("shop", "cart"), labels())

    places = [
        each.place
        for each in http.facts
        if each.origin == "TrafficPolicy shop/p"
        and each.field.partition(".")[0] == section.value
    ]
    assert {place and (place.source, place.line) for place in places} == {("p.yaml", 6)}
    assert fates(http) == []


REQUEST = HealthCheck(type=HealthCheckType.HTTP, http=HttpCheck(path="/"))
CONNECT = HealthCheck(type=HealthCheckType.TCP, tcp=TcpCheck())
LABELS = st.fixed_dictionaries({}, optional=dict.fromkeys("ab", st.sampled_from("12")))
POLICIES = st.lists(
    st.builds(
        policy,
        st.sampled_from("pqrst"),
        st.sampled_from([RANDOM, LEAST, BY_HEADER, LoadBalancer()]),
        targets=st.sampled_from([["web"], ["web:http"], ["*"]]),
        health_check=st.sampled_from([None, REQUEST, CONNECT]),
        namespace=st.sampled_from(["shop", "xds-system"]),
        clients=st.none() | LABELS.filter(bool),
    ),
    max_size=6,
)


@settings(max_examples=200)
@given(POLICIES, LABELS.map(lambda found: frozenset(found.items())))
def test_what_is_explained_is_what_is_published(
    policies: list[Document], held: Labels
) -> None:
    """The same values, of the same policies, and each policy's section once."""
    index = Index()
    documents = [service(), slice_of(["10.0.0.1"]), *policies]
    index.apply([Applied(document=each) for each in documents])
    (found,) = index.explain(("shop", "web"), held)
    upstream = seen(index, held)

    value, origin, _ = facts(found)["loadBalancer.type"]
    assert LoadBalancerType(value) is upstream.load_balancer.type
    check = facts(found).get("healthCheck.type", (NOTHING,))[0]
    checked = upstream.sections.health_check
    assert check == (checked.type if checked else NOTHING)
    said = {(o.section, str(o.key)) for o in upstream.origins}
    lost = {(each.section, each.policy) for each in found.losers}
    assert not said & lost
    assert (origin == DEFAULT) or (Section.LOAD_BALANCER, origin) in said
