"""JSON text in, manifests out: what `kubectl get -o json` prints, ten times as fast.

A key given twice counts as JSON parsers count it: the last one holds.
"""

import json
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from xds_server.api.manifest import (
    Manifest,
    TypeMeta,
    UnreadableError,
    Value,
    empty_list,
)
from xds_server.api.passage import Passage
from xds_server.api.problem import Place, Problem


class _List(msgspec.Struct, rename="camel"):
    """A list of objects that are not decoded yet."""

    api_version: str
    kind: str
    items: list[msgspec.Raw]


def read(text: str, *, source: str) -> list[Manifest | Problem] | None:
    """Read all objects; None where the text is no JSON mapping: YAML says why.

    Raises:
        UnreadableError: a mapping that is no JSON, in what is called `.json`.
    """
    if not text.lstrip().startswith("{"):
        return None
    try:
        return list(_objects(text, source))
    except (msgspec.MsgspecError, RecursionError):
        if source.endswith(".json"):
            _require_json(text, source)
        return None


def _require_json(text: str, source: str) -> None:
    """Ask a parser that knows places what is wrong with the writing."""
    with suppress(RecursionError):
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            message = error.msg[0].lower() + error.msg[1:]
            problem = Problem(
                place=Place(source, error.lineno, error.colno),
                message=f"not valid JSON: {message}",
                hint="JSON has double quotes, no comments, and no comma at the end",
            )
            raise UnreadableError(problem) from error


def _objects(text: str, source: str) -> Iterator[Manifest | Problem]:
    try:
        found = msgspec.json.decode(text, type=_List)
    except msgspec.ValidationError:
        found = None
    meta = TypeMeta(found.api_version, found.kind) if found else TypeMeta()
    if found and meta.is_list:
        if not found.items:
            yield empty_list(Passage(source=source, text=text))
        for passage in _passages(text, found.items, source):
            value: Value = msgspec.json.decode(passage.text)
            yield Manifest(passage=passage, value=value, inherited=meta.of_items())
        return
    yield Manifest(
        passage=Passage(source=source, text=text), value=msgspec.json.decode(text)
    )


def _passages(text: str, items: list[msgspec.Raw], source: str) -> Iterator[Passage]:
    """Find each item again: they stand in the text in this order."""
    line = column = end = 0
    for item in items:
        found = bytes(item).decode()
        start = _after_comma(text, end) if end else text.index(found)
        line, column = _advance(line, column, text[end:start])
        yield Passage(source=source, text=found, line=line, column=column)
        line, column = _advance(line, column, found)
        end = start + len(found)


def _advance(line: int, column: int, text: str) -> tuple[int, int]:
    """Count on over a text."""
    newlines = text.count("\n")
    if newlines:
        return line + newlines, len(text) - text.rfind("\n") - 1
    return line, column + len(text)


def _after_comma(text: str, position: int) -> int:
    """Skip what JSON allows between two items."""
    while text[position] in ", \t\r\n":
        position += 1
    return position
