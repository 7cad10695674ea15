"""What a TrafficPolicy may be attached to, and what of it comes later."""

import pytest

from tests.api.corpus import LATER_FIELDS, SELECTORS, TARGETS
from tests.api.policies import HEAD, errors
from xds_server.api.decode import decode
from xds_server.api.policy import TargetRef, TrafficPolicy
from xds_server.api.problem import ObjectKey, Severity, report

POLICY = """\
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: shop, name: cart}
spec:
  targetRefs: TARGETS
  loadBalancer: {type: RoundRobin}
"""


def said(targets: str) -> str:
    data = POLICY.replace("TARGETS", targets).encode()
    return report(decode(data, source="x.yaml").problems)


@pytest.mark.parametrize(("written", "said"), SELECTORS)
def test_a_selector_says_whose_traffic_a_policy_is_for(written: str, said: str) -> None:
    found = errors(written, "clientSelector")

    assert len(found) == bool(said)
    assert "".join(found).startswith(said)


@pytest.mark.parametrize("field", LATER_FIELDS)
def test_fields_of_later_releases_are_refused_and_known(field: str) -> None:
    section, *inner = field.split(".")
    written = "5"
    for name in reversed(inner):
        written = f"{{{name}: {written}}}"
    data = f"{HEAD}  {section}: {written}\n"
    problems = decode(data.encode(), source="x.yaml").problems

    assert f"spec.{field}: not supported yet (got 5)" in [
        f"{each.path}: {each.message}" for each in problems
    ]


def test_a_target_is_a_service_or_one_port_of_it() -> None:
    port_of_a = "{kind: Service, name: a, sectionName: '80'}"
    data = POLICY.replace("TARGETS", f"[{{kind: Service, name: cart}}, {port_of_a}]")
    (document,) = decode(data.encode(), source="x.yaml").documents

    assert document.key == ObjectKey("TrafficPolicy", "shop", "cart")
    assert isinstance(document.body, TrafficPolicy)
    whole, port = document.body.spec.target_refs
    assert (whole.name, whole.section_name) == ("cart", None)
    assert (port.name, port.section_name) == ("a", "80")
    assert isinstance(whole, TargetRef)


@pytest.mark.parametrize(("targets", "expected"), TARGETS.items())
def test_targets_that_are_none_are_refused(targets: str, expected: str) -> None:
    assert said(targets) == f"{expected}\n1 error in 1 file"


def test_what_kubernetes_writes_into_an_object_is_passed_over() -> None:
    """A policy may come as `kubectl get -o yaml` prints it."""
    printed = POLICY.replace("TARGETS", "[{kind: Service, name: cart}]").replace(
        "name: cart}\nspec",
        "name: cart, uid: a, resourceVersion: '1', generation: 2, labels: {a: b}, "
        "creationTimestamp: '2026-01-01T00:00:00Z', managedFields: [], annotations: {}"
        "}"
        "\nstatus: {ancestors: []}\nspec",
    )

    assert decode(printed.encode(), source="x.yaml").problems == ()


def test_a_mistyped_metadata_field_is_none_of_those() -> None:
    data = POLICY.replace("namespace:", "namspace:").replace("TARGETS", "[]")

    assert (
        "metadata.namspace: unknown field\n  hint: did you mean namespace?"
        in report(decode(data.encode(), source="x.yaml").problems)
    )


def test_a_policy_that_sets_nothing_is_worth_a_warning() -> None:
    decoded = decode(HEAD.encode(), source="x.yaml")

    assert [one.severity for one in decoded.problems] == [Severity.WARNING]
    assert len(decoded.documents) == 1
