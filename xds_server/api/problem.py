"""What is wrong with a document, and where: values, never exceptions.

Problems are collected beside the documents that are fine, so one bad document never
stops the others. What to do about a problem is decided elsewhere.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

FieldPath = tuple[str | int, ...]
"""The way to a value: keys as written (camelCase) and list positions from 0."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


class ObjectKey(NamedTuple):
    """The identity of an object, in a file or in a cluster."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Severity(StrEnum):
    """How bad it is: an error keeps the document out, the others do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in its source something stands; lines and columns count from 1.

    `source` is a file's path as the user gave it, or `kubernetes`. `line` and `column`
    are 0 where they mean nothing.
    """

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.source
        return f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: where, what must hold, what was found, how to mend it.

    `path` is the field's path from the document's root (`spec.loadBalancer.type`), or
    empty. `object_key` is unset where no object could be made out. `role` is that of
    the nodes that it concerns, unset where it concerns all.
    """

    place: Place
    message: str
    path: str = ""
    hint: str | None = None
    severity: Severity = Severity.ERROR
    object_key: ObjectKey | None = None
    role: str | None = None

    def __str__(self) -> str:
        severity = "" if self.severity is Severity.ERROR else f"{self.severity}: "
        path = f"{self.path}: " if self.path else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{self.place}: {severity}{path}{self.message}{hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A problem whose place has not been looked up yet: checks know paths, not lines.

    `at_key` asks for the place of the key instead of the value: for a field that should
    not be there at all.
    """

    path: FieldPath
    message: str
    hint: str | None = None
    severity: Severity = Severity.ERROR
    at_key: bool = False


def named_twice(field: str, values: Iterable[object]) -> Iterator[Fault]:
    """Yield that an entry of the list *field* has the value of one before it."""
    seen: set[object] = set()
    for position, value in enumerate(values):
        if value in seen:
            yield Fault(path=(field, position), message="named twice")
        seen.add(value)


def field_path(path: FieldPath) -> str:
    """Write a path as people do: `spec.hashOn[0]`, `metadata.labels[a.example/b]`."""
    text = ""
    for step in path:
        if isinstance(step, str) and _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{step}]"
    return text


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort by place, then path and message: the order in which they are printed."""
    return sorted(problems, key=lambda one: (one.place, one.path, one.message))


def summary(problems: Collection[Problem], *, files: int | None = None) -> str:
    """Say `N errors in M files`: the closing line of a report.

    Where it is known how many *files* were read, that is said, too, and what there was
    besides errors.
    """
    counts = Counter(one.severity for one in problems)
    wrong = {one.place.source for one in problems if one.severity is Severity.ERROR}
    text = f"{_count(counts[Severity.ERROR], 'error')} in {_count(len(wrong), 'file')}"
    if files is None:
        return text
    besides = [f"{_count(files, 'file')} read" if files else "nothing was read"]
    besides += (
        _count(counts[severity], severity)
        for severity in (Severity.WARNING, Severity.NOTICE)
        if counts[severity]
    )
    return f"{text} ({', '.join(besides)})"


def report(problems: Iterable[Problem]) -> str:
    """Print problems one under the other in order, then their summary."""
    listed = in_order(problems)
    return "\n".join([*map(str, listed), summary(listed)])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
