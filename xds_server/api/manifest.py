"""One object as it was written: plain values and the passage they came from.

Reading (YAML, JSON) makes manifests, items of a List one by one; decoding turns them
into typed documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from xds_server.api.passage import Locator, Passage
from xds_server.api.problem import FieldPath, Problem, Severity

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
"""What YAML and JSON can say."""


class UnreadableError(Exception):
    """The source is no YAML or JSON at all; carries the one problem that says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class TypeMeta(NamedTuple):
    """What kind of object it is (meta/v1 TypeMeta), as far as it was said."""

    api_version: Value = None
    kind: Value = None

    @classmethod
    def of(cls, value: Value) -> "TypeMeta":
        """Read it; of what is no mapping nothing is known."""
        if not isinstance(value, dict):
            return cls()
        return cls(value.get("apiVersion"), value.get("kind"))

    @property
    def is_list(self) -> bool:
        """Lists hold objects as `items`; `kubectl get` prints them."""
        return isinstance(self.kind, str) and self.kind.endswith("List")

    def of_items(self) -> "TypeMeta":
        """Give what a list's items are where they do not say it themselves."""
        if not isinstance(self.kind, str) or self.kind == "List":
            return TypeMeta()
        return TypeMeta(self.api_version, self.kind.removesuffix("List"))


UNSAID: Final = TypeMeta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One YAML document. Of a list, `items` are the passages of its objects.

    `problems` are what is wrong with the writing, by the path where it was met.
    """

    value: Value
    passage: Passage
    items: Mapping[int, Passage]
    problems: Sequence[tuple[FieldPath, Problem]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An object in plain values.

    `inherited` is what the list around it said of its items. `problems` are those of
    the writing itself, such as a key given twice.
    """

    passage: Locator
    value: Value
    inherited: TypeMeta = UNSAID
    problems: tuple[Problem, ...] = ()

    @property
    def type_meta(self) -> TypeMeta:
        """What it is, by its own words first."""
        own = TypeMeta.of(self.value)
        return TypeMeta(
            self.inherited.api_version if own.api_version is None else own.api_version,
            self.inherited.kind if own.kind is None else own.kind,
        )


def empty_list(passage: Passage) -> Problem:
    """Say that a list has nothing in it, which is no error: all objects may be gone."""
    return Problem(
        place=passage.locate(("items",)),
        path="items",
        message="the list is empty",
        severity=Severity.NOTICE,
    )
