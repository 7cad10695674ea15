"""The definition is one that an API server takes: structural, bounded, complete.

What a real one makes of it is in tests/integration/kubernetes.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
import pytest

from xds_server.api.crd import custom_resource_definition, object_schema
from xds_server.api.hash_key import HashCookie
from xds_server.api.model import Model
from xds_server.api.policy import (
    LeastRequest,
    PerformanceBased,
    Retry,
    RingHash,
    SlowStart,
)
from xds_server.api.schema import RULES, Rule

Part = dict[str, object]
TYPES: Final = {"object", "array", "string", "integer", "number", "boolean"}
NOT_STRUCTURAL: Final = {"$ref", "$defs", "title", "const", "oneOf", "definitions"}


class Column(msgspec.Struct, frozen=True):
    name: str
    type: str
    json_path: str = msgspec.field(name="jsonPath")


class Version(msgspec.Struct, frozen=True):
    name: str
    served: bool
    storage: bool
    schema: dict[str, Part]
    subresources: Part
    columns: tuple[Column, ...] = msgspec.field(name="additionalPrinterColumns")


class Names(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    plural: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]


class Spec(msgspec.Struct, frozen=True):
    group: str
    scope: str
    names: Names
    versions: tuple[Version, ...]


class Definition(msgspec.Struct, frozen=True):
    spec: Spec


SPEC: Final = msgspec.convert(custom_resource_definition(), Definition).spec
(VERSION,) = SPEC.versions


def parts(schema: Part, path: str = "") -> Iterator[tuple[str, Part]]:
    """Yield a schema and the schemas of all its fields and items, with their paths."""
    yield path, schema
    fields = msgspec.convert(schema.get("properties", {}), dict[str, Part])
    for name, field in fields.items():
        yield from parts(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from parts(msgspec.convert(schema[key], Part), f"{path}[]")


PARTS: Final = dict(parts(VERSION.schema["openAPIV3Schema"]))


def field(model: type[Model], name: str) -> Part:
    """Return the schema of a field."""
    fields = msgspec.convert(object_schema(model)["properties"], dict[str, Part])
    return fields[name]


@pytest.mark.parametrize("path", PARTS)
def test_every_part_is_structural(path: str) -> None:
    part = PARTS[path]

    assert part["type"] in TYPES
    assert not NOT_STRUCTURAL & part.keys()
    assert not ("properties" in part and "additionalProperties" in part)


@pytest.mark.parametrize("path", [path for path in PARTS if ".spec" in path])
def test_what_rules_look_at_is_bounded(path: str) -> None:
    """An API server refuses rules that may take long."""
    part = PARTS[path]

    if part["type"] == "array":
        assert "maxItems" in part
    if "additionalProperties" in part:
        assert "maxProperties" in part
    if part["type"] == "string" and RULES in part:
        assert "maxLength" in part


def test_it_is_found_under_these_names() -> None:
    assert (SPEC.group, SPEC.scope) == ("traffic.xds-server.dev", "Namespaced")
    assert (VERSION.name, VERSION.served, VERSION.storage) == ("v1alpha1", True, True)
    assert SPEC.names.plural == "trafficpolicies"
    assert SPEC.names.short_names == ("tp",)
    assert SPEC.names.categories == ("xds-server",)
    assert VERSION.subresources == {"status": {}}


def test_kubectl_shows_these_columns() -> None:
    first = ".status.ancestors[0].conditions"

    assert [(one.name, one.type, one.json_path) for one in VERSION.columns] == [
        ("Target", "string", ".spec.targetRefs[0].name"),
        ("Algorithm", "string", ".spec.loadBalancer.type"),
        ("Accepted", "string", f"{first}[?(@.type=='Accepted')].status"),
        ("Distributed", "string", f"{first}[?(@.type=='Distributed')].status"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ]


@pytest.mark.parametrize("model", [Retry])
def test_what_comes_later_is_an_unknown_field(model: type[Model]) -> None:
    fields = msgspec.convert(object_schema(model)["properties"], Part)

    assert model.later
    assert not model.later & fields.keys()


def test_every_object_is_described_in_the_words_of_users() -> None:
    for path, part in PARTS.items():
        if ".spec" in path and "properties" in part:
            assert part.get("description"), path
            assert "active_request" not in str(part["description"])


def test_defaults_are_written_as_users_do() -> None:
    assert field(LeastRequest, "selectionMethod")["default"] == "NChoices"
    assert field(HashCookie, "ttl")["default"] == "0s"
    assert field(HashCookie, "secure")["default"] is False
    assert PARTS[".spec.retry.retryOn"]["default"] == [
        *("connect-failure", "refused-stream", "unavailable", "reset-before-request")
    ]


def test_no_default_is_applied_where_leaving_out_means_something_else() -> None:
    assert "default" not in field(LeastRequest, "choiceCount")
    assert "default" not in field(RingHash, "maximumRingSize")
    assert "default" not in field(PerformanceBased, "updatePeriod")
    assert "default" not in field(PerformanceBased, "expiration")
    assert "default" not in PARTS[".spec.loadBalancer.hashOn"]
    assert "default" not in PARTS[".spec.loadBalancer.weights"]
    assert "default" not in PARTS[".spec.loadBalancer.weights.rules"]


def test_choices_are_those_that_are_built() -> None:
    assert field(PerformanceBased, "source")["enum"] == [
        "ControlPlane",
        "OrcaHeaders",
        "OrcaOutOfBand",
    ]
    assert field(PerformanceBased, "source")["default"] == "ControlPlane"
    assert PARTS[".spec.targetRefs[].kind"]["enum"] == ["Service", "Namespace"]


def test_bounds_are_those_of_the_field_itself() -> None:
    aggression = {"type": "number", "minimum": 0, "exclusiveMinimum": True}

    found = field(SlowStart, "aggression")
    assert found.pop("description") == "Above 1: more of it at once."
    assert found == {**aggression, "maximum": 100, "default": 1.0}
    (rule,) = msgspec.convert(field(SlowStart, "window")[RULES], list[Part])
    assert rule["message"] == "must be a duration between 1s and 87600h"


def test_a_message_may_tell_what_was_found() -> None:
    rule = Rule(holds="a", message='got "{}"!', found="self.type", at="type")

    assert rule.as_mapping() == {
        "rule": "a",
        "reason": "FieldValueInvalid",
        "messageExpression": r'"got \"" + self.type + "\"!"',
        "fieldPath": ".type",
    }


class Strange(Model):
    """A model with a field of a type that no other has."""

    value: bytes = b""


def test_a_type_without_a_schema_is_told_by_name() -> None:
    with pytest.raises(TypeError, match="no schema for <class 'bytes'>"):
        object_schema(Strange)
