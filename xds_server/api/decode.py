"""Bytes in; typed, defaulted, validated documents out, and every error with its place.

YAML of several documents, JSON, and lists as kubectl prints them. What is wrong with
one document never keeps the others out; what is no YAML at all keeps everything out.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

import msgspec
from pydantic import ValidationError

from xds_server.api import json_syntax, yaml_syntax
from xds_server.api.document import Body, Decoded, Document, Revision
from xds_server.api.kind import judge
from xds_server.api.manifest import Manifest, TypeMeta, UnreadableError, Value
from xds_server.api.model import DOCUMENT
from xds_server.api.passage import Locator, Origin
from xds_server.api.policy import TargetRef
from xds_server.api.problem import (
    Fault,
    ObjectKey,
    Place,
    Problem,
    Severity,
    field_path,
)

MAX_DOCUMENT_BYTES = 32 * 1024 * 1024
"""The largest source that is read: 100,000 endpoints take about 20 MB of YAML."""


def decode(
    data: bytes, *, source: str, is_wanted: Callable[[], bool] = lambda: True
) -> Decoded:
    """Read everything that one source says.

    Never raises: problems are part of the answer. Places in it name `source`. It is
    asked before each object whether the answer `is_wanted` still; a large source takes
    seconds. Where it is not, the answer means nothing.
    """
    reading = _Reading()
    try:
        with _without_cyclic_gc():
            for found in read_manifests(data, source=source):
                if not is_wanted():
                    break
                reading.add(found)
    except UnreadableError as error:
        return _unreadable(error.problem)
    return reading.result() or _unreadable(_empty(source))


def read_manifests(data: bytes, *, source: str) -> Iterable[Manifest | Problem]:
    """Read the objects of one source as they were written, whatever they are.

    JSON as JSON, and all else as YAML, which says best what is wrong. A problem that
    comes alone is of no object, but of what is around objects.

    Raises:
        UnreadableError: what it says is void, from the first byte.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise UnreadableError(too_large(len(data), source=source))
    text = _text(data, source)
    found = json_syntax.read(text, source=source)
    return yaml_syntax.read(text, source=source) if found is None else found


def decode_object(data: bytes, *, source: str, type_meta: TypeMeta) -> Decoded:
    """Read one object, in JSON as an API server writes it.

    It is of *type_meta*: in a list it does not say so, and where its metadata is all
    that was asked for it says that instead. Places name `source` alone: there are no
    lines that anybody has seen.
    """
    value = msgspec.json.decode(data)
    if isinstance(value, dict):
        value |= {"apiVersion": type_meta.api_version, "kind": type_meta.kind}
    reading = _Reading(_revision(value))
    reading.add(Manifest(passage=Origin(source), value=value))
    return reading.result() or Decoded()


def _revision(value: Value) -> Revision | None:
    """Read which version of an object this is, as an API server writes it."""
    metadata, spec = _mapping(value, "metadata"), _mapping(value, "spec")
    uid, generation = metadata.get("uid"), metadata.get("generation")
    created = metadata.get("creationTimestamp")
    if not isinstance(uid, str):
        return None
    return Revision(
        uid=uid,
        generation=generation if isinstance(generation, int) else 0,
        created=created if isinstance(created, str) else "",
        targets=tuple(_readable(spec.get("targetRefs"))),
    )


def _mapping(value: Value, key: str) -> Mapping[str, Value]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _readable(targets: Value) -> Iterator[TargetRef]:
    for each in targets if isinstance(targets, list) else ():
        with suppress(ValidationError):
            yield TargetRef.model_validate(each, context=DOCUMENT)


def too_large(size: int, *, source: str) -> Problem:
    """Say that a source is not read for its size; a file's is known before reading."""
    return Problem(
        place=Place(source),
        message=f"must be at most {MAX_DOCUMENT_BYTES} bytes (got {size})",
        hint="split it into several files",
    )


class _Reading:
    """What was understood so far; of an API server's object, of which *revision*."""

    def __init__(self, revision: Revision | None = None) -> None:
        self._revision = revision
        self._documents: dict[ObjectKey, Document] = {}
        self._problems: list[Problem] = []
        self._rejected: set[ObjectKey] = set()

    def add(self, found: Manifest | Problem) -> None:
        """Take one more object, or what is wrong around objects."""
        if isinstance(found, Problem):
            self._problems.append(found)
            return
        verdict = judge(found)
        problems = [
            located(fault, found.passage, verdict.key) for fault in verdict.faults
        ]
        if verdict.is_ours:
            problems += (replace(one, object_key=verdict.key) for one in found.problems)
        self._problems += problems
        if any(one.severity is Severity.ERROR for one in problems):
            if verdict.key is not None:
                self._rejected.add(verdict.key)
        elif verdict.key is not None and verdict.body is not None:
            self._keep(verdict.key, verdict.body, found.passage)

    def _keep(self, key: ObjectKey, body: Body, passage: Locator) -> None:
        first = self._documents.get(key)
        if first is not None:
            message = f"{key} is already defined at {first.locate(())}"
            fault = Fault(path=("metadata", "name"), message=message, hint=_RENAME)
            self._problems.append(located(fault, passage, key))
            return
        self._documents[key] = Document(
            key=key, body=body, locate=passage.locate, revision=self._revision
        )

    def result(self) -> Decoded | None:
        """Give all of it; None where nothing was there."""
        if not self._documents and not self._problems:
            return None
        return Decoded(
            documents=tuple(self._documents.values()),
            problems=tuple(self._problems),
            rejected=frozenset(self._rejected - self._documents.keys()),
            is_complete=all(
                problem.object_key is not None
                for problem in self._problems
                if problem.severity is Severity.ERROR
            ),
            revision=self._revision,
        )


_RENAME = "rename one of the two, or remove it"


def _text(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line_start = before.rfind(b"\n") + 1
        place = Place(
            source,
            before.count(b"\n") + 1,
            len(before[line_start:].decode(errors="replace")) + 1,
        )
        found = f"byte 0x{error.object[error.start]:02x} at offset {error.start}"
        problem = Problem(
            place=place,
            message=f"not valid UTF-8 (got {found})",
            hint="save the file as UTF-8",
        )
        raise UnreadableError(problem) from error


def located(fault: Fault, passage: Locator, key: ObjectKey | None) -> Problem:
    """Say where what is wrong with an object stands."""
    return Problem(
        place=passage.locate(fault.path, at_key=fault.at_key),
        path=field_path(fault.path),
        message=fault.message,
        hint=fault.hint,
        severity=fault.severity,
        object_key=key,
    )


def _empty(source: str) -> Problem:
    return Problem(
        place=Place(source, 1, 1),
        message="contains no document",
        hint="remove the file, or write an object that begins with apiVersion:",
    )


def _unreadable(problem: Problem) -> Decoded:
    return Decoded(problems=(problem,), is_complete=False)


@contextmanager
def _without_cyclic_gc() -> Iterator[None]:
    """Build millions of values without the collector walking them again and again.

    None of them is part of a cycle. Measured on a list of 2,000 objects: a sixth less
    time; the larger the list, the more.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
