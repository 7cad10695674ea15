"""The stretch of a source that one object fills, and where in it a field stands.

Places are asked for only when something is wrong, so nothing about them is kept but the
text itself: it is parsed anew, event by event, until the field is met.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import yaml
from yaml import (
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    YAMLError,
)
from yaml.error import Mark

from xds_server.api.problem import FieldPath, Place

_STARTS = (MappingStartEvent, SequenceStartEvent)
_ENDS = (MappingEndEvent, SequenceEndEvent)
_PREAMBLE = 2  # start of stream, start of document


class Locator(Protocol):
    """Knows where an object stands."""

    def locate(self, path: FieldPath, *, at_key: bool = False) -> Place:
        """Find the value at a path, or its key."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an object stands that has no text of its own: at *source*, all of it."""

    source: str

    def locate(self, path: FieldPath, *, at_key: bool = False) -> Place:
        """Return the source, whatever the path: that is said beside the place."""
        del path, at_key
        return Place(self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One object's own YAML or JSON text.

    `line` and `column`, from 0, tell where in `source` the text begins.
    """

    source: str
    text: str
    line: int = 0
    column: int = 0

    def locate(self, path: FieldPath, *, at_key: bool = False) -> Place:
        """Find the value at a path, or its key.

        Where the path was not written, the answer is the key of its nearest parent
        that was, or the object itself.
        """
        try:
            return self._place(_find(self._events(), path, at_key=at_key))
        except (YAMLError, StopIteration):  # JSON that is no YAML: tabs before a colon
            return Place(self.source, self.line + 1, self.column + 1)

    @property
    def _indent(self) -> int:
        """Block YAML needs its first line's indentation back, brackets do not."""
        return 0 if self.text.startswith(("{", "[")) else self.column

    def _events(self) -> Iterator[Event]:
        parser = yaml.CBaseLoader(" " * self._indent + self.text)
        while event := parser.get_event():
            yield event

    def _place(self, event: Event) -> Place:
        mark = cast("Mark", event.start_mark)  # every event of a parser has one
        column = mark.column
        if mark.line == 0:
            column += self.column - self._indent
        return Place(self.source, self.line + mark.line + 1, column + 1)


def _find(events: Iterator[Event], path: FieldPath, *, at_key: bool) -> Event:
    """Walk down the path and give the event where it ends."""
    for _ in range(_PREAMBLE):
        next(events)
    key = node = next(events)
    for step in path:
        child = _child(events, node, step)
        if child is None:
            return key
        key, node = child
    return key if at_key else node


def _child(
    events: Iterator[Event], parent: Event, step: str | int
) -> tuple[Event, Event] | None:
    """Give the child's key (an item: the item itself) and its first event."""
    if isinstance(parent, MappingStartEvent):
        while not isinstance(key := next(events), MappingEndEvent):
            _skip(events, key)
            value = next(events)
            if isinstance(key, ScalarEvent) and key.value == step:
                return key, value
            _skip(events, value)
    elif isinstance(parent, SequenceStartEvent) and isinstance(step, int):
        position = 0
        while not isinstance(item := next(events), SequenceEndEvent):
            if position == step:
                return item, item
            _skip(events, item)
            position += 1
    return None


def _skip(events: Iterator[Event], node: Event) -> None:
    """Pass over what is left of a node whose first event was taken."""
    depth = 1 if isinstance(node, _STARTS) else 0
    while depth:
        event = next(events)
        if isinstance(event, _STARTS):
            depth += 1
        elif isinstance(event, _ENDS):
            depth -= 1
