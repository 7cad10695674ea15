"""Nothing is lost without a word: each field becomes one of a policy, or is told of."""

from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest
from hypothesis import example, given, settings, strategies as st

from tests.importer.foreign import backend, istio, leaves, rule
from xds_server.api.decode import decode
from xds_server.api.manifest import Value
from xds_server.api.problem import FieldPath
from xds_server.importer import gateway_fields, istio_fields
from xds_server.importer.imported import Imported
from xds_server.importer.table import ITEM, Row, Table
from xds_server.importer.value import NotCarriedError

ODD: list[Value] = [None, True, False, 0, 1, -1, 5, 2**40, 1.5, "", "10", "x", "80%"]
FIT: list[Value] = [
    "10s",
    "0s",
    "1.5ms",
    "300000h",
    "ROUND_ROBIN",
    "LEAST_CONN",
    "PASSTHROUGH",
    "RoundRobin",
    "ConsistentHash",
    "BackendUtilization",
    "Random",
    "Header",
    "SourceIP",
    "HTTP",
    "TCP",
    "GRPC",
    "/healthz",
    "x-user",
    "5xx",
    "reset",
    "retriable-status-codes",
    "UPGRADE",
    "251",
    "20Mi",
    200,
    503,
    50,
    100,
    1024,
]
BLOCKS: list[Value] = [
    {},
    [],
    [1],
    [200, 201, 503],
    {"name": "x"},
    {"name": "x", "ttl": "5s", "path": "/a"},
    {"name": "x", "ttl": "5s", "attributes": {"SameSite": "Lax"}},
    {"name": "x", "ttl": "5s", "attributes": {"HttpOnly": "true", "Domain": "x"}},
    {"name": "x", "more": 1},
    {"numerator": 1, "denominator": 3},
    {"numerator": 1, "denominator": 0},
    {"type": "Text", "text": "PING"},
    {"type": "Binary", "binary": "!"},
]
VALUES = st.sampled_from(ODD) | st.sampled_from(FIT) | st.sampled_from(BLOCKS)


def put(block: dict[str, Value], field: str, value: Value) -> None:
    """Write a value at the field of a row, and what leads there."""
    name, dot, rest = field.partition(".")
    if name.endswith(ITEM):
        listed = block.setdefault(name.removesuffix(ITEM), [])
        if isinstance(listed, list):
            inner: dict[str, Value] = {}
            if dot:
                put(inner, rest, value)
            listed.append(inner if dot else value)
        return
    if not dot:
        block[name] = value
        return
    child = block.setdefault(name, {})
    if isinstance(child, dict):
        put(child, rest, value)


def fitting(row: Row) -> st.SearchStrategy[Value]:
    """Make values for a row, most of which it can read."""

    def is_read(value: Value) -> bool:
        with suppress(NotCarriedError):
            row.read(value)
            return True
        return False

    good = [value for value in (*ODD, *FIT, *BLOCKS) if is_read(value)]
    return st.sampled_from(good) | VALUES if good else VALUES


def documents(table: Table, *unknown: str) -> st.SearchStrategy[dict[str, Value]]:
    """Make objects of some fields that a table knows, and of some that it does not."""
    rows = [*table.rows, *(Row(field=field) for field in unknown)]
    pairs = st.one_of([st.tuples(st.just(row.field), fitting(row)) for row in rows])

    def build(written: list[tuple[str, Value]]) -> dict[str, Value]:
        spec: dict[str, Value] = {}
        for field, value in written:
            put(spec, field, value)
        return spec

    return st.lists(pairs, max_size=12).map(build)


def unsettled(imported: Imported) -> Iterator[FieldPath]:
    """Yield the fields of which nobody has heard."""
    for account in imported.accounts:
        for path in leaves(account.foreign.value.get("spec"), ("spec",)):
            above = (path[:length] for length in range(len(path) + 1))
            if account.outcomes.keys().isdisjoint(above):
                yield path


def missing(imported: Imported) -> Iterator[str]:
    """Yield the fields of policies that are said to be there, and are not."""
    for account in imported.accounts:
        for outcome in filter(None, account.outcomes.values()):
            if not any(_has(policy, outcome) for policy, _ in imported.policies):
                yield outcome


def _has(value: Value, outcome: str) -> bool:
    for step in outcome.replace("[", ".[").split("."):
        if isinstance(value, list) and step.startswith("["):
            if int(step[1:-1]) >= len(value):
                return False
            value = value[int(step[1:-1])]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return False
    return True


def check(imported: Imported) -> None:
    assert [*unsettled(imported)] == []
    if imported.policies:
        assert [*missing(imported)] == []
        decoded = decode(imported.text.encode(), source="imported")
        assert [one for one in decoded.problems if one.severity == "error"] == []
        assert len(decoded.documents) == len(imported.policies)


@settings(max_examples=200)
@given(
    traffic=documents(istio_fields.TRAFFIC_POLICY, "x", "connectionPool.x", "tls.x"),
    ports=st.lists(documents(istio_fields.PORT, "x", "loadBalancer.x"), max_size=2),
    others=st.dictionaries(
        st.sampled_from(["exportTo", "workloadSelector", "subsets", "x", "host"]),
        VALUES,
        max_size=2,
    ),
)
@example(
    traffic={
        "outlierDetection": {
            "splitExternalLocalOriginErrors": True,
            "consecutiveLocalOriginFailures": 2**40,
        }
    },
    ports=[],
    others={},
)
def test_every_field_of_a_rule_is_settled(
    traffic: dict[str, Value], ports: list[Value], others: Mapping[str, Value]
) -> None:
    if ports:
        traffic = {**traffic, "portLevelSettings": ports}

    check(istio(rule({"trafficPolicy": traffic, **others})))


@settings(max_examples=200)
@given(spec=documents(gateway_fields.SPEC, "x", "healthCheck.x", "http2.x"))
def test_every_field_of_a_backend_traffic_policy_is_settled(
    spec: dict[str, Value],
) -> None:
    check(backend(spec))


@pytest.mark.parametrize(
    "table", [istio_fields.TRAFFIC_POLICY, istio_fields.PORT, gateway_fields.SPEC]
)
def test_no_row_hides_another(table: Table) -> None:
    """A row takes all that is at its field, so none may be within another."""
    fields = [row.field for row in table.rows]

    assert len(fields) == len({*fields})
    assert not any(a != b and a.startswith(f"{b}.") for a in fields for b in fields)
