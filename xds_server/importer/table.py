"""Tables that say what becomes of each field of a foreign object.

Rows in; what of an object hits which row out, and what hits none. A row takes all that
is at its field, a scalar or a whole mapping.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from xds_server.api.manifest import Value
from xds_server.api.problem import FieldPath
from xds_server.api.wording import did_you_mean, got
from xds_server.importer.value import Reader, as_it_is

ITEM: Final = "[]"
"""The step to any item of a list, in the fields of tables."""


def never(value: Value) -> None:
    """Say that a field means the same here, whatever its value."""
    del value


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What becomes of one field.

    `to` is the field of a policy's spec that it becomes, by `read`; with `[]` at its
    end, an item of it. Without `to`, `why` says why nothing becomes of it, and where it
    is empty too, code sees to the field. `differs` says of a value how it means
    something else here, and `hint` what to do about what is said.
    """

    field: str
    to: str = ""
    read: Reader = as_it_is
    why: str = ""
    differs: Callable[[Value], str | None] = never
    hint: str | None = None


def carried(
    field: str,
    to: str,
    read: Reader = as_it_is,
    *,
    differs: str | Callable[[Value], str | None] = never,
    hint: str | None = None,
) -> Row:
    """Make the row of a field that becomes one of a policy."""
    how = differs
    if isinstance(how, str):
        return Row(field=field, to=to, read=read, differs=lambda _: how, hint=hint)
    return Row(field=field, to=to, read=read, differs=how, hint=hint)


def left(field: str, why: str, hint: str | None = None) -> Row:
    """Make the row of a field that nothing becomes of."""
    return Row(field=field, why=why, hint=hint)


def seen_to(*fields: str) -> tuple[Row, ...]:
    """Make the rows of fields that code sees to."""
    return tuple(Row(field=field) for field in fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A value that is at the field of a row.

    Where `row` is unset there is none, and `why` says so.
    """

    path: FieldPath
    value: Value
    row: Row | None = None
    why: str = ""
    hint: str | None = None


class Table:
    """The rows of one kind of object, in order: of two for the same, the first wins."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = tuple(rows)
        self._order = {_steps(row.field): at for at, row in enumerate(self.rows)}
        self._known: dict[tuple[str, ...], list[str]] = {}
        for steps in self._order:
            for length, step in enumerate(steps):
                known = self._known.setdefault(steps[:length], [])
                if step not in known:
                    known.append(step)

    def hits(self, value: Value, base: FieldPath) -> list[Hit]:
        """Return what is in *value*, which is at *base*: rows in order, then others."""
        last = len(self.rows)

        def order(hit: Hit) -> int:
            return last if hit.row is None else self._order[_steps(hit.row.field)]

        return sorted(self._walk(value, base, ()), key=order)

    def _walk(
        self, value: Value, path: FieldPath, steps: tuple[str, ...]
    ) -> Iterator[Hit]:
        if steps in self._order:
            yield Hit(path=path, value=value, row=self.rows[self._order[steps]])
        elif steps not in self._known:
            meant = did_you_mean(steps[-1], self._known[steps[:-1]])
            yield Hit(path=path, value=value, why="unknown field", hint=meant)
        elif isinstance(value, dict) and ITEM not in self._known[steps]:
            for key, child in value.items():
                yield from self._walk(child, (*path, key), (*steps, key))
        elif isinstance(value, list) and ITEM in self._known[steps]:
            for position, child in enumerate(value):
                yield from self._walk(child, (*path, position), (*steps, ITEM))
        else:
            kind = "list" if ITEM in self._known[steps] else "mapping"
            yield Hit(path=path, value=value, why=f"must be a {kind}{got(value)}")


def _steps(field: str) -> tuple[str, ...]:
    return tuple(field.replace(ITEM, f".{ITEM}").split("."))
