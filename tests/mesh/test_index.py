"""The index as a whole: it tells exactly what changed, whatever the order of events."""

from collections.abc import Sequence

from hypothesis import given, settings, strategies as st

from tests.mesh.documents import (
    HTTP,
    TCP,
    endpoint,
    node,
    pod,
    policy,
    service,
    slice_of,
)
from xds_server.api.document import Document
from xds_server.api.kubernetes import ServiceSpec
from xds_server.api.policy import (
    HealthCheck,
    HealthCheckType,
    HttpCheck,
    LoadBalancer,
    LoadBalancerType,
    TcpCheck,
    WeightRule,
    Weights,
)
from xds_server.api.problem import ObjectKey, Place, Problem
from xds_server.mesh.event import Applied, Deleted, Event, Listed, Reported, Weighed
from xds_server.mesh.index import Changes, Index
from xds_server.mesh.model import Service
from xds_server.mesh.service import ServiceName
from xds_server.mesh.status import PolicyStatus

LISTEN = "traffic.xds-server.dev/listen-port"
BALANCE = "traffic.xds-server.dev/load-balancer"
BY_LABEL = LoadBalancer(
    type=LoadBalancerType.WEIGHTED,
    weights=Weights(rules=(WeightRule(from_label="weight"),)),
)
MEASURED = LoadBalancer(type=LoadBalancerType.PERFORMANCE_BASED)


def index_of(*documents: Document) -> Index:
    index = Index()
    index.apply([Applied(document=document) for document in documents])
    return index


def test_listed_waits_for_every_source() -> None:
    index = Index(sources=["files", "kubernetes"])
    index.apply([Listed(source="files")])
    before = index.listed
    index.apply([Listed(source="kubernetes")])

    assert (before, index.listed) == (False, True)


def test_what_is_wrong_between_documents_is_told_once_all_are_there() -> None:
    """A policy may come before its Service; but what is still missing then is told."""
    index = Index(sources=["files"])
    early = index.apply([Applied(document=policy("p")), Applied(document=policy("q"))])
    listed = index.apply([Applied(document=service()), Listed(source="files")])

    assert early.problems == ()
    assert any("TrafficPolicy shop/p" in each.message for each in listed.problems)
    assert index.problems == listed.problems


def test_an_equal_document_changes_nothing() -> None:
    index = index_of(service(), slice_of(["10.0.0.1"]), policy("p"))
    value = index.services["shop", "web"]

    changes = index.apply(
        [
            Applied(document=service()),
            Applied(document=slice_of(["10.0.0.1"])),
            Applied(document=policy("p")),
        ]
    )

    assert changes == Changes()
    assert index.services["shop", "web"] is value


def test_a_change_that_is_taken_back_in_a_batch_changes_nothing() -> None:
    index = index_of(service(), slice_of(["10.0.0.1"]))

    changes = index.apply(
        [
            Deleted(key=ObjectKey("Service", "shop", "web")),
            Applied(document=service()),
        ]
    )

    assert changes == Changes()


def test_a_change_names_only_the_services_that_it_concerns() -> None:
    index = index_of(
        service("web"),
        service("api"),
        slice_of(["10.0.0.1"], name="web-1", service="web"),
        slice_of(["10.0.0.2"], name="api-1", service="api"),
    )

    changes = index.apply(
        [Applied(document=slice_of(["10.0.0.3"], name="api-1", service="api"))]
    )

    assert changes == Changes(services=frozenset({("shop", "api")}))


def test_a_slice_that_moves_to_another_service_changes_both() -> None:
    index = index_of(service("a"), service("b"), slice_of(["10.0.0.1"], service="a"))

    changes = index.apply([Applied(document=slice_of(["10.0.0.1"], service="b"))])

    assert changes.services == {("shop", "a"), ("shop", "b")}
    assert index.services["shop", "a"].upstreams[0].endpoints == ()


def test_a_pods_label_changes_the_weights_of_its_services() -> None:
    index = index_of(
        service(), slice_of([endpoint("10.0.0.1", pod="p1")]), policy("p", BY_LABEL)
    )

    changes = index.apply([Applied(document=pod("p1", labels={"weight": "7"}))])

    assert changes.services == {("shop", "web")}
    assert [each.message for each in changes.solved] == [
        "no endpoint of Service shop/web has its weight from this rule"
    ]
    (upstream,) = index.services["shop", "web"].upstreams
    assert [each.weight for each in upstream.endpoints] == [7]


def test_new_weights_resolve_their_service_alone_and_once() -> None:
    index = index_of(
        service("web"),
        service("api"),
        slice_of(["10.0.0.1"], name="web-1", service="web"),
        slice_of(["10.0.0.1"], name="api-1", service="api"),
        policy("p", MEASURED, targets=["web", "api"]),
    )
    other = index.services["shop", "api"]
    weighed = Weighed(service=("shop", "web"), port=80, weights={"10.0.0.1:8080": 7})

    assert index.apply([weighed]) == Changes(services=frozenset({("shop", "web")}))
    assert index.apply([weighed]) == Changes()
    assert index.services["shop", "api"] is other


def test_weights_may_come_before_and_stay_after_their_service() -> None:
    weights = {"10.0.0.1:8080": 7, "10.0.0.2:8080": 9}
    weighed = Weighed(service=("shop", "web"), port=80, weights=weights)
    index = index_of(slice_of(["10.0.0.1", "10.0.0.2"]), policy("p", MEASURED))
    index.apply([weighed])

    for _ in range(2):
        index.apply([Applied(document=service())])
        (upstream,) = index.services["shop", "web"].upstreams
        assert [each.weight for each in upstream.endpoints] == [7, 9]
        index.apply([Deleted(key=ObjectKey("Service", "shop", "web"))])


def test_a_deleted_service_is_deleted_once() -> None:
    index = index_of(service())
    gone = Deleted(key=ObjectKey("Service", "shop", "web"))

    assert index.apply([gone]).deleted == {("shop", "web")}
    assert index.apply([gone]) == Changes()
    assert dict(index.services) == {}


def test_a_report_replaces_what_was_said_of_its_source() -> None:
    first = Problem(place=Place("a.yaml", 1, 1), message="first")
    second = Problem(place=Place("a.yaml", 2, 1), message="second")
    index = Index()
    index.apply([Reported(source="a.yaml", problems=(first,))])

    changes = index.apply([Reported(source="a.yaml", problems=(second,))])

    assert changes == Changes(problems=(second,), solved=(first,))
    assert index.problems == (second,)


NAMES = st.sampled_from(["a", "b", "c"])
ADDRESSES = st.sampled_from([f"10.0.0.{n}" for n in range(1, 6)])
PODS = st.sampled_from(["p1", "p2", "p3"])
NODES = st.sampled_from(["n1", "n2"])
ZONES = st.sampled_from(["a", "b"])
BALANCERS = st.sampled_from(
    [
        LoadBalancer(),
        LoadBalancer(type=LoadBalancerType.RANDOM),
        LoadBalancer(type=LoadBalancerType.IP_HASH),
        BY_LABEL,
        MEASURED,
        MEASURED.model_copy(update={"weights": BY_LABEL.weights}),
    ]
)
ANNOTATIONS = st.dictionaries(
    st.just(LISTEN), st.sampled_from(["1", "2", "pg=1"])
) | st.just({BALANCE: "RANDOM"})

CHECKS = st.sampled_from(
    [
        HealthCheck(type=HealthCheckType.TCP, tcp=TcpCheck()),
        HealthCheck(type=HealthCheckType.HTTP, http=HttpCheck(path="/")),
    ]
)
CLIENTS = st.none() | st.sampled_from(
    [{"tier": "1"}, {"tier": "2"}, {"team": "1"}, {"team": "1", "tier": "1"}]
)

DOCUMENTS = st.one_of(
    st.builds(
        service,
        NAMES,
        ports=st.sampled_from([(HTTP,), (TCP,), (HTTP, TCP)]),
        annotations=ANNOTATIONS,
    ),
    st.builds(
        service,
        NAMES,
        spec=st.builds(
            ServiceSpec,
            ports=st.just((HTTP,)),
            traffic_distribution=st.sampled_from(["PreferSameZone", "PreferSameNode"]),
        ),
    ),
    st.builds(node, NODES, zone=ZONES, region=st.sampled_from(["", "north"])),
    st.builds(
        slice_of,
        st.lists(
            st.builds(
                endpoint,
                ADDRESSES,
                pod=st.none() | PODS,
                node=st.none() | NODES,
                zone=st.none() | ZONES,
                for_zones=st.lists(ZONES, max_size=2, unique=True),
            ),
            max_size=3,
        ),
        name=st.sampled_from(["s1", "s2", "s3"]),
        service=NAMES | st.none(),
    ),
    st.builds(
        pod, PODS, labels=st.fixed_dictionaries({"weight": st.sampled_from("01x")})
    ),
    st.builds(
        policy,
        st.sampled_from(["q1", "q2", "q3"]),
        BALANCERS,
        targets=st.lists(
            st.sampled_from(["a", "b", "a:http", "a:postgres", "c:80", "*"]),
            min_size=1,
            max_size=2,
            unique=True,
        ),
        health_check=st.none() | CHECKS,
        clients=CLIENTS,
    ),
    st.builds(
        policy,
        st.sampled_from(["q1", "q2"]),
        BALANCERS,
        targets=st.sampled_from([["*"], ["a"]]),
        namespace=st.sampled_from(["xds-system", "bank"]),
        clients=CLIENTS,
    ),
    st.builds(service, NAMES, namespace=st.sampled_from(["bank", "xds-system"])),
)


def reported(source: str, key: ObjectKey) -> Reported:
    problem = Problem(place=Place(source, 1, 1), message="broken", object_key=key)
    return Reported(source=source, problems=(problem,), rejected=frozenset({key}))


POLICY_KEYS = st.builds(
    ObjectKey,
    st.just("TrafficPolicy"),
    st.just("shop"),
    st.sampled_from(["q1", "q2", "q3"]),
)
EVENTS = st.one_of(
    st.builds(Applied, document=DOCUMENTS),
    st.builds(Deleted, key=DOCUMENTS.map(lambda document: document.key)),
    st.builds(reported, st.sampled_from(["f", "g"]), POLICY_KEYS),
    st.builds(Reported, source=st.sampled_from(["f", "g"]), problems=st.just(())),
    st.builds(
        Weighed,
        service=st.tuples(st.just("shop"), NAMES),
        port=st.sampled_from([80, 5432]),
        weights=st.dictionaries(
            ADDRESSES.map("{}:8080".format), st.integers(1, 5), max_size=4
        ),
    ),
)


def rebuilt(events: Sequence[Event]) -> Index:
    """Return an index that was told only what is left of *events*, in one batch."""
    documents: dict[ObjectKey, Applied] = {}
    reports: dict[str, Reported] = {}
    weights: dict[tuple[ServiceName, int], Weighed] = {}
    for event in events:
        match event:
            case Applied(document=document):
                documents[document.key] = event
            case Deleted(key=key):
                documents.pop(key, None)
            case Reported(source=source):
                reports[source] = event
            case Weighed(service=service, port=port):
                weights[service, port] = event
            case Listed():
                pass
    index = Index()
    index.apply([*weights.values(), *documents.values(), *reports.values()])
    return index


@settings(max_examples=500)
@given(st.lists(st.lists(EVENTS, max_size=4), max_size=12))
def test_the_incremental_index_equals_one_rebuilt_from_scratch(
    batches: list[list[Event]],
) -> None:
    """For any events in any order and any batches; and the changes tell it all."""
    index = Index()
    services: dict[ServiceName, Service] = {}
    statuses: dict[ObjectKey, PolicyStatus | None] = {}
    problems: set[Problem] = set()
    for batch in batches:
        changes = index.apply(batch)
        assert changes.services <= index.services.keys()
        for name in changes.services:
            assert services.get(name) != index.services[name]
            services[name] = index.services[name]
        for name in changes.deleted:
            del services[name]
        for key in changes.statuses:
            statuses[key] = index.statuses.get(key)
        problems -= set(changes.solved)
        assert not problems & set(changes.problems)
        problems |= set(changes.problems)

    expected = rebuilt([event for batch in batches for event in batch])
    assert dict(index.services) == dict(expected.services) == services
    assert dict(index.statuses) == dict(expected.statuses)
    assert {k: s for k, s in statuses.items() if s} == dict(expected.statuses)
    assert set(index.problems) == set(expected.problems) == problems
    assert len(index.problems) == len(problems)
    assert set(index.selectors) == set(expected.selectors)
