"""What a set of files says together, without touching a file.

What each changed file says now in; the events that the mesh must hear out. A broken
file does not take back what it said before, an object that moves between files is never
gone in between, and of two files with the same object the first by path speaks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xds_server.api.document import Decoded, Document
from xds_server.api.problem import ObjectKey, Problem
from xds_server.mesh.event import Applied, Deleted, Event, Reported


@dataclass(slots=True)
class _File:
    """The last good version of every object of a file, and what is wrong with it."""

    documents: dict[ObjectKey, Document] = field(default_factory=dict)
    rejected: frozenset[ObjectKey] = frozenset()
    problems: tuple[Problem, ...] = ()

    def keys(self) -> set[ObjectKey]:
        """Return all objects that the file mentions."""
        return {*self.documents, *self.rejected}


class FileSet:
    """The files by path, and which of them speaks for each object."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._mentions: dict[ObjectKey, set[str]] = {}
        self._spoken: dict[ObjectKey, Document] = {}
        self._reported: dict[str, Reported] = {}

    def update(self, changes: Mapping[str, Decoded | None]) -> tuple[Event, ...]:
        """Take in what files say now (None: the file is gone); return the events.

        Every document of a file that was read anew is applied again, also with an equal
        body: it may stand at another place. Deletions come first, reports last.
        """
        touched: set[ObjectKey] = set()
        for path, decoded in changes.items():
            touched |= self._replace(path, decoded)
        concerned = set(changes)
        for key in touched:
            concerned |= self._mentions.get(key, set())
        events = [event for key in sorted(touched) for event in self._speak(key)]
        events.sort(key=lambda event: isinstance(event, Applied))
        return (*events, *self._report(sorted(concerned)))

    def _replace(self, path: str, decoded: Decoded | None) -> set[ObjectKey]:
        """Let *path* say *decoded*; return the keys of what it said and says."""
        before = self._files.pop(path, _File())
        after = _File() if decoded is None else _merge(before, decoded)
        if decoded is not None:
            self._files[path] = after
        for key in before.keys() - after.keys():
            self._mentions[key].discard(path)
            if not self._mentions[key]:
                del self._mentions[key]
        for key in after.keys() - before.keys():
            self._mentions.setdefault(key, set()).add(path)
        return before.keys() | after.keys()

    def _speaker(self, key: ObjectKey) -> str | None:
        """Return the first of the files that have a good version of *key*."""
        paths = self._mentions.get(key, ())
        return min((p for p in paths if key in self._files[p].documents), default=None)

    def _speak(self, key: ObjectKey) -> Iterable[Event]:
        """Yield what became of the object *key*."""
        speaker = self._speaker(key)
        before = self._spoken.pop(key, None)
        if speaker is None:
            if before is not None:
                yield Deleted(key=key)
            return
        document = self._files[speaker].documents[key]
        self._spoken[key] = document
        if document is not before:
            yield Applied(document=document)

    def _report(self, paths: Iterable[str]) -> Iterable[Event]:
        """Yield the reports of those of *paths* that changed."""
        for path in paths:
            before = self._reported.pop(path, Reported(source=path, problems=()))
            after = self._state(path)
            if after.problems or after.rejected:
                self._reported[path] = after
            if before != after:
                yield after

    def _state(self, path: str) -> Reported:
        file = self._files.get(path)
        if file is None:
            return Reported(source=path, problems=())
        duplicates = (
            self._duplicate(document, speaker)
            for key, document in file.documents.items()
            if (speaker := self._speaker(key)) not in (None, path)
        )
        return Reported(
            source=path,
            problems=(*file.problems, *duplicates),
            rejected=frozenset(
                key for key in file.rejected if self._speaker(key) in (None, path)
            ),
        )

    def _duplicate(self, document: Document, speaker: str | None) -> Problem:
        first = self._files[speaker or ""].documents[document.key]
        return Problem(
            place=document.locate(("metadata", "name")),
            path="metadata.name",
            message=f"{document.key} is already defined at {first.locate(())}, "
            "which is used",
            hint="remove or rename one of the two",
            object_key=document.key,
        )


def _merge(before: _File, decoded: Decoded) -> _File:
    """Return what a file says now: what is good, and the last good of what is not."""
    good = {d.key: d for d in reversed(decoded.documents)}
    rejected = decoded.rejected
    if not decoded.is_complete:  # any that is named no more may be the unnamed one
        rejected |= before.documents.keys() - good.keys()
    kept = {key: d for key, d in before.documents.items() if key in rejected}
    return _File(documents=kept | good, rejected=rejected, problems=decoded.problems)
