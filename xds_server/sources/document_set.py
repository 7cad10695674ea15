"""What all origins of documents say together, without touching any.

What each changed origin says now in; the events that the mesh must hear out. An origin
is a file, or an object of an API server. A broken one does not take back what it said
before, an object that moves between two is never gone in between, and of two with the
same object the first speaks: by rank, then by name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from xds_server.api.document import Decoded, Document, Revision
from xds_server.api.problem import ObjectKey, Problem
from xds_server.mesh.event import Applied, Deleted, Event, Reported


class Rank(IntEnum):
    """Whose word counts where several have one: what is local goes first."""

    FILES = 0
    KUBERNETES = 1


_Origin = tuple[Rank, str]


@dataclass(slots=True)
class _Saying:
    """The last good version of every object of an origin, and what is wrong there."""

    documents: dict[ObjectKey, Document] = field(default_factory=dict)
    rejected: frozenset[ObjectKey] = frozenset()
    problems: tuple[Problem, ...] = ()
    revision: Revision | None = None

    def keys(self) -> set[ObjectKey]:
        """Return all objects that are mentioned."""
        return {*self.documents, *self.rejected}


class DocumentSet:
    """The origins by name, and which of them speaks for each object."""

    def __init__(self) -> None:
        self._sayings: dict[_Origin, _Saying] = {}
        self._mentions: dict[ObjectKey, set[_Origin]] = {}
        self._spoken: dict[ObjectKey, Document] = {}
        self._reported: dict[_Origin, Reported] = {}

    def update(
        self, changes: Mapping[str, Decoded | None], rank: Rank = Rank.FILES
    ) -> tuple[Event, ...]:
        """Take in what origins say now (None: it is gone); return the events.

        Every document of a file that was read anew is applied again, also with an equal
        body: it may stand at another place. Deletions come first, reports last.
        """
        touched: set[ObjectKey] = set()
        concerned = {(rank, name) for name in changes}
        for name, decoded in changes.items():
            touched |= self._replace((rank, name), decoded)
        for key in touched:
            concerned |= self._mentions.get(key, set())
        events = [event for key in sorted(touched) for event in self._speak(key)]
        events.sort(key=lambda event: isinstance(event, Applied))
        return (*events, *self._report(sorted(concerned)))

    def _replace(self, origin: _Origin, decoded: Decoded | None) -> set[ObjectKey]:
        """Let *origin* say *decoded*; return the keys of what it said and says."""
        before = self._sayings.pop(origin, _Saying())
        after = _Saying() if decoded is None else _merge(before, decoded)
        if decoded is not None:
            self._sayings[origin] = after
        for key in before.keys() - after.keys():
            self._mentions[key].discard(origin)
            if not self._mentions[key]:
                del self._mentions[key]
        for key in after.keys() - before.keys():
            self._mentions.setdefault(key, set()).add(origin)
        return before.keys() | after.keys()

    def _speaker(self, key: ObjectKey) -> _Origin | None:
        """Return the first of the origins that have a good version of *key*."""
        origins = self._mentions.get(key, ())
        good = (each for each in origins if key in self._sayings[each].documents)
        return min(good, default=None)

    def _speak(self, key: ObjectKey) -> Iterable[Event]:
        """Yield what became of the object *key*."""
        speaker = self._speaker(key)
        before = self._spoken.pop(key, None)
        if speaker is None:
            if before is not None:
                yield Deleted(key=key)
            return
        document = self._sayings[speaker].documents[key]
        self._spoken[key] = document
        if before is None or not _is_same(document, before):
            yield Applied(document=document)

    def _report(self, origins: Iterable[_Origin]) -> Iterable[Event]:
        """Yield the reports of those of *origins* that changed."""
        for origin in origins:
            nothing = Reported(source=origin[1], problems=())
            before = self._reported.pop(origin, nothing)
            after = self._state(origin)
            if after.problems or after.rejected:
                self._reported[origin] = after
            if before != after:
                yield after

    def _state(self, origin: _Origin) -> Reported:
        saying = self._sayings.get(origin, _Saying())
        duplicates = (
            self._duplicate(document)
            for key, document in saying.documents.items()
            if self._speaker(key) not in (None, origin)
        )
        rejected = frozenset(
            key for key in saying.rejected if self._speaker(key) in (None, origin)
        )
        return Reported(
            source=origin[1],
            problems=(*saying.problems, *duplicates),
            rejected=rejected,
            revision=saying.revision if rejected else None,
        )

    def _duplicate(self, document: Document) -> Problem:
        first = self._spoken[document.key]
        return Problem(
            place=document.locate(("metadata", "name")),
            path="metadata.name",
            message=f"{document.key} is already defined at {first.locate(())}, "
            "which is used",
            hint="remove or rename one of the two",
            object_key=document.key,
        )


def _is_same(document: Document, before: Document) -> bool:
    """Is what an origin says nothing new?

    An object of a cluster stands at no place within it, and is told again whenever its
    status moves: that of a Pod, or what we write onto a policy.
    """
    if document.revision is None:
        return document is before
    return (document.revision, document.body) == (before.revision, before.body)


def _merge(before: _Saying, decoded: Decoded) -> _Saying:
    """Return the good of what an origin says, and the last good of what is not."""
    good = {d.key: d for d in reversed(decoded.documents)}
    rejected = decoded.rejected
    if not decoded.is_complete:  # any that is named no more may be the unnamed one
        rejected |= before.documents.keys() - good.keys()
    kept = {key: d for key, d in before.documents.items() if key in rejected}
    return _Saying(
        documents=kept | good,
        rejected=rejected,
        problems=decoded.problems,
        revision=decoded.revision,
    )
