"""What there is to read: files by path, what is in the way, and where to watch.

A value that a scan fills. A location is a path without symbolic links, as the
notifications of the system tell it.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from xds_server.api.decode import MAX_DOCUMENT_BYTES, too_large
from xds_server.api.problem import Place, Problem

SUFFIXES: Final = (".yaml", ".yml", ".json")

Signature = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why something is not read.

    Where it `is_absence` there is nothing any more; else what was there stays in force.
    """

    problem: Problem
    is_absence: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file of an acceptable size."""

    signature: Signature
    location: str


@dataclass(slots=True)
class Listing:
    """What there is, by path as the user would write it.

    `located` leads from locations back to the paths in `files`. `blind` are the paths
    of directories that cannot be listed. Watched are `directories`, with all that is
    directly in them, and single `names` in others, both as locations.
    """

    files: dict[str, Found] = field(default_factory=dict)
    obstacles: dict[str, Obstacle] = field(default_factory=dict)
    located: dict[str, str] = field(default_factory=dict)
    blind: set[str] = field(default_factory=set)
    directories: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    @property
    def watched(self) -> frozenset[str]:
        """All directories that a watch must cover, each by itself."""
        return frozenset(self.directories.union(map(_parent, self.names)))

    def hides(self, path: str) -> bool:
        """Whether *path* may be there, in a directory that could not be listed."""
        return any(str(parent) in self.blind for parent in Path(path).parents)

    def add(self, path: str, location: str, status: os.stat_result) -> None:
        """List a file, or why it is not read."""
        refused = refusal(path, status)
        if refused is None:
            self.files[path] = Found(signature(status), location)
            self.located[location] = path
        else:
            self.hinder(refused)

    def hinder(self, found: Obstacle) -> None:
        """List what is in the way at a path."""
        self.obstacles[found.problem.place.source] = found

    def concerns(self, location: str) -> bool:
        """Whether a change at *location* can change what is read."""
        return location in self.located or self._may_matter(location)

    def renew(self, locations: Iterable[str]) -> bool:
        """Look again at the files at *locations* alone.

        Returns:
            False where this cannot tell all: then the paths must be scanned anew.
        """
        for location in filter(self.concerns, locations):
            path = self.located.get(location)
            if path is None:
                return False
            try:
                status = Path(location).lstat()
            except OSError:
                return False
            if refusal(path, status) is not None:
                return False
            self.files[path] = Found(signature(status), location)
        return True

    def _may_matter(self, location: str) -> bool:
        """Whether something new at *location*, or gone from there, counts."""
        if location in self.names or location in self.directories:
            return True
        parent, _, name = location.rpartition(os.sep)
        if parent not in self.directories:
            return False
        is_visible = name.endswith(SUFFIXES) and not name.startswith(".")
        return is_visible or Path(location).is_dir()


def signature(status: os.stat_result) -> Signature:
    """Return what differs if the content may differ, or the right to read it."""
    return (
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        status.st_dev,
        status.st_ino,
    )


def obstacle(
    path: str, message: str, *, hint: str | None = None, is_absence: bool = False
) -> Obstacle:
    """Return the obstacle that *message* describes."""
    problem = Problem(place=Place(path), message=message, hint=hint)
    return Obstacle(problem, is_absence)


def refusal(path: str, status: os.stat_result) -> Obstacle | None:
    """Return why a file of this *status* is not read, if so."""
    if not stat.S_ISREG(status.st_mode):
        hint = "pipes, sockets and devices are not opened"
        return obstacle(path, "must be a regular file", hint=hint)
    if status.st_size > MAX_DOCUMENT_BYTES:
        return Obstacle(too_large(status.st_size, source=path))
    return None


def failure(path: str, error: OSError) -> Obstacle:
    """Return the obstacle that the system reports."""
    return obstacle(path, (error.strerror or str(error)).lower())


def _parent(location: str) -> str:
    return location.rpartition(os.sep)[0] or os.sep
