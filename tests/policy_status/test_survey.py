"""What stands in the status of a policy, of all that can become of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import msgspec
import pytest

from tests.mesh.documents import policy, service, slice_of
from xds_server.api.document import Document, Revision
from xds_server.api.policy import (
    CertificateAuthority,
    ClientSelector,
    HealthCheck,
    HealthCheckType,
    LoadBalancer,
    LoadBalancerType,
    TargetKind,
    TargetRef,
    TcpCheck,
    Tls,
    TlsMode,
)
from xds_server.api.problem import ObjectKey, Place, Problem
from xds_server.engine import CLUSTER, ENDPOINT, SECRET, Snapshot
from xds_server.mesh.event import Applied, Reported
from xds_server.mesh.index import Index
from xds_server.policy_status.census import Nodes, Reach
from xds_server.policy_status.condition import (
    CONTROLLER,
    Ancestor,
    AncestorRef,
    Condition,
    differs_in_counts_alone,
    stamped,
)
from xds_server.policy_status.survey import Description, Peer, Survey
from xds_server.publish import Publisher
from xds_server.serve.client import ClientStatus, Connection, TypeStatus
from xds_server.serve.node import Node
from xds_server.serve.quarantine import Rejection
from xds_server.serve.response import Head, Mode
from xds_server.serve.subscription import Subscription
from xds_server.translate.check import TranslateError

RANDOM = LoadBalancer(type=LoadBalancerType.RANDOM)
REVISION = Revision(uid="u", generation=3)
ALL = Subscription(is_wildcard=True)
WEB = "shop/web/80"


def told(document: Document) -> Document:
    """Return *document* as an API server would tell of it."""
    return replace(document, revision=REVISION)


@dataclass
class Mesh:
    """What some documents mean, published."""

    index: Index = field(default_factory=Index)

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.index, Snapshot())

    def apply(self, *documents: Document) -> "Mesh":
        """Take *documents* in, and publish what changed."""
        events = [Applied(document=each) for each in documents]
        self.publisher.publish(self.index.apply(events))
        return self

    def describe(
        self, *clients: ClientStatus, name: str = "p", peers: Sequence[Peer] = ()
    ) -> Description:
        """Return what is said of a policy."""
        survey = Survey(
            self.index,
            tables=self.publisher.shared,
            failures=self.publisher.failures,
            clients=clients,
            peers=peers,
        )
        found = survey.describe(ObjectKey("TrafficPolicy", "shop", name))
        assert found is not None
        return found


@pytest.fixture
def mesh() -> Mesh:
    """One Service with an endpoint, balanced by the policy `p`."""
    return Mesh().apply(
        service(), slice_of(["10.0.0.1"]), told(policy("p", RANDOM, targets=["web"]))
    )


def of_type(type_url: str) -> TypeStatus:
    """Return that a client holds all of a type."""
    return TypeStatus(
        type_url=type_url,
        subscription=ALL,
        sent=None,
        is_waiting=False,
        accepted_version="1",
        rejections=(),
        accepted_sequence=100,
    )


BEHIND = replace(of_type(CLUSTER), accepted_sequence=0)


def client(
    name: str,
    *types: TypeStatus,
    user_agent: str = "envoy 1.40.0",
    labels: Mapping[str, str] | None = None,
) -> ClientStatus:
    """Return a client that holds *types*; all there is, if there are none."""
    connection = Connection(
        node=Node(id=name, user_agent=user_agent, metadata={"labels": labels or {}}),
        mode=Mode.DELTA,
        peer="here",
        connected_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return ClientStatus(
        connection=connection, types=types or (of_type(CLUSTER), of_type(ENDPOINT))
    )


def rejecting(name: str, message: str) -> ClientStatus:
    """Return a client that rejects the cluster of `web`."""
    head = Head(type_url=CLUSTER, version="2", nonce="1", names=(WEB,))
    rejection = Rejection(head=head, message=message, suspects=(WEB,))
    cluster = replace(
        of_type(CLUSTER), rejections=(rejection,), withheld=frozenset({WEB})
    )
    return client(name, cluster, of_type(ENDPOINT))


def condition(described: Description, type_: str) -> tuple[str, str, str]:
    """Return a condition of the first target."""
    found = {each.type: each for each in described.ancestors[0].conditions}
    return found[type_].status, found[type_].reason, found[type_].message


def test_a_policy_that_all_sidecars_have(mesh: Mesh) -> None:
    """As a whole, as it is written."""
    ancestors = stamped((), mesh.describe(client("one")).ancestors, "now")

    assert msgspec.to_builtins(ancestors) == (
        {
            "ancestorRef": {
                "group": "",
                "kind": "Service",
                "namespace": "shop",
                "name": "web",
            },
            "controllerName": CONTROLLER,
            "conditions": (
                *(
                    {
                        "type": type_,
                        "status": "True",
                        "observedGeneration": 3,
                        "lastTransitionTime": "now",
                        "reason": reason,
                        "message": message,
                    }
                    for type_, reason, message in (
                        ("Accepted", "Accepted", ""),
                        ("ResolvedRefs", "ResolvedRefs", ""),
                        ("Programmed", "Programmed", ""),
                        (
                            "Distributed",
                            "Acknowledged",
                            "acknowledged 1 of 1 sidecars",
                        ),
                    )
                ),
            ),
        },
    )


def test_sidecars_that_have_not_answered_are_named(mesh: Mesh) -> None:
    behind = [client(f"behind-{number}", BEHIND) for number in range(5)]
    names = "behind-0, behind-1, behind-2 and 2 more"

    assert condition(mesh.describe(client("one"), *behind), "Distributed") == (
        "False",
        "Pending",
        f"acknowledged 1 of 6 sidecars; waiting for {names}",
    )
    assert condition(mesh.describe(*behind), "Programmed")[0] == "True"


def test_a_rejection_has_the_node_and_its_words(mesh: Mesh) -> None:
    """And is one, however many nodes say the same."""
    described = mesh.describe(
        client("one"), rejecting("bad-1", "no ring"), rejecting("bad-2", "no ring")
    )
    text = "bad-1, bad-2 reject cluster shop/web/80: no ring"

    assert condition(described, "Programmed") == ("False", "Rejected", text)
    assert condition(described, "Distributed") == (
        "False",
        "Rejected",
        f"acknowledged 1 of 3 sidecars; {text}",
    )
    assert [str(each) for each in described.refusals] == [text]


def test_a_sidecar_that_lacks_a_file_is_named() -> None:
    """It has the cluster, and rejects the secret that names the file."""
    authority = CertificateAuthority(file="/etc/tls/ca.crt")
    tls = Tls(mode=TlsMode.SIMPLE, ca=authority)
    mesh = Mesh().apply(service(), slice_of(["10.0.0.1"]), told(policy("p", tls=tls)))
    (secret,) = mesh.publisher.shared[SECRET]
    head = Head(type_url=SECRET, version="2", nonce="1", names=(secret.name,))
    rejection = Rejection(head=head, message="no file", suspects=(secret.name,))
    rejected = replace(
        of_type(SECRET),
        rejections=(rejection,),
        withheld=frozenset({secret.name}),
    )
    described = mesh.describe(
        client("good", of_type(CLUSTER), of_type(SECRET)),
        client("bad", of_type(CLUSTER), rejected),
    )

    assert condition(described, "Distributed") == (
        "False",
        "Rejected",
        f"acknowledged 1 of 2 sidecars; bad rejects secret {secret.name}: no file",
    )


@dataclass
class Elsewhere:
    """Another replica, which has counted this of every policy."""

    counted: Reach

    def reach(self, revision: Revision, target: int) -> Reach:
        """Return it."""
        assert (revision, target) == (REVISION, 0)
        return self.counted


def test_what_other_replicas_have_counted_is_added(mesh: Mesh) -> None:
    """A rejection that is the same there is one rejection."""
    there = mesh.describe(rejecting("bad-2", "no ring")).refusals
    late = Reach(interested=9, acknowledged=5, waiting=Nodes(("x", "y"), 4))
    bad = Reach(interested=1, refusals=there)
    described = mesh.describe(
        client("one"),
        client("two", BEHIND),
        rejecting("bad-1", "no ring"),
        peers=[Elsewhere(late), Elsewhere(bad)],
    )
    text = "bad-1, bad-2 reject cluster shop/web/80: no ring"

    assert condition(described, "Programmed") == ("False", "Rejected", text)
    assert condition(described, "Distributed")[2] == (
        f"acknowledged 6 of 13 sidecars; {text}; waiting for two, x, y and 2 more"
    )
    assert [str(each) for each in described.refusals] == [text]


@pytest.mark.parametrize("clients", [(), (client("one"),)])
def test_nothing_is_everywhere_before_all_replicas_have_counted(
    mesh: Mesh, clients: Sequence[ClientStatus]
) -> None:
    described = mesh.describe(
        *clients, peers=[Elsewhere(Reach(uncounted=("replica b",)))]
    )
    count = f"acknowledged {len(clients)} of {len(clients)} sidecars"

    assert condition(described, "Distributed") == (
        "False",
        "Pending",
        f"{count}; without those of replica b",
    )


def test_an_answer_that_is_overdue_is_no_rejection(mesh: Mesh) -> None:
    head = Head(type_url=CLUSTER, version="2", nonce="1", names=(WEB,))
    silence = Rejection(head=head, message="no answer in 30 s")
    silent = replace(
        of_type(CLUSTER), rejections=(silence,), is_overdue=True, unanswered=(WEB,)
    )

    assert condition(mesh.describe(client("mute", silent)), "Programmed") == (
        "False",
        "NoAnswer",
        "mute on cluster shop/web/80: no answer in 30 s",
    )


def test_a_sidecar_that_does_not_want_the_target_is_not_counted(mesh: Mesh) -> None:
    """Nor is a gRPC client: it gets something else than the policy."""
    elsewhere = replace(
        of_type(CLUSTER), subscription=Subscription(names=frozenset({"x"}))
    )
    described = mesh.describe(
        client("elsewhere", elsewhere), client("grpc", user_agent="gRPC Go 1.70")
    )

    assert condition(described, "Distributed")[:2] == ("Unknown", "NoSidecars")


def test_the_streams_of_a_node_are_one_sidecar_and_the_newest_counts(
    mesh: Mesh,
) -> None:
    """A stream for each type; and one of before, that nobody has noticed is dead."""
    described = mesh.describe(
        client("one", BEHIND),
        client("one", of_type(CLUSTER)),
        client("one", of_type(ENDPOINT)),
    )

    assert condition(described, "Distributed")[2] == "acknowledged 1 of 1 sidecars"


def test_a_conflict_names_the_winner_and_programs_nothing(mesh: Mesh) -> None:
    mesh.apply(told(policy("q", RANDOM, targets=["web"])))
    described = mesh.describe(client("one"), name="q")

    assert condition(described, "Conflicted") == (
        "True",
        "Conflicted",
        "TrafficPolicy shop/p (loadBalancer)",
    )
    assert condition(described, "Programmed")[:2] == ("False", "NotAccepted")
    assert condition(described, "Distributed")[:2] == ("False", "NotAccepted")


def test_a_conflict_in_one_section_leaves_the_others_to_be_counted(mesh: Mesh) -> None:
    """What is in force of the policy is with the sidecars all the same."""
    check = HealthCheck(type=HealthCheckType.TCP, tcp=TcpCheck())
    mesh.apply(told(policy("q", RANDOM, targets=["web"], health_check=check)))
    described = mesh.describe(client("one"), name="q")

    assert condition(described, "Accepted")[:2] == ("False", "Conflicted")
    assert (
        condition(described, "Conflicted")[2] == "TrafficPolicy shop/p (loadBalancer)"
    )
    assert condition(described, "Programmed")[:2] == ("True", "Programmed")


def test_an_overridden_policy_programs_nothing(mesh: Mesh) -> None:
    mesh.apply(told(policy("q", RANDOM, targets=["web:http"])))

    assert condition(mesh.describe(client("one")), "Programmed")[:2] == (
        "False",
        "Overridden",
    )
    (ancestor,) = mesh.describe(client("one"), name="q").ancestors
    assert ancestor.ancestor_ref.section_name == "http"


def test_a_policy_of_a_service_without_ports_has_no_effect() -> None:
    mesh = Mesh().apply(service(ports=[]), told(policy("p", RANDOM)))

    assert condition(mesh.describe(), "Programmed")[:2] == ("False", "NoEffect")


def test_a_policy_for_a_namespace_counts_at_all_its_services() -> None:
    """Who holds one of two as it was before does not have it yet."""
    mesh = Mesh().apply(
        service("web"),
        service("api"),
        service("web", namespace="bank"),
        told(policy("p", RANDOM, targets=["*"])),
    )
    sequence = mesh.publisher.shared[CLUSTER].sequence_of("shop/api/80")
    late = replace(of_type(CLUSTER), accepted_sequence=sequence - 1)
    unasked = replace(
        of_type(CLUSTER), subscription=Subscription(names=frozenset({"bank/web/80"}))
    )
    described = mesh.describe(client("a"), client("b", late), client("c", unasked))

    assert condition(described, "Distributed") == (
        "False",
        "Pending",
        "acknowledged 1 of 2 sidecars; waiting for b",
    )
    (ancestor,) = described.ancestors
    assert (ancestor.ancestor_ref.kind, ancestor.ancestor_ref.name) == (
        "Namespace",
        "shop",
    )


def test_a_policy_for_the_mesh_that_others_override_everywhere() -> None:
    root = policy("p", RANDOM, targets=["*"], namespace="xds-system")
    mesh = Mesh().apply(service(), told(root), told(policy("own", RANDOM)))
    survey = Survey(
        mesh.index, tables=mesh.publisher.shared, failures={}, clients=[client("a")]
    )
    described = survey.describe(root.key)

    assert described is not None
    assert condition(described, "Programmed")[:2] == ("False", "Overridden")
    assert condition(described, "Overridden")[2] == (
        "TrafficPolicy shop/own (loadBalancer)"
    )


def test_a_policy_for_a_namespace_without_services_has_no_effect() -> None:
    mesh = Mesh().apply(told(policy("p", RANDOM, targets=["*"])))

    assert condition(mesh.describe(), "Programmed") == (
        "False",
        "NoEffect",
        "no Service has anything of the policy",
    )


def test_a_policy_counts_the_sidecars_of_the_namespaces_that_it_selects() -> None:
    mesh = Mesh().apply(
        service(),
        slice_of(["10.0.0.1"]),
        told(policy("p", RANDOM)),
        told(policy("q", RANDOM, clients=ClientSelector(namespaces=("jobs", "ops")))),
    )
    clients = [client("a.shop"), client("b.jobs"), client("c.ops", BEHIND)]

    assert condition(mesh.describe(*clients), "Distributed")[2] == (
        "acknowledged 1 of 1 sidecars"
    )
    assert condition(mesh.describe(*clients, name="q"), "Distributed")[2] == (
        "acknowledged 1 of 2 sidecars; waiting for c.ops"
    )


def test_a_policy_counts_the_sidecars_whose_labels_it_selects() -> None:
    """Each for what it is told: one policy's for batch jobs, the other's for others."""
    batch = {"tier": "batch"}
    mesh = Mesh().apply(
        service(),
        slice_of(["10.0.0.1"]),
        told(policy("p", RANDOM)),
        told(policy("q", RANDOM, clients=batch)),
    )
    clients = [
        client("a"),
        client("b", BEHIND, labels={"tier": "web"}),
        client("c", labels={**batch, "pod": "c"}),
        client("d", labels={**batch, "pod": "d"}),
        client("e", BEHIND, labels=batch),
    ]

    assert condition(mesh.describe(*clients), "Distributed")[2] == (
        "acknowledged 1 of 2 sidecars; waiting for b"
    )
    assert condition(mesh.describe(*clients, name="q"), "Distributed")[2] == (
        "acknowledged 2 of 3 sidecars; waiting for e"
    )
    assert condition(mesh.describe(clients[0], name="q"), "Distributed")[1] == (
        "NoSidecars"
    )


def test_a_service_that_cannot_be_translated_is_told(mesh: Mesh) -> None:
    survey = Survey(
        mesh.index,
        tables=mesh.publisher.shared,
        failures={("shop", "web"): TranslateError(WEB, "no such ring")},
        clients=(),
    )
    described = survey.describe(survey.keys()[0])

    assert described is not None
    assert condition(described, "Programmed") == (
        "False",
        "NotTranslated",
        "cannot be sent to an Envoy: shop/web/80: no such ring",
    )


@pytest.mark.parametrize(
    ("targets", "kind", "name"),
    [
        ((TargetRef(kind=TargetKind.SERVICE, name="api"),), "Service", "api"),
        ((), "Namespace", "shop"),
    ],
    ids=["readable", "not readable"],
)
def test_an_invalid_policy_says_so_at_the_targets_that_can_be_read(
    targets: tuple[TargetRef, ...], kind: str, name: str
) -> None:
    mesh, key = Mesh(), ObjectKey("TrafficPolicy", "shop", "p")
    wrong = Problem(place=Place("p"), message="must be prime", object_key=key)
    mesh.index.apply(
        [
            Reported(
                source="p",
                problems=(wrong,),
                rejected=frozenset({key}),
                revision=Revision(uid="u", generation=7, targets=targets),
            )
        ]
    )
    (ancestor,) = mesh.describe().ancestors

    assert (ancestor.ancestor_ref.kind, ancestor.ancestor_ref.name) == (kind, name)
    assert condition(mesh.describe(), "Accepted") == (
        "False",
        "Invalid",
        "p: must be prime",
    )
    assert {each.observed_generation for each in ancestor.conditions} == {7}


def test_policies_of_files_have_no_such_status() -> None:
    mesh = Mesh().apply(service(), policy("p", RANDOM, targets=["web"]))
    survey = Survey(mesh.index, tables=mesh.publisher.shared, failures={}, clients=())

    assert survey.keys() == []


def ancestor(*conditions: Condition, name: str = "web") -> Ancestor:
    """Return what is said of a Service."""
    reference = AncestorRef(group="", kind="Service", namespace="shop", name=name)
    return Ancestor(ancestor_ref=reference, conditions=conditions)


def test_a_time_moves_with_the_status_alone() -> None:
    """Not with the reason, the message or the generation; each target has its own."""
    before = stamped(
        (),
        (
            ancestor(
                Condition(type="A", status="True", reason="X"),
                Condition(type="B", status="True", reason="X"),
            ),
        ),
        "then",
    )
    after = stamped(
        before,
        (
            ancestor(
                Condition(
                    type="A",
                    status="True",
                    reason="Y",
                    message="other",
                    observed_generation=2,
                ),
                Condition(type="B", status="False", reason="X"),
            ),
            ancestor(Condition(type="A", status="True", reason="X"), name="api"),
        ),
        "now",
    )

    assert [
        [each.last_transition_time for each in one.conditions] for one in after
    ] == [["then", "now"], ["now"]]


def test_counts_alone_are_told_apart(mesh: Mesh) -> None:
    one, two = client("one"), client("two")
    alone = mesh.describe(one).ancestors

    assert differs_in_counts_alone(alone, mesh.describe(one, two).ancestors)
    assert not differs_in_counts_alone(alone, alone)
    assert not differs_in_counts_alone(
        alone, mesh.describe(rejecting("two", "no")).ancestors
    )
