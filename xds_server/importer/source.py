"""Objects of other projects, as they were written, with their places.

Paths in, or what comes by standard input; `Foreign` objects out, whatever their kind.
What of them is of use is decided elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from xds_server.api.decode import located, read_manifests
from xds_server.api.manifest import Manifest, UnreadableError, Value
from xds_server.api.passage import Locator
from xds_server.api.problem import Fault, ObjectKey, Problem
from xds_server.api.shape import without_nulls
from xds_server.sources.files import read_file
from xds_server.sources.listing import Obstacle
from xds_server.sources.scan import scan

STDIN: Final = "-"
"""Names what comes by standard input, as a path and in places."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Foreign:
    """One object, without what is null: in Kubernetes that is not there.

    `problems` are those of the writing itself: a key given twice.
    """

    key: ObjectKey
    group: str
    version: str
    value: Mapping[str, Value]
    passage: Locator
    problems: tuple[Problem, ...] = ()

    @property
    def spec(self) -> Mapping[str, Value]:
        """What it says; nothing where that is no mapping."""
        return mapping(self.value.get("spec"))

    def located(self, fault: Fault) -> Problem:
        """Say where what is wrong with it stands."""
        return located(fault, self.passage, self.key)


def mapping(value: Value) -> Mapping[str, Value]:
    """Take a value for a mapping; what is none has nothing in it."""
    return value if isinstance(value, dict) else {}


def items(value: Value) -> list[Value]:
    """Take a value for a list; what is none has nothing in it."""
    return value if isinstance(value, list) else []


def text(value: Value, default: str = "") -> str:
    """Take a value for a text; what is none is *default*."""
    return value if isinstance(value, str) and value else default


def read(
    paths: Iterable[str], *, stdin: bytes = b"", namespace: str
) -> Iterator[Foreign | Problem]:
    """Read all objects in *paths*, and what is wrong around them.

    An object that says no namespace is in *namespace*, as kubectl has it.
    """
    named = tuple(paths)
    if STDIN in named:
        yield from _objects(stdin, STDIN, namespace)
    listing = scan(path for path in named if path != STDIN)
    for obstacle in listing.obstacles.values():
        yield obstacle.problem
    for path in listing.files:
        content = read_file(path)
        if isinstance(content, Obstacle):
            yield content.problem
        else:
            yield from _objects(content, path, namespace)


def _objects(data: bytes, source: str, namespace: str) -> Iterator[Foreign | Problem]:
    try:
        for found in read_manifests(data, source=source):
            if isinstance(found, Problem):
                yield found
            elif (read := _foreign(found, namespace)) is not None:
                yield read
            else:
                fault = Fault(path=(), message="no object: it has no kind or no name")
                yield located(fault, found.passage, None)
    except UnreadableError as error:
        yield error.problem


def _foreign(manifest: Manifest, namespace: str) -> Foreign | None:
    """Make out who an object is; None where it does not say so."""
    value, meta = mapping(without_nulls(manifest.value)), manifest.type_meta
    metadata = mapping(value.get("metadata"))
    kind, name = text(meta.kind), text(metadata.get("name"))
    if not kind or not name:
        return None
    group, _, version = text(meta.api_version).rpartition("/")
    return Foreign(
        key=ObjectKey(kind, text(metadata.get("namespace"), namespace), name),
        group=group,
        version=version,
        value=value,
        passage=manifest.passage,
        problems=manifest.problems,
    )
