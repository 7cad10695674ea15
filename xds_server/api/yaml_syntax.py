"""YAML text in, manifests out: one per object, those inside of lists too.

Plain documents are read line by line, all others built straight from libyaml's events:
the usual way (node graph, resolver, constructor) takes several times as long.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

import yaml
from yaml.reader import ReaderError

from xds_server.api import block_syntax
from xds_server.api.manifest import (
    Manifest,
    Tree,
    TypeMeta,
    UnreadableError,
    Value,
    empty_list,
)
from xds_server.api.passage import Passage
from xds_server.api.problem import Place, Problem, field_path
from xds_server.api.yaml_builder import AliasCount, DocumentBuilder

_MARK: Final = re.compile(r"\n---[ \t]*\r?(?=\n|\Z)")
_DIRECTIVES: Final = ("\n%", "\n...")  # the end of a document may precede a directive


def read(text: str, *, source: str) -> Iterator[Manifest | Problem]:
    """Read the objects one by one; empty documents are passed over.

    A problem that comes alone belongs to no object, but to a list around objects.

    Raises:
        UnreadableError: at the first thing that is no YAML: all of it is void then.
    """
    line, aliases = 0, AliasCount()
    for chunk in _chunks(text):
        tree = block_syntax.read(chunk, source=source, line=line)
        trees = [tree] if tree else _trees(chunk, source, line, aliases)
        for one in trees:
            yield from _manifests(one)
        line += chunk.count("\n")


def _chunks(text: str) -> Iterator[str]:
    """Part a text before each `---` that has a line of its own.

    Such a line ends a document whatever it stands in, so the parts mean the same alone,
    unless directives before one are about what follows it.
    """
    starts: list[int] = []
    if not text.startswith("%") and not any(one in text for one in _DIRECTIVES):
        starts = [mark.start() + 1 for mark in _MARK.finditer(text)]
    for start, end in pairwise((0, *starts, len(text))):
        yield text[start:end]


def _trees(text: str, source: str, line: int, aliases: AliasCount) -> Iterator[Tree]:
    """Read a text by libyaml."""
    builder = DocumentBuilder(text, source, line=line, aliases=aliases)
    try:
        parser = yaml.CBaseLoader(text)
        while event := parser.get_event():
            if isinstance(event, yaml.DocumentEndEvent):
                yield builder.tree()
                builder = DocumentBuilder(text, source, line=line, aliases=aliases)
            else:
                builder.take(event)
    except yaml.YAMLError as error:
        raise UnreadableError(_syntax_problem(error, text, source, line)) from error


def _manifests(tree: Tree) -> Iterator[Manifest | Problem]:
    value = tree.value
    if value is None:
        return
    meta = TypeMeta.of(value)
    items = value.get("items") if isinstance(value, dict) else None
    if meta.is_list and isinstance(items, list):
        if not items:
            yield empty_list(tree.passage)
        yield from _items(tree, items, meta.of_items())
        return
    yield Manifest(
        passage=tree.passage,
        value=value,
        problems=tuple(problem for _, problem in tree.problems),
    )


def _items(
    tree: Tree, items: list[Value], inherited: TypeMeta
) -> Iterator[Manifest | Problem]:
    """Give each object of a list, with its own problems under its own paths."""
    problems: dict[int, list[Problem]] = {}
    for path, problem in tree.problems:
        match path:
            case ("items", int(position), *own_path):
                own = replace(problem, path=field_path(tuple(own_path)))
                problems.setdefault(position, []).append(own)
            case _:
                yield problem
    for position, value in enumerate(items):
        yield Manifest(
            passage=tree.items.get(position) or _spot(tree, position),
            value=value,
            inherited=inherited,
            problems=tuple(problems.get(position, ())),
        )


def _spot(tree: Tree, position: int) -> Passage:
    """Give the place of an item that is no object."""
    place = tree.passage.locate(("items", position))
    line, column = place.line - 1, place.column - 1
    return Passage(source=place.source, text="", line=line, column=column)


def _syntax_problem(
    error: yaml.YAMLError, text: str, source: str, first_line: int
) -> Problem:
    """Say in one sentence what libyaml met, and how to mend the usual causes."""
    if isinstance(error, ReaderError):
        return _character_problem(error, text, source, first_line)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Problem(place=Place(source), message=f"not valid YAML: {error}")
    mark = error.problem_mark
    what = error.problem or "unknown error"
    hint = _HINTS.get(what)
    if text[mark.index : mark.index + 1] == "\t":
        what, hint = "found a tab", "YAML indents with spaces"
    elif hint is None and error.context and error.context_mark:
        began = first_line + error.context_mark.line + 1
        hint = f"{error.context} that begins at line {began}"
    return Problem(
        place=Place(source, first_line + mark.line + 1, mark.column + 1),
        message=f"not valid YAML: {what}",
        hint=hint,
    )


_HINTS: Final = {
    "mapping values are not allowed in this context": (
        "quote text that contains a colon, and check the indentation"
    ),
    "found character that cannot start any token": "quote text that begins like this",
    "did not find expected <document start>": "part documents with a line of ---",
    "did not find expected node content": (
        "a bracket before this is not closed, or a value is missing"
    ),
    "found unexpected end of stream": "a quote or bracket is not closed",
}
"""By libyaml's words for it."""


def _character_problem(
    error: ReaderError, text: str, source: str, first_line: int
) -> Problem:
    """Place what libyaml's reader refuses: it counts bytes, from the text's start."""
    before = text.encode()[: error.position].decode(errors="ignore")
    found = ord(text[len(before)])
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    what = f"control characters are not allowed (got U+{found:04X})"
    return Problem(
        place=Place(source, first_line + line, column),
        message=f"not valid YAML: {what}",
        hint='write it as an escape in double quotes, such as "\\x07"',
    )
