"""Plain values out of the events of one YAML document.

A stack of frames, one per open list or mapping; nothing recurses, so no nesting can
exhaust the interpreter's stack. Aliases share their value and are counted, before
anybody walks what they would expand to.
"""

import sys
from dataclasses import dataclass
from typing import cast

import yaml
from yaml.error import Mark

from xds_server.api import scalar
from xds_server.api.manifest import Tree, UnreadableError, Value
from xds_server.api.passage import Passage
from xds_server.api.problem import FieldPath, Place, Problem, field_path

MAX_DEPTH = 100
"""Nesting of lists and mappings; a Kubernetes object has about ten."""

MAX_ALIASED_VALUES = 100_000
"""How many values all aliases of a source may stand for."""

_LIST_DEPTH = 2  # where the objects of a list stand: below it and its items


@dataclass(slots=True)
class AliasCount:
    """What the aliases of a source stand for so far; its documents share it."""

    values: int = 0


class _Frame:
    """A list or mapping that is not closed yet; `key` is where the next value goes.

    The value of a merge key goes nowhere: what it means was refused.
    """

    __slots__ = ("container", "is_merge", "key", "key_event", "start", "values_before")

    def __init__(self, event: yaml.CollectionStartEvent, values_before: int) -> None:
        self.container: list[Value] | dict[str, Value] = (
            {} if isinstance(event, yaml.MappingStartEvent) else []
        )
        self.key: str | None = None
        self.is_merge = False
        self.key_event: yaml.Event = event
        self.start = event
        self.values_before = values_before

    @property
    def awaits_key(self) -> bool:
        return self.key is None and isinstance(self.container, dict)

    @property
    def step(self) -> str | int | None:
        """Where the next value goes; a mapping may not have said so yet."""
        return self.key if isinstance(self.container, dict) else len(self.container)


class DocumentBuilder:
    """Takes the events of one document, then gives its tree.

    `line` is where in the source the text begins. Raises UnreadableError where going on
    would cost too much.
    """

    def __init__(
        self, text: str, source: str, *, line: int, aliases: AliasCount
    ) -> None:
        self._value: Value = None
        self._items: dict[int, Passage] = {}
        self._problems: list[tuple[FieldPath, Problem]] = []
        self._aliases = aliases
        self._line = line
        self._text = text
        self._source = source
        self._span: tuple[yaml.Event, yaml.Event] | None = None
        self._frames: list[_Frame] = []
        self._values = 0
        self._anchors: dict[str, tuple[Value, int]] = {}

    def tree(self) -> Tree:
        """Give the document that was built."""
        whole = Passage(source=self._source, text="", line=self._line)
        if self._span is not None:
            whole = self._passage(*self._span)
        return Tree(
            value=self._value,
            passage=whole,
            items=self._items,
            problems=self._problems,
        )

    def take(self, event: yaml.Event) -> None:
        """Go one event further; those that carry no value are passed over."""
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        text = event.value
        if event.tag is not None or event.anchor is not None:
            self._decorated(event, text)
        if self._frames and (frame := self._frames[-1]).awaits_key:
            frame.key = sys.intern(text)
            frame.key_event = event
            frame.is_merge = text == "<<" and event.implicit[0]
            if frame.is_merge:
                message = "YAML merge keys are not supported"
                self._refuse(event, message, "write the fields out")
            return
        self._add(scalar.resolve(text) if event.implicit[0] else text, event, event)

    def _decorated(self, event: yaml.ScalarEvent, text: str) -> None:
        if event.tag is not None:
            self._refuse_tag(event, event.tag)
        if event.anchor is not None:
            value = scalar.resolve(text) if event.implicit[0] else text
            self._anchors[event.anchor] = (value, 1)

    def _start(self, event: yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            self._refuse_tag(event, event.tag)
        if len(self._frames) == MAX_DEPTH:
            raise UnreadableError(
                Problem(
                    place=self._place(event),
                    message=f"nested deeper than {MAX_DEPTH} levels",
                    hint="no object that is read here needs more than ten",
                )
            )
        self._frames.append(_Frame(event, self._values))

    def _end(self, event: yaml.CollectionEndEvent) -> None:
        frame = self._frames.pop()
        if frame.start.anchor is not None:
            size = self._values - frame.values_before + 1
            self._anchors[frame.start.anchor] = (frame.container, size)
        if len(self._frames) == _LIST_DEPTH and self._frames[0].key == "items":
            position = self._frames[1].step
            if isinstance(position, int):
                self._items[position] = self._passage(frame.start, event)
        self._add(frame.container, frame.start, event)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = event.anchor or ""
        if name not in self._anchors:
            self._refuse(
                event,
                f"no anchor of this name before it (got *{name})",
                f"write &{name} before the value that it stands for",
            )
        value, size = self._anchors.get(name, (None, 1))
        self._aliases.values += size
        if self._aliases.values > MAX_ALIASED_VALUES:
            raise UnreadableError(
                Problem(
                    place=self._place(event),
                    message=(
                        "YAML aliases stand for more than "
                        f"{MAX_ALIASED_VALUES} values (got *{name})"
                    ),
                    hint="write the values out instead of nesting aliases",
                )
            )
        self._values += size - 1
        self._add(value, event, event)

    def _add(self, value: Value, start: yaml.Event, end: yaml.Event) -> None:
        self._values += 1
        if not self._frames:
            self._span = (start, end)
            self._value = value
            return
        frame = self._frames[-1]
        container = frame.container
        if isinstance(container, list):
            container.append(value)
        elif frame.key is None:
            self._odd_key(frame, value, start)
        elif frame.is_merge:
            frame.key, frame.is_merge = None, False
        else:
            if frame.key in container:
                self._duplicate(frame)
            container[frame.key] = value
            frame.key = None

    def _odd_key(self, frame: _Frame, value: Value, event: yaml.Event) -> None:
        if not isinstance(value, str):
            self._refuse(event, "keys must be plain text", None)
        frame.key = str(value)
        frame.key_event = event

    def _duplicate(self, frame: _Frame) -> None:
        self._refuse(
            frame.key_event,
            "given twice",
            "keep one of the two: YAML does not say which one holds",
        )

    def _refuse_tag(self, event: yaml.NodeEvent, tag: str) -> None:
        self._refuse(
            event,
            f"YAML tags are not supported (got {tag})",
            "leave the tag out; quote a value to make it text",
        )

    def _refuse(self, where: yaml.Event, message: str, hint: str | None) -> None:
        steps = (frame.step for frame in self._frames)
        path = tuple(step for step in steps if step is not None)
        problem = Problem(
            place=self._place(where), path=field_path(path), message=message, hint=hint
        )
        self._problems.append((path, problem))

    def _place(self, where: yaml.Event) -> Place:
        mark = cast("Mark", where.start_mark)
        return Place(self._source, self._line + mark.line + 1, mark.column + 1)

    def _passage(self, first: yaml.Event, last: yaml.Event) -> Passage:
        start, end = cast("Mark", first.start_mark), cast("Mark", last.end_mark)
        return Passage(
            source=self._source,
            text=self._text[start.index : end.index],
            line=self._line + start.line,
            column=start.column,
        )
