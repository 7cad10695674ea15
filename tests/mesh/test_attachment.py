"""Which policy is in force where, and what is told to the others."""

from dataclasses import replace

import pytest

from tests.mesh.documents import HTTP, TCP, document, policy, service, slice_of
from xds_server.api.decode import decode
from xds_server.api.document import Document, Revision
from xds_server.api.kubernetes import ServicePort
from xds_server.api.policy import (
    HashHeader,
    HashKey,
    LoadBalancer,
    LoadBalancerType,
    RingHash,
    TargetKind,
    TargetRef,
    TrafficPolicy,
    WeightRule,
    Weights,
)
from xds_server.api.problem import ObjectKey, Place, Problem, Severity
from xds_server.mesh.event import Applied, Deleted, Reported
from xds_server.mesh.index import Index
from xds_server.mesh.status import Condition, ConditionType, PolicyStatus, Reason

RANDOM = LoadBalancer(type=LoadBalancerType.RANDOM)
LEAST = LoadBalancer(type=LoadBalancerType.LEAST_REQUEST)
BY_HEADER = LoadBalancer(
    type=LoadBalancerType.RING_HASH,
    ring_hash=RingHash(),
    hash_on=(HashKey(header=HashHeader(name="x-user")),),
)
ADMIN = ServicePort(port=90, name="http-admin")
SLICE = slice_of(["10.0.0.1"])
IDLE = WeightRule(addresses=("10.0.0.9",), weight=3)
REJECTION = Reported(
    source="p.yaml",
    problems=(
        Problem(
            place=Place("p.yaml", 3, 1),
            message="must be prime",
            object_key=ObjectKey("TrafficPolicy", "shop", "p"),
        ),
    ),
    rejected=frozenset({ObjectKey("TrafficPolicy", "shop", "p")}),
)


def index_of(*documents: Document) -> Index:
    index = Index()
    index.apply([Applied(document=document) for document in documents])
    return index


def key(name: str) -> ObjectKey:
    return ObjectKey("TrafficPolicy", "shop", name)


def in_force(index: Index, service_name: str = "web") -> dict[int, LoadBalancerType]:
    upstreams = index.services["shop", service_name].upstreams
    return {each.port.number: each.load_balancer.type for each in upstreams}


def condition(
    status: PolicyStatus, type_: ConditionType, target: int = 0
) -> Condition | None:
    found = [c for c in status.targets[target].conditions if c.type is type_]
    return found[0] if found else None


def accepted(index: Index, name: str, target: int = 0) -> Condition:
    found = condition(index.statuses[key(name)], ConditionType.ACCEPTED, target)
    assert found is not None
    return found


def errors(index: Index) -> list[str]:
    return [str(p) for p in index.problems if p.severity is Severity.ERROR]


def test_a_policy_for_the_service_is_in_force_at_all_ports() -> None:
    index = index_of(service(ports=[HTTP, ADMIN]), SLICE, policy("p", RANDOM))

    assert in_force(index) == {
        80: LoadBalancerType.RANDOM,
        90: LoadBalancerType.RANDOM,
    }
    assert accepted(index, "p").status


def test_a_policy_for_a_port_beats_one_for_the_service() -> None:
    index = index_of(
        service(ports=[HTTP, ADMIN]),
        policy("a", RANDOM),
        policy("z", LEAST, targets=["web:http-admin"]),
    )

    assert in_force(index) == {
        80: LoadBalancerType.RANDOM,
        90: LoadBalancerType.LEAST_REQUEST,
    }
    assert accepted(index, "a").status
    assert condition(index.statuses[key("a")], ConditionType.OVERRIDDEN) == Condition(
        type=ConditionType.OVERRIDDEN,
        status=True,
        reason=Reason.OVERRIDDEN,
        message="TrafficPolicy shop/z (loadBalancer)",
    )
    assert errors(index) == []


def test_an_unnamed_port_is_named_by_its_number() -> None:
    index = index_of(
        service(ports=[ServicePort(port=80, app_protocol="http")]),
        policy("p", RANDOM, targets=["web:80"]),
    )

    assert in_force(index) == {80: LoadBalancerType.RANDOM}


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "reversed"])
def test_of_two_policies_of_a_level_the_first_by_name_wins(reverse: bool) -> None:  # noqa: FBT001 - pytest's parameter
    policies = [policy("a", RANDOM, source="a.yaml"), policy("b", LEAST)]
    index = index_of(*(reversed(policies) if reverse else policies), service(), SLICE)

    assert in_force(index) == {80: LoadBalancerType.RANDOM}
    assert accepted(index, "a").status
    assert accepted(index, "b").reason is Reason.CONFLICTED
    assert condition(index.statuses[key("b")], ConditionType.CONFLICTED) == Condition(
        type=ConditionType.CONFLICTED,
        status=True,
        reason=Reason.CONFLICTED,
        message="TrafficPolicy shop/a (loadBalancer)",
    )
    assert errors(index) == [
        (
            "policy.yaml:1:3: spec.loadBalancer: Service shop/web has the loadBalancer "
            "of TrafficPolicy shop/a at a.yaml:1:3, which is in force\n"
            "  hint: join the two policies, or name a port by sectionName"
        )
    ]


def created(policy: Document, when: str) -> Document:
    """Return *policy* as an API server tells of it."""
    uid = policy.key.name
    return replace(policy, revision=Revision(uid=uid, generation=1, created=when))


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "reversed"])
def test_of_two_policies_of_a_level_in_a_cluster_the_oldest_wins(
    reverse: bool,  # noqa: FBT001 - pytest's parameter
) -> None:
    policies = [
        created(policy("a", RANDOM), "2026-03-01T10:00:01Z"),
        created(policy("z", LEAST, source="z.yaml"), "2026-03-01T09:59:59Z"),
    ]
    index = index_of(*(reversed(policies) if reverse else policies), service(), SLICE)

    assert in_force(index) == {80: LoadBalancerType.LEAST_REQUEST}
    conflict = condition(index.statuses[key("a")], ConditionType.CONFLICTED)
    assert conflict is not None
    assert conflict.message == "TrafficPolicy shop/z (loadBalancer)"
    assert errors(index) == [
        (
            "policy.yaml:1:3: spec.loadBalancer: Service shop/web has the loadBalancer "
            "of TrafficPolicy shop/z at z.yaml:1:3, which is older, and in "
            "force\n  hint: join the two policies, or name a port by sectionName"
        )
    ]


def test_of_two_policies_as_old_the_first_by_name_wins() -> None:
    now = "2026-03-01T10:00:00Z"
    index = index_of(
        *(created(policy("b", LEAST), now), created(policy("a", RANDOM), now)),
        *(service(), SLICE),
    )

    assert in_force(index) == {80: LoadBalancerType.RANDOM}


def test_a_policy_in_a_file_goes_before_all_of_a_cluster() -> None:
    index = index_of(
        *(created(policy("a", LEAST), "2026-03-01T10:00:00Z"), policy("z", RANDOM)),
        *(service(), SLICE),
    )

    assert in_force(index) == {80: LoadBalancerType.RANDOM}


def test_a_policy_for_a_port_beats_an_older_one_for_the_service() -> None:
    index = index_of(
        created(policy("a", RANDOM), "2026-03-01T10:00:00Z"),
        created(policy("b", LEAST, targets=["web:http"]), "2026-03-02T10:00:00Z"),
        *(service(), SLICE),
    )

    assert in_force(index) == {80: LoadBalancerType.LEAST_REQUEST}


def test_policies_for_two_ports_do_not_conflict() -> None:
    index = index_of(
        service(ports=[HTTP, ADMIN]),
        policy("a", RANDOM, targets=["web:http"]),
        policy("b", LEAST, targets=["web:http-admin"]),
    )

    assert errors(index) == []
    assert in_force(index) == {
        80: LoadBalancerType.RANDOM,
        90: LoadBalancerType.LEAST_REQUEST,
    }


def test_a_policy_may_name_a_service_and_one_port_of_it() -> None:
    index = index_of(service(), policy("a", RANDOM, targets=["web", "web:http"]))

    assert errors(index) == []
    assert accepted(index, "a", 0).status
    assert accepted(index, "a", 1).status


def test_the_loser_takes_over_when_the_winner_goes() -> None:
    index = index_of(service(), SLICE, policy("a", RANDOM), policy("b", LEAST))

    changes = index.apply([Deleted(key=key("a"))])

    assert in_force(index) == {80: LoadBalancerType.LEAST_REQUEST}
    assert changes.services == {("shop", "web")}
    assert changes.statuses == {key("a"), key("b")}
    assert [problem.object_key for problem in changes.solved] == [key("b")]
    assert accepted(index, "b").status
    assert key("a") not in index.statuses


def test_a_missing_service_is_told_at_its_name() -> None:
    index = index_of(policy("p", targets=["web", "nope"]), service(), SLICE)

    assert accepted(index, "p", 0).status
    assert accepted(index, "p", 1).reason is Reason.TARGET_NOT_FOUND
    assert errors(index) == [
        (
            "policy.yaml:1:5: spec.targetRefs[1].name: there is no Service shop/nope\n"
            "  hint: a policy targets Services of its own namespace"
        )
    ]


def test_a_missing_port_is_told_with_those_that_there_are() -> None:
    index = index_of(policy("p", targets=["web:grpc"]), service(ports=[HTTP, TCP]))

    resolved = condition(index.statuses[key("p")], ConditionType.RESOLVED_REFS)
    assert resolved is not None
    assert resolved.reason is Reason.TARGET_NOT_FOUND
    assert errors(index) == [
        (
            "policy.yaml:1:5: spec.targetRefs[0].sectionName: Service shop/web has no "
            "TCP port grpc\n  hint: its ports: http, postgres"
        )
    ]


def test_a_policy_older_than_its_target_is_in_force_once_it_comes() -> None:
    index = index_of(policy("p", RANDOM))

    changes = index.apply([Applied(document=service()), Applied(document=SLICE)])

    assert in_force(index) == {80: LoadBalancerType.RANDOM}
    assert changes.statuses == {key("p")}
    assert accepted(index, "p").status
    assert index.problems == ()


def test_what_does_not_fit_a_port_leaves_it_to_the_next_policy() -> None:
    """Header hashing cannot work on TCP, so the policy of the Service stays."""
    index = index_of(
        service(ports=[TCP]),
        policy("broad", RANDOM),
        policy("exact", BY_HEADER, targets=["web:postgres"]),
    )

    assert in_force(index) == {5432: LoadBalancerType.RANDOM}
    assert accepted(index, "exact").reason is Reason.INVALID
    assert accepted(index, "broad").status
    assert [error.split(": ")[1] for error in errors(index)] == [
        "spec.loadBalancer.hashOn"
    ]


def test_what_fits_some_ports_only_is_a_warning() -> None:
    index = index_of(service(ports=[HTTP, TCP]), policy("p", BY_HEADER))

    warned = condition(index.statuses[key("p")], ConditionType.WARNINGS)

    assert accepted(index, "p").status
    assert warned is not None
    assert "a TCP port needs a sourceIP entry" in warned.message
    assert errors(index) == []


def test_a_target_without_endpoints_is_a_warning() -> None:
    index = index_of(service(), policy("p", RANDOM))

    assert [str(problem) for problem in index.problems] == [
        (
            "policy.yaml:1:5: warning: spec.targetRefs[0].name: port http of Service "
            "shop/web has no ready endpoint"
        )
    ]


HEAVY = b"""\
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: shop, name: heavy}
spec:
  targetRefs: [{kind: Service, name: web}]
  loadBalancer:
    type: Weighted
    weights:
      default: 1000000
"""


def test_weights_that_are_too_heavy_together_are_an_error_at_their_place() -> None:
    """Each of them is fine by itself, and so is the policy: there are too many."""
    many = slice_of([f"10.0.{n // 256}.{n % 256}" for n in range(4295)])
    index = index_of(service(), many, *decode(HEAVY, source="heavy.yaml").documents)
    (error,) = [p for p in index.problems if p.severity is Severity.ERROR]

    assert str(error) == (
        "heavy.yaml:9:7: spec.loadBalancer.weights: the weights of all endpoints must "
        "sum to <= 4294967295 (got 4295000000)\n"
        "  hint: divide all weights by the same number"
    )
    assert in_force(index) == {80: LoadBalancerType.ROUND_ROBIN}
    assert accepted(index, "heavy").reason is Reason.INVALID


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        (
            Weights(rules=(WeightRule(addresses=("10.0.0.1",), weight=2), IDLE)),
            (
                "weights.rules[1]: no endpoint of Service shop/web has its weight from "
                "this rule"
            ),
        ),
        (
            Weights(),
            (
                "weights: no endpoint of Service shop/web has a weight of its own: all "
                "have the default 1\n  hint: without rules a Pod's annotation "
                "traffic.xds-server.dev/weight is its weight; what Pods say is read "
                "from their manifests: give these, too"
            ),
        ),
        (
            Weights(rules=(WeightRule(addresses=("10.0.0.1",), weight=0),)),
            (
                "weights: all weights are 0: Envoy then sends to all endpoints alike\n"
                "  hint: give an endpoint a weight above 0"
            ),
        ),
    ],
)
def test_weights_that_do_not_do_what_they_say_are_a_warning(
    weights: Weights, found: str
) -> None:
    weighted = LoadBalancer(type=LoadBalancerType.WEIGHTED, weights=weights)
    index = index_of(service(), SLICE, policy("p", weighted))
    warned = condition(index.statuses[key("p")], ConditionType.WARNINGS)

    assert [str(problem).partition("warning: ")[2] for problem in index.problems] == [
        f"spec.loadBalancer.{found}"
    ]
    assert warned is not None
    assert accepted(index, "p").status


def test_a_rejected_newest_version_is_told_and_the_last_one_stays() -> None:
    index = index_of(service(), SLICE, policy("p", RANDOM))

    changes = index.apply([REJECTION])

    assert in_force(index) == {80: LoadBalancerType.RANDOM}
    assert changes.statuses == {key("p")}
    assert accepted(index, "p") == Condition(
        type=ConditionType.ACCEPTED,
        status=False,
        reason=Reason.INVALID,
        message="p.yaml:3:1: must be prime; the last accepted version is in force",
    )
    assert not index.statuses[key("p")].accepted


def test_a_policy_that_was_never_accepted_has_a_status_of_unknown_targets() -> None:
    index = index_of()

    index.apply([REJECTION])

    (target,) = index.statuses[key("p")].targets
    assert target.target is None
    assert accepted(index, "p").message == "p.yaml:3:1: must be prime"


def test_a_rejected_policy_of_an_api_server_is_told_which_field_is_wrong() -> None:
    """It stands on the policy itself, so there is no other place to name."""
    wrong = Problem(
        place=Place(str(key("p"))),
        path="spec.loadBalancer.maglev.tableSize",
        message="must be a prime number (got 65536)",
        object_key=key("p"),
    )
    index = index_of()

    index.apply(
        [Reported(source="p", problems=(wrong,), rejected=frozenset({key("p")}))]
    )

    assert accepted(index, "p").message == (
        "spec.loadBalancer.maglev.tableSize: must be a prime number (got 65536)"
    )


def test_a_policy_of_an_api_server_has_the_revision_that_was_judged() -> None:
    """The newest, be it in force or not, and the targets that a bad one names."""
    first, second = Revision(uid="u", generation=1), Revision(uid="u", generation=2)
    index = index_of(service(), replace(policy("p"), revision=first))
    before = index.statuses[key("p")]
    web = TargetRef(kind=TargetKind.SERVICE, name="web")
    never = Revision(uid="v", generation=1, targets=(web,))
    for name, revision in (("p", second), ("q", never)):
        wrong = Problem(place=Place(name), message="wrong", object_key=key(name))
        index.apply(
            [
                Reported(
                    source=name,
                    problems=(wrong,),
                    rejected=frozenset({key(name)}),
                    revision=revision,
                )
            ]
        )

    assert before.revision == first
    assert index.statuses[key("p")].revision == second
    assert index.statuses[key("q")].revision == never
    assert [each.target for each in index.statuses[key("q")].targets] == [web]


def test_a_mended_policy_is_accepted_again() -> None:
    index = index_of(service(), SLICE, policy("p", RANDOM))
    index.apply([REJECTION])

    changes = index.apply(
        [
            Applied(document=policy("p", LEAST)),
            Reported(source="p.yaml", problems=()),
        ]
    )

    assert accepted(index, "p").status
    assert len(changes.solved) == 1
    assert index.problems == ()


def test_a_policy_that_sets_nothing_leaves_the_port_to_the_next() -> None:
    nothing = policy("a")
    assert isinstance(nothing.body, TrafficPolicy)
    spec = nothing.body.spec.model_copy(update={"load_balancer": None})
    body = nothing.body.model_copy(update={"spec": spec})
    index = index_of(service(), SLICE, document(body), policy("b", RANDOM))

    assert in_force(index) == {80: LoadBalancerType.RANDOM}
    assert index.problems == ()
