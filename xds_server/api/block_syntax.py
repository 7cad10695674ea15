"""The plain part of YAML that kubectl prints, read line by line: about twice as fast.

Block mappings and lists, scalars on one line, block literals. At anything else (a
comment, an anchor, a wrapped line, a key given twice) this gives up and libyaml reads
the document, so both must agree wherever this does not give up.
"""

import re
import sys
from functools import lru_cache
from typing import Final, NamedTuple

from xds_server.api import scalar
from xds_server.api.manifest import Tree, Value
from xds_server.api.passage import Passage

_DEPTH: Final = 50
"""Less than libyaml's reader allows: that one has to say what is wrong."""

_WORD: Final = r"[A-Za-z0-9_./+@=,-]+"
_LINE: Final = re.compile(
    rf"""
    (?P<indent>\ *)
    (?P<dash>-\ )?
    (?:(?P<key>[A-Za-z_][A-Za-z0-9_./-]{{0,200}}):(?:\ |\Z))?
    (?:
      (?P<plain>
        (?=[A-Za-z0-9_/]|[-.+][A-Za-z0-9]){_WORD}(?:[ :]{_WORD})*
      )
      | "(?P<double>[ !#-\[\]-~]*)"
      | '(?P<single>[ -&(-~]*)'
      | (?P<flow>\{{\}}|\[\])
      | (?P<literal>\|-?)
    )?""",
    re.VERBOSE,
)
_LITERAL_LINE: Final = re.compile(r"( *)([!-~][ -~]*)\n")

_MARK: Final = "---\n"
_Open = tuple[int, list[Value] | dict[str, Value]]
"""A container that may still grow, and the column of its dashes or keys."""


class _Line(NamedTuple):
    """What a line says: an item, a key, a value; `form` is the last group of it."""

    column: int
    is_item: bool
    key: str | None
    form: str | None
    value: Value


class _UnplainError(Exception):
    """Met something that libyaml should read."""


def read(text: str, *, source: str, line: int = 0) -> Tree | None:
    """Read one document that begins at a line of its source; None: not plain enough."""
    block = _Block(text)
    try:
        block.read()
    except _UnplainError:
        return None
    return Tree(
        value=block.root,
        passage=Passage(source=source, text=text, line=line),
        items=block.item_passages(source, line),
    )


class _Block:
    """One document on its way: the open containers, innermost last."""

    def __init__(self, text: str) -> None:
        self.root: dict[str, Value] = {}
        self._text = text
        self._line = 0
        self._open: list[_Open] = [(0, self.root)]
        self._awaited: str | None = None
        self._items: list[Value] = []
        self._starts: list[tuple[int, int, int]] = []
        self._items_end = len(text)

    def read(self) -> None:
        """Read all lines."""
        position = 0
        if self._text.startswith(_MARK):
            position, self._line = len(_MARK), 1
        while position < len(self._text):
            end = self._text.find("\n", position)
            end = len(self._text) if end < 0 else end
            line = _read_line(self._text[position:end])
            if line is None:
                raise _UnplainError
            position = self._take(line, position, end + 1)
            self._line += 1
        if not self.root:
            raise _UnplainError

    def item_passages(self, source: str, line: int) -> dict[int, Passage]:
        """Give the passages of a list's objects: each ends where the next line does."""
        ends = [start - column for start, _, column in self._starts[1:]]
        return {
            position: Passage(
                source=source,
                text=self._text[start:end],
                line=line + own_line,
                column=column,
            )
            for position, ((start, own_line, column), end) in enumerate(
                zip(self._starts, [*ends, self._items_end], strict=False)
            )
        }

    def _take(self, line: _Line, start: int, end: int) -> int:
        """Take a line, and those of a literal; give where the next one begins."""
        column, is_item, key, form, value = line
        if is_item:
            items = self._list_at(column, start)
            column += len("- ")
            if items is self._items:
                self._starts.append((start + column, self._line, column))
            if key is None:
                items.append(value)
                return end
            mapping: dict[str, Value] = {}
            items.append(mapping)
            self._push(column, mapping)
        elif key is None:
            raise _UnplainError
        else:
            mapping = self._mapping_at(column, start)
        if key in mapping:
            raise _UnplainError
        mapping[key] = value
        if form == "key":
            self._awaited = key
        elif form == "literal":
            mapping[key], end = self._literal(end, chomps=value == "|-")
        return end

    def _list_at(self, column: int, start: int) -> list[Value]:
        """Find the list whose dashes stand at a column, or open it."""
        around, parent = self._open[-1]
        if self._awaited is not None and column >= around and isinstance(parent, dict):
            items: list[Value] = []
            parent[self._awaited] = items
            if parent is self.root and self._awaited == "items":
                self._items = items
            self._push(column, items)
            return items
        found = self._close(column, list, start)
        if not isinstance(found, list):
            raise _UnplainError
        return found

    def _mapping_at(self, column: int, start: int) -> dict[str, Value]:
        """Find the mapping whose keys stand at a column, or open it."""
        around, parent = self._open[-1]
        if self._awaited is None:
            if around == column and isinstance(parent, dict):
                return parent
        elif column > around and isinstance(parent, dict):
            mapping: dict[str, Value] = {}
            parent[self._awaited] = mapping
            self._push(column, mapping)
            return mapping
        found = self._close(column, dict, start)
        if not isinstance(found, dict):
            raise _UnplainError
        return found

    def _push(self, column: int, container: list[Value] | dict[str, Value]) -> None:
        if len(self._open) == _DEPTH:
            raise _UnplainError
        self._open.append((column, container))
        self._awaited = None

    def _close(
        self, column: int, kind: type, start: int
    ) -> list[Value] | dict[str, Value] | None:
        """Close what ends before this line; give what stands at its column."""
        self._awaited = None
        while self._open:
            around, container = self._open[-1]
            if around < column:
                return None
            if around == column and isinstance(container, kind):
                return container
            self._open.pop()
            if container is self._items:
                self._items_end = start
        return None

    def _literal(self, position: int, *, chomps: bool) -> tuple[str, int]:
        """Read the lines of a block literal, which are deeper than their key."""
        indent = 0
        lines: list[str] = []
        while found := _LITERAL_LINE.match(self._text, position):
            if not lines:
                indent = len(found[1])
            if indent <= self._open[-1][0] or len(found[1]) < indent:
                break
            lines.append(found[0][indent:])
            position = found.end()
        if not lines:
            raise _UnplainError
        self._line += len(lines)
        text = "".join(lines)
        return (text.removesuffix("\n") if chomps else text), position


@lru_cache(maxsize=4096)
def _read_line(text: str) -> _Line | None:
    """Read a line by itself; most lines of a large file are there many times."""
    match = _LINE.fullmatch(text)
    if match is None:
        return None
    form, key = match.lastgroup, match["key"]
    if form in {"indent", "dash"} or (form == "literal" and key is None):
        return None
    value: Value = None
    if form == "plain":
        value = scalar.resolve(match["plain"])
    elif form == "flow":
        value = {} if match["flow"] == "{}" else []
    elif form is not None and form != "key":
        value = match[form]
    key = key and sys.intern(key)
    return _Line(len(match["indent"]), match["dash"] is not None, key, form, value)
