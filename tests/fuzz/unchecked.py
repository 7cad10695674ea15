"""Policies that nobody has checked: what the models would be without their rules.

What a user may write in, as plain YAML values; the model of it out, with defaults
filled in. Types still count, since nothing else can stand in a field of Python either;
what ranges and rules refuse does not. For tests of what a rule is good for.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TypeVar, get_args

from pydantic_core import PydanticUndefined

from xds_server.api.duration import parse_duration
from xds_server.api.field import Choice
from xds_server.api.model import Model

Made = TypeVar("Made", bound=Model)


class WrongTypeError(Exception):
    """What is written cannot stand in the field, whatever its rules."""


def unchecked(model: type[Made], written: Mapping[str, object]) -> Made:
    """Return *model* of what is *written*.

    Raises:
        WrongTypeError: something has another type than its field, or no field.
    """
    given = {key: value for key, value in written.items() if value is not None}
    aliases = {info.alias or name: name for name, info in model.model_fields.items()}
    if unknown := given.keys() - aliases.keys():
        raise WrongTypeError(str(unknown))
    filled = model.filled(given)
    found: dict[str, object] = {}
    for alias, name in aliases.items():
        info = model.model_fields[name]
        if alias in filled:
            found[name] = _value(info.annotation, filled[alias])
        elif info.is_required():
            raise WrongTypeError(alias)
        elif info.default is not PydanticUndefined:
            found[name] = info.default
    made = model.model_construct(_fields_set={*found}, **found)
    assert isinstance(made, model)
    return made


def _value(annotation: object, written: object) -> object:
    """Return *written* as its field has it; a mapping of anything is text there."""
    if annotation is str and isinstance(written, dict):
        return json.dumps(written)
    if annotation is str and isinstance(written, list):
        raise WrongTypeError(repr(written))
    return _part(list(_leaves(annotation)), written)


def _part(kinds: list[type], written: object) -> object:
    """Return *written* as one of *kinds*; a list has items of these."""
    if isinstance(written, list | tuple):
        return tuple(_part(kinds, one) for one in written)
    if isinstance(written, dict):
        models = [one for one in kinds if issubclass(one, Model)]
        return unchecked(models[0], written) if models else tuple(written.items())
    if isinstance(written, Model | timedelta):
        return written
    return _plain(kinds, written)


def _plain(kinds: list[type], written: object) -> object:
    """Return *written*, which is made of nothing else, as one of *kinds*."""
    if timedelta in kinds and isinstance(written, str):
        duration = parse_duration(written)
        if duration is not None:
            return duration
    for one in kinds:
        if issubclass(one, Choice) and written in list(one):
            return one(str(written))
    numbers = {int, float} if float in kinds else {int} & {*kinds}
    texts = {str, bool} & {*kinds}
    if type(written) not in numbers | texts:
        raise WrongTypeError(repr(written))
    return written


def _leaves(annotation: object) -> Iterator[type]:
    inner = get_args(annotation)
    if not inner:
        assert isinstance(annotation, type), annotation
        yield annotation
        return
    for one in inner:
        if isinstance(one, type) or get_args(one):
            yield from _leaves(one)
