"""What is wrong with plain values where a msgspec struct was expected: everything.

msgspec itself stops at the first mismatch and says it in its own words. This is asked
only after it refused, so it may take its time.
"""

from collections.abc import Iterator

import msgspec.inspect as shapes

from xds_server.api.manifest import Value
from xds_server.api.problem import Fault, FieldPath
from xds_server.api.wording import got

_NAMES: dict[type[shapes.Type], str] = {
    shapes.StrType: "a string",
    shapes.IntType: "an integer",
    shapes.FloatType: "a number",
    shapes.BoolType: "true or false",
    shapes.NoneType: "null",
    shapes.DictType: "a mapping",
    shapes.StructType: "a mapping",
    shapes.VarTupleType: "a list",
}


def without_nulls(value: Value) -> Value:
    """Drop the fields that are null: in Kubernetes that means absent."""
    if isinstance(value, dict):
        return {
            key: without_nulls(item) for key, item in value.items() if item is not None
        }
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def mismatches(
    value: Value, expected: shapes.Type, path: FieldPath = ()
) -> Iterator[Fault]:
    """Give a fault for every part of a value that its type does not allow."""
    match expected, value:
        case shapes.StructType(), dict():
            for field in expected.fields:
                yield from _field_mismatches(value, field, path)
        case shapes.DictType(), dict():
            for key, item in value.items():
                yield from mismatches(item, expected.value_type, (*path, key))
        case shapes.VarTupleType(), list():
            for position, item in enumerate(value):
                yield from mismatches(item, expected.item_type, (*path, position))
        case shapes.UnionType(), _:
            if all(any(mismatches(value, one, path)) for one in expected.types):
                yield _mismatch(value, path, *expected.types)
        case _:
            if not _fits(value, expected):
                yield _mismatch(value, path, expected)


def _field_mismatches(
    parent: dict[str, Value], field: shapes.Field, path: FieldPath
) -> Iterator[Fault]:
    own_path = (*path, field.encode_name)
    if field.encode_name in parent:
        yield from mismatches(parent[field.encode_name], field.type, own_path)
    elif field.required:
        yield Fault(path=own_path, message="required")


def _fits(value: Value, expected: shapes.Type) -> bool:
    match expected:
        case shapes.StrType():
            return isinstance(value, str)
        case shapes.BoolType():
            return isinstance(value, bool)
        case shapes.NoneType():
            return value is None
        case shapes.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case shapes.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return False


def _mismatch(value: Value, path: FieldPath, *expected: shapes.Type) -> Fault:
    names = [
        _NAMES.get(type(one), "something else")
        for one in expected
        if not isinstance(one, shapes.NoneType)
    ]
    quotes = "a string" in names and isinstance(value, bool | int | float)
    return Fault(
        path=path,
        message=f"must be {' or '.join(names)}{got(value)}",
        hint="quote it to make it a string" if quotes else None,
    )
