"""A policy in the making: fields with where each comes from.

What a table makes of an object in, and what holds there without being written; a
policy that the models accept out. What they refuse is taken out again, and told at the
field that it came from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from xds_server.api.manifest import Value
from xds_server.api.policy import Model, validate_policy
from xds_server.api.problem import Fault, FieldPath, field_path
from xds_server.importer.account import Account
from xds_server.importer.table import ITEM, Row, Table
from xds_server.importer.value import NOTHING, NotCarriedError

Manifest = dict[str, Value]
"""A TrafficPolicy as it is written."""

_HEAD: Final = ("targetRefs", "clientSelector")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """A field of a policy's spec.

    `sources` are where its value was written, the first one's by `row`. There are none
    for what the other project holds without being told: such an entry is there for
    others of its section, unless it `stands` by itself.
    """

    to: str
    value: Value
    sources: tuple[FieldPath, ...] = ()
    row: Row | None = None
    original: Value = None
    stands: bool = False

    @property
    def section(self) -> str:
        """The section of the policy that it is in."""
        return self.to.split(".", 1)[0].removesuffix(ITEM)


class Draft:
    """The entries of one policy."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._entries: list[Entry] = []
        self._differences: list[tuple[str, FieldPath, str, str | None]] = []

    def read(self, table: Table, value: Value, base: FieldPath) -> None:
        """Take what *table* knows of *value*, which is at *base*, and tell the rest."""
        for hit in table.hits(value, base):
            row = hit.row
            if row is None:
                self.account.lose(hit.path, hit.why, hit.hint)
            elif not row.to and row.why:
                self.account.lose(hit.path, row.why, row.hint)
            elif row.to:
                self._take(row, hit.value, hit.path)

    def _take(self, row: Row, value: Value, path: FieldPath) -> None:
        try:
            read = row.read(value)
        except NotCarriedError as error:
            self.account.lose(path, error.why, error.hint)
            return
        first = self._at(row.to)
        if read is NOTHING:
            self.account.settle(path)
        elif first is not None and first.sources:
            other = field_path(first.sources[0])
            self.account.settle(path)
            self.account.differ(path, f"gives way to {other}: both are {row.to} here")
        else:
            entry = Entry(
                to=row.to, value=read, sources=(path,), row=row, original=value
            )
            self._entries.append(entry)

    def hold(
        self,
        to: str,
        value: Value,
        *,
        source: FieldPath | None = None,
        stands: bool = False,
    ) -> None:
        """Write out what holds there without being told, unless something was.

        Or what code has read at *source*, which says it too where something was.
        """
        sources = () if source is None else (source,)
        first = self._at(to)
        if first is None:
            entry = Entry(to=to, value=value, sources=sources, stands=stands)
            self._entries.append(entry)
        else:
            at = self._entries.index(first)
            self._entries[at] = replace(first, sources=(*first.sources, *sources))

    def drop(self, to: str, what: str, *, is_lost: bool = False) -> None:
        """Take a field or block out, and say why: it has no effect, or is lost."""
        tell = self.account.lose if is_lost else self.account.note
        for entry in [one for one in self._entries if _is_in(one.to, to)]:
            self._entries.remove(entry)
            for source in entry.sources:
                self.account.settle(source)
                tell(source, what)

    def differ(
        self, to: str, path: FieldPath, how: str, hint: str | None = None
    ) -> None:
        """Say how what is at *path* means something else, if *to* is kept."""
        self._differences.append((to, path, how, hint))

    def value(self, to: str) -> Value:
        """Return what a field is so far; None where it is not there."""
        entry = self._at(to)
        return None if entry is None else entry.value

    def has(self, to: str) -> bool:
        """Whether something of a field or block is there so far."""
        return any(_is_in(one.to, to) for one in self._entries)

    @property
    def sections(self) -> frozenset[str]:
        """The sections that are there so far."""
        return frozenset(one.section for one in self._entries)

    def policy(self, head: Manifest, spec: FieldPath) -> Manifest | None:
        """Return the policy, with *head*; None where nothing is left of it.

        What cannot be is told. *spec* is where that of the object stands, for what is
        wrong with all of it.
        """
        self._prune()
        while self._entries:
            policy = _with(head, self._built())
            found = validate_policy(policy)
            if not isinstance(found, list):
                self._settle()
                return {**policy, "spec": _in_order(policy["spec"], found.spec)}
            placed = [(path, entry) for path, entry, _ in self._placed()]
            for fault in found:
                if not self._refuse(fault, placed):
                    self.account.lose(
                        spec,
                        f"no policy can be for it: {field_path(fault.path)} "
                        f"{fault.message}",
                        fault.hint,
                    )
                    return None
            self._prune()
        return None

    def _at(self, to: str) -> Entry | None:
        if to.endswith(ITEM):
            return None
        return next((one for one in self._entries if one.to == to), None)

    def _built(self) -> Manifest:
        spec: Manifest = {}
        for _, entry, keys in self._placed():
            block: Manifest = spec
            for key in keys[:-1]:
                inner = block.setdefault(key, {})
                assert isinstance(inner, dict)  # noqa: S101 - tables agree
                block = inner
            if entry.to.endswith(ITEM):
                listed = block.setdefault(keys[-1], [])
                assert isinstance(listed, list)  # noqa: S101 - tables agree
                listed.append(entry.value)
            else:
                block[keys[-1]] = entry.value
        return spec

    def _placed(self) -> Iterator[tuple[FieldPath, Entry, list[str]]]:
        """Yield each entry with its path in the spec, and its keys alone."""
        lengths: dict[str, int] = {}
        for entry in self._entries:
            keys = entry.to.removesuffix(ITEM).split(".")
            path: FieldPath = tuple(keys)
            if entry.to.endswith(ITEM):
                path = (*path, lengths.get(entry.to, 0))
                lengths[entry.to] = lengths.get(entry.to, 0) + 1
            yield path, entry, keys

    def _refuse(self, fault: Fault, placed: Sequence[tuple[FieldPath, Entry]]) -> bool:
        """Take out what a fault is about, and tell; False where nothing here is.

        That is what stands at its path, in it or around it, or else the nearest to it.
        """
        root, *inner = fault.path
        while root == "spec" and inner and inner[0] not in _HEAD:
            about = [
                entry
                for path, entry in placed
                if all(a == b for a, b in zip(path, inner, strict=False))
            ]
            for entry in about:
                if entry not in self._entries:
                    continue  # another fault was about it, too
                self._entries.remove(entry)
                why = f"{field_path(fault.path)} {fault.message}"
                for source in entry.sources:
                    self.account.lose(source, why, fault.hint)
            if about:
                return True
            inner.pop()
        return False

    def _prune(self) -> None:
        """Take out what holds by itself where the section has nothing else."""
        wanted = {one.section for one in self._entries if one.sources or one.stands}
        self._entries = [one for one in self._entries if one.section in wanted]

    def _settle(self) -> None:
        for path, entry, _ in self._placed():
            for source in entry.sources:
                self.account.settle(source, field_path(("spec", *path)))
            row = entry.row
            if row is not None and (how := row.differs(entry.original)) is not None:
                self.account.differ(entry.sources[0], how, row.hint)
        for to, path, how, hint in self._differences:
            if self.has(to):
                self.account.differ(path, how, hint)


def _with(head: Manifest, sections: Mapping[str, Value]) -> Manifest:
    spec = head["spec"]
    assert isinstance(spec, dict)  # noqa: S101 - a head has one
    return {**head, "spec": {**spec, **sections}}


def _in_order(value: Value, meant: object) -> Value:
    """Sort what was written as the models have their fields."""
    if isinstance(value, dict) and isinstance(meant, Model):
        fields = {
            field.alias or name: getattr(meant, name)
            for name, field in type(meant).model_fields.items()
        }
        return {
            key: _in_order(value[key], part)
            for key, part in fields.items()
            if key in value
        }
    if isinstance(value, list) and isinstance(meant, tuple):
        return [_in_order(*pair) for pair in zip(value, meant, strict=True)]
    return value


def _is_in(to: str, block: str) -> bool:
    return to == block or to.startswith((f"{block}.", f"{block}{ITEM}"))
