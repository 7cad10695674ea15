"""The CustomResourceDefinition of TrafficPolicy: what an API server takes and refuses.

In: the models of `xds_server.api.policy`, with the forms and rules that they carry.
Out: a mapping, as Kubernetes writes it. The schema is structural and has only what this
release builds: what comes later is an unknown field. An API server drops those, and
refuses them where it is asked to be strict (`fieldValidation=Strict`), as kubectl does.
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from datetime import timedelta
from types import NoneType, UnionType
from typing import Annotated, Final, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from xds_server.api import crd_status, duration
from xds_server.api.duration import format_duration
from xds_server.api.field import Choice
from xds_server.api.model import Model
from xds_server.api.policy import API_VERSION, PolicySpec, TrafficPolicy
from xds_server.api.schema import RULES, Rule, Schema, quoted

PLURAL: Final = "trafficpolicies"
_GROUP: Final = API_VERSION.partition("/")[0]
_VERSION: Final = API_VERSION.partition("/")[2]

_TYPES: Final = {str: "string", int: "integer", float: "number", bool: "boolean"}
_SIZES: Final = {
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
    "string": ("minLength", "maxLength"),
}
_FIRST_ANCESTOR: Final = ".status.ancestors[0].conditions[?(@.type=='{}')].status"


def custom_resource_definition() -> Schema:
    """Make the CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "names": {
                "kind": TrafficPolicy.__name__,
                "listKind": f"{TrafficPolicy.__name__}List",
                "plural": PLURAL,
                "singular": TrafficPolicy.__name__.lower(),
                "shortNames": ["tp"],
                "categories": ["xds-server"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": _VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": _columns(),
                    "schema": {"openAPIV3Schema": _object()},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def _columns() -> list[Schema]:
    """Say what `kubectl get` shows: of targets and of what became of them the first."""
    return [
        _column("Target", ".spec.targetRefs[0].name"),
        _column("Algorithm", ".spec.loadBalancer.type"),
        _column("Accepted", _FIRST_ANCESTOR.format("Accepted")),
        _column("Distributed", _FIRST_ANCESTOR.format("Distributed")),
        _column("Age", ".metadata.creationTimestamp", type_="date"),
    ]


def _column(name: str, path: str, *, type_: str = "string") -> Schema:
    return {"name": name, "type": type_, "jsonPath": path}


def _object() -> Schema:
    return {
        "description": _description(TrafficPolicy),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": object_schema(PolicySpec),
            "status": crd_status.status_schema(),
        },
    }


def object_schema(model: type[Model]) -> Schema:
    """Make the schema of a model: of its fields that are built, and of its rules."""
    schema: Schema = {"description": _description(model), "type": "object"}
    properties: Schema = {}
    required: list[str] = []
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if alias in model.later:
            continue
        value = _value(field.annotation, field.metadata)
        if field.description is not None:
            value = {**value, "description": _running(field.description)}
        default = _written(field.get_default())
        if field.is_required():
            required.append(alias)
        elif alias not in model.told_apart and default not in (None, []):
            value["default"] = default
        properties[alias] = value
    if required:
        schema["required"] = required
    if properties:
        schema["properties"] = properties
    return _ruled(schema, model.served_rules)


def _value(annotation: object, metadata: Sequence[object]) -> Schema:
    """Make the schema of a type with what is annotated to it, inner things first."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value(arguments[0], [*_flat(arguments[1:]), *metadata])
    if origin in (Union, UnionType):
        (only,) = (one for one in arguments if one is not NoneType)
        return _value(only, metadata)
    return _annotated(_plain(annotation, metadata), metadata)


def _plain(annotation: object, metadata: Sequence[object]) -> Schema:
    """Make the schema of a type, without what is annotated to it but bounds."""
    if get_origin(annotation) is tuple:
        return {"type": "array", "items": _value(get_args(annotation)[0], ())}
    if not isinstance(annotation, type):
        raise _no_schema(annotation)
    if issubclass(annotation, Model):
        return object_schema(annotation)
    if issubclass(annotation, Choice):
        choices = [str(choice) for choice in annotation]
        description = _description(annotation)
        return {"description": description, "type": "string", "enum": choices}
    if issubclass(annotation, timedelta):
        return _duration(metadata)
    if annotation not in _TYPES:
        raise _no_schema(annotation)
    return {"type": _TYPES[annotation], **_range(metadata)}


def _no_schema(annotation: object) -> TypeError:
    return TypeError(f"no schema for {annotation}")


def _annotated(schema: Schema, metadata: Sequence[object]) -> Schema:
    """Add forms, rules and sizes; what is added last counts."""
    for one in metadata:
        if isinstance(one, WithJsonSchema):
            added = deepcopy(one.json_schema or {})
            rules = [*_list(schema.get(RULES)), *_list(added.pop(RULES, None))]
            if added.get("type") == "object":
                schema.pop("items", None)
            schema |= added
            if rules:
                schema[RULES] = rules
    least, most = _SIZES.get(str(schema["type"]), ("", ""))
    for one in metadata:
        if isinstance(one, MinLen):
            schema[least] = one.min_length
        elif isinstance(one, MaxLen):
            schema[most] = one.max_length
    return schema


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _flat(metadata: Iterable[object]) -> Iterable[object]:
    """Give the bounds that a `Field` in an annotation stands for."""
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from one.metadata
        else:
            yield one


def _range(metadata: Sequence[object]) -> Schema:
    schema: Schema = {}
    for one in metadata:
        match one:
            case Ge(ge=bound):
                schema["minimum"] = bound
            case Gt(gt=bound):
                schema |= {"minimum": bound, "exclusiveMinimum": True}
            case Le(le=bound):
                schema["maximum"] = bound
            case _:
                pass
    return schema


def _duration(metadata: Sequence[object]) -> Schema:
    """Make the schema of a duration, whose bounds are those that stand last."""
    range_ = _range(metadata)
    shortest, longest = _written(range_["minimum"]), _written(range_["maximum"])
    rule = Rule(
        holds=f"!self.matches({quoted(duration.FORM)}) || "
        f"duration(self) >= duration('{shortest}') && "
        f"duration(self) <= duration('{longest}')",
        message=f"must be a duration between {shortest} and {longest}",
    )
    lengths = {"minLength": 1, "maxLength": duration.LONGEST}
    return _ruled({"type": "string", "pattern": duration.FORM, **lengths}, [rule])


def _ruled(schema: Schema, rules: Sequence[Rule]) -> Schema:
    return schema | ({RULES: [rule.as_mapping() for rule in rules]} if rules else {})


def _written(value: object) -> object:
    """Write a default as a user would."""
    match value:
        case timedelta():
            return format_duration(value)
        case Choice():
            return str(value)
        case Model():
            fields = type(value).model_fields
            return {
                fields[name].alias or name: _written(getattr(value, name))
                for name in fields
                if name in value.model_fields_set
            }
        case tuple():
            return [_written(one) for one in value]
        case _:
            return value


def _description(described: type) -> str:
    """Give a docstring as running text, with fields as users write them."""
    running = _running(inspect.cleandoc(described.__doc__ or ""))
    return re.sub(r"`([a-z]+_[a-z_]+)`", lambda one: f"`{to_camel(one[1])}`", running)


def _running(text: str) -> str:
    """Give a text without its line breaks."""
    return " ".join(text.split())
