"""A real API server judges policies as `check` does, by the definition alone."""

import re
from collections.abc import Iterator

import msgspec
import pytest

from tests.api.corpus import KEY, LEAST, RING, corpus, one_address
from tests.integration.kubernetes.custom_resource import CustomResource
from tests.integration.kubernetes.namespace import Namespace
from tools.kubernetes.client import Client
from xds_server.api.decode import decode
from xds_server.api.policy import TrafficPolicy
from xds_server.api.problem import Severity
from xds_server.api.schema import RULES

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("kubernetes"),
]

REGEX = "header: {{name: a, regex: {{pattern: {}, substitution: {}}}}}"

SPELLING = "an enum has one spelling of each value; `check` says which in a notice"
ORCA = f"{SPELLING}, and the spelling says the source, too"
INTEGER = "in JSON, as which the API server reads it, this is an integer"
PROGRAM = "CEL does not know how many instructions RE2 needs"
GROUPS = "CEL does not know how many groups an expression has"
BYTE = "CEL's RE2 is that of Go, which has no escape for a single byte"
CHARACTER = "CEL reads a pattern as characters, Envoy as bytes"
MAPPED = "CEL knows no IPv4 addresses that are written as IPv6"

HOME = '"namespace":"shop"'
NAMESPACE = "CEL does not see `metadata.namespace`"

REFUSED_IN_A_CLUSTER_ONLY = {
    "alias-spelling.in.yaml#0": SPELLING,
    "{type: ROUND_ROBIN}": SPELLING,
    "{type: least-conn}": SPELLING,
    KEY.format("cookie: {name: a, sameSite: STRICT}"): SPELLING,
    "{type: CLIENT_SIDE_WEIGHTED_ROUND_ROBIN, performanceBased: {}}": ORCA,
    KEY.format(REGEX.format(r"'\C'", "x")): BYTE,
    one_address("'::ffff:10.0.0.1'"): MAPPED,
}
TAKEN_IN_A_CLUSTER_ONLY = {
    "namespace-target-of-another.in.yaml#0": NAMESPACE,
    LEAST.format("choiceCount: 2.0"): INTEGER,
    RING.format("minimumRingSize: 1e3"): INTEGER,
    KEY.format(REGEX.format("'^[A-Za-z0-9_-]{20,200}$'", "x")): PROGRAM,
    KEY.format(REGEX.format("'x{97}'", "x")): PROGRAM,
    KEY.format(REGEX.format(r"'\x{263a}'", "x")): CHARACTER,
    KEY.format(REGEX.format("'(a)(b)'", r"'\3'")): GROUPS,
}
"""The server checks them again when it reads them."""


class Column(msgspec.Struct, frozen=True):
    name: str


class Row(msgspec.Struct, frozen=True):
    cells: tuple[str | None, ...]


class Table(msgspec.Struct, frozen=True, rename="camel"):
    column_definitions: tuple[Column, ...]
    rows: tuple[Row, ...]


def taken_by_check(policy: str) -> TrafficPolicy | None:
    """Return what `check` makes of a policy; None where it has an error."""
    decoded = decode(policy.encode(), source="x.yaml")
    if any(one.severity is Severity.ERROR for one in decoded.problems):
        return None
    (document,) = decoded.documents
    assert isinstance(document.body, TrafficPolicy)
    return document.body


async def test_the_api_server_judges_as_check_does(
    policy_crd: CustomResource, namespace: Namespace
) -> None:
    refused, taken = set[str](), set[str]()
    for key, policy in corpus().items():
        answer = await policy_crd.try_create(namespace, policy)
        by_check = taken_by_check(policy)
        if answer.object is None and by_check is not None:
            refused.add(key)
        elif answer.object is not None and by_check is None:
            taken.add(key)

    assert refused == set(REFUSED_IN_A_CLUSTER_ONLY)
    assert taken == set(TAKEN_IN_A_CLUSTER_ONLY)


async def test_what_the_api_server_fills_in_changes_no_meaning(
    policy_crd: CustomResource, namespace: Namespace
) -> None:
    for policy in corpus().values():
        answer = await policy_crd.try_create(namespace, policy)
        meant = taken_by_check(policy)
        if answer.object is not None and meant is not None:
            found = msgspec.json.encode(answer.object).decode()
            # A policy may name its own namespace, which the test's is not.
            at_home = found.replace(f'"namespace":"{namespace.name}"', HOME)
            stored = taken_by_check(at_home)

            assert HOME in at_home
            assert stored is not None
            assert stored.spec == meant.spec


async def test_every_rule_is_met_and_broken(
    policy_crd: CustomResource, namespace: Namespace
) -> None:
    """No rule is there that no policy needs, or that no policy fulfils."""
    broken, met = set[str](), set[str]()
    rules = {message for _, message in messages(policy_crd.schema)}
    for policy in corpus().values():
        answer = await policy_crd.try_create(namespace, policy)
        if answer.object is not None:
            met |= set(reached(policy_crd.schema, answer.object))
        broken |= {each for each in rules if re.search(each, answer.refusal)}

    assert rules - broken == set()
    assert rules - met == set()


async def test_an_unknown_field_is_dropped_unless_asked_to_be_strict(
    policy_crd: CustomResource, namespace: Namespace
) -> None:
    policy = corpus()["later-section.in.yaml#0"]

    strict = await policy_crd.try_create(namespace, policy)
    assert 'retry.perTryTimeout"' in strict.refusal

    lenient = await policy_crd.try_create(namespace, policy, validation="Warn")
    assert lenient.object is not None
    assert "perTryTimeout" not in str(lenient.object)


async def test_the_definition_is_taken_whole(policy_crd: CustomResource) -> None:
    """Structural, its names free, and stored as it was written."""
    assert policy_crd.conditions["Established"] == "True"
    assert policy_crd.conditions["NamesAccepted"] == "True"
    assert policy_crd.conditions.get("NonStructuralSchema", "False") == "False"


def status(message: str) -> dict[str, object]:
    """Return the status of a policy for one target."""
    base = {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}
    return {
        "ancestors": [
            {
                "ancestorRef": {"kind": "Service", "name": "cart"},
                "controllerName": "traffic.xds-server.dev/xds-server",
                "conditions": [
                    {**base, "type": "Accepted", "status": "True"}
                    | {"reason": "Accepted", "message": ""},
                    {**base, "type": "Distributed", "status": "False"}
                    | {"reason": "Waiting", "message": message},
                ],
            }
        ]
    }


async def test_kubectl_shows_what_became_of_a_policy(
    policy_crd: CustomResource, namespace: Namespace
) -> None:
    await policy_crd.create(namespace, corpus()["nothing but targets"])
    path = policy_crd.path(namespace, "cart")
    client = namespace.client
    await client.patch(f"{path}/status", {"status": status("41 of 42 sidecars")})

    table = msgspec.json.decode(await client.table(path), type=Table)
    names = [column.name for column in table.column_definitions]
    shown = dict(zip(names, table.rows[0].cells, strict=True))
    assert shown.pop("Age")
    assert shown == {
        "Name": "cart",
        "Target": "cart",
        "Algorithm": None,
        "Accepted": "True",
        "Distributed": "False",
    }


async def test_the_status_is_written_apart_and_within_its_schema(
    policy_crd: CustomResource, namespace: Namespace
) -> None:
    await policy_crd.create(namespace, corpus()["nothing but targets"])
    path = policy_crd.path(namespace, "cart")

    async def refused(written: object) -> bool:
        return await is_invalid(namespace.client, f"{path}/status", written)

    (ancestor,) = msgspec.convert(status("")["ancestors"], list[dict[str, object]])
    assert not await refused({"ancestors": [ancestor] * 16})
    assert await refused({"ancestors": [ancestor] * 17})
    assert await refused({"ancestors": [{**ancestor, "conditions": []}]})
    assert await refused({"ancestors": [{**ancestor, "controllerName": "x"}]})

    await namespace.client.patch(path, {"status": {"ancestors": []}})
    stored = await namespace.client.get(path)
    assert stored.count(b'"ancestorRef"') == 16


async def is_invalid(client: Client, path: str, status: object) -> bool:
    """Whether the API server refuses a status for its schema."""
    return await client.patch_code(path, {"status": status}) == 422


def messages(schema: object) -> Iterator[tuple[str, str]]:
    """Yield the rules of a schema and its parts, each with a pattern of its message.

    The same message in two places is one rule.
    """
    if isinstance(schema, dict):
        for rule in schema.get(RULES, ()):
            expression = rule.get("messageExpression")
            if expression is None:
                yield rule["rule"], re.escape(rule["message"])
            else:
                texts = re.findall(r'"([^"]*)"', expression)
                yield rule["rule"], ".*".join(map(re.escape, texts))
        for key, part in schema.items():
            if key != RULES:
                yield from messages(part)


def reached(schema: object, value: object) -> Iterator[str]:
    """Yield the rules, by message, that were asked of an object and its parts."""
    if not isinstance(schema, dict):
        return
    yield from (message for _, message in messages({RULES: schema.get(RULES, ())}))
    if isinstance(value, dict):
        for key, part in value.items():
            other = schema.get("additionalProperties")
            yield from reached(schema.get("properties", {}).get(key, other), part)
    elif isinstance(value, list):
        for part in value:
            yield from reached(schema.get("items"), part)
