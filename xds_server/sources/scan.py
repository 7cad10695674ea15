"""Which files there are under the paths of a user, without opening one.

Paths in, a `Listing` out. Symbolic links are followed, as a ConfigMap volume needs: its
files are links through `..data`, which is swapped.
"""

import os
import stat
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xds_server.api.problem import Place, Problem, Severity
from xds_server.sources.listing import SUFFIXES, Listing, Obstacle, failure, obstacle

_Identity = tuple[int, int]


def scan(paths: Iterable[str]) -> Listing:
    """Return what is under *paths*: files, and directories with all below them.

    In directories only SUFFIXES count, and nothing that begins with a dot. A file that
    can be reached on two ways is listed once.
    """
    walk = _Walk()
    for path in paths:
        walk.start(path)
    return walk.listing


@dataclass(frozen=True, slots=True)
class _Directory:
    """One to be listed; `above` are itself and those on the way to it."""

    path: str
    location: str
    above: frozenset[_Identity]


class _Walk:
    """One walk over the paths of a user, and what it has found so far."""

    def __init__(self) -> None:
        self.listing = Listing()
        self._seen: set[_Identity] = set()
        self._ahead: deque[_Directory] = deque()

    def start(self, path: str) -> None:
        """Visit a path that the user named, with whatever suffix, and all below it."""
        self._await(path)
        found = len(self.listing.files) + len(self.listing.obstacles)
        try:
            self._visit(path, os.path.realpath(path), Path(path).stat(), frozenset())
        except FileNotFoundError:
            missing = "no such file or directory"
            hint = "serve waits for it to appear"
            self.listing.hinder(obstacle(path, missing, hint=hint, is_absence=True))
        except OSError as error:
            self.listing.hinder(failure(path, error))
        is_directory = bool(self._ahead)
        while self._ahead:
            self._descend(self._ahead.popleft())
        is_barren = found == len(self.listing.files) + len(self.listing.obstacles)
        if is_directory and is_barren:
            self.listing.hinder(_nothing(path))

    def _await(self, path: str) -> None:
        """Watch for *path*, or for the first directory above it that is missing."""
        wanted = Path(path).absolute()
        while not wanted.parent.is_dir():
            wanted = wanted.parent
        parent = Path(os.path.realpath(wanted.parent))
        self.listing.names.add(str(parent / wanted.name))

    def _visit(
        self,
        path: str,
        location: str,
        status: os.stat_result,
        above: frozenset[_Identity],
    ) -> None:
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            message = "a symbolic link leads back to a directory above it"
            self.listing.hinder(obstacle(path, message, hint="remove the link"))
        elif identity not in self._seen:
            self._seen.add(identity)
            if stat.S_ISDIR(status.st_mode):
                self._ahead.append(_Directory(path, location, above | {identity}))
            else:
                self.listing.add(path, location, status)

    def _descend(self, directory: _Directory) -> None:
        self.listing.directories.add(directory.location)
        try:
            with os.scandir(directory.path) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.listing.hinder(failure(directory.path, error))
            self.listing.blind.add(str(Path(directory.path)))
            return
        for entry in ordered:
            if not entry.name.startswith("."):
                self._enter(entry, directory)

    def _enter(self, entry: os.DirEntry[str], directory: _Directory) -> None:
        counts = entry.name.endswith(SUFFIXES)
        try:
            if counts or entry.is_dir():
                location = self._locate(entry, directory)
                self._visit(entry.path, location, entry.stat(), directory.above)
        except FileNotFoundError:
            if counts and entry.is_symlink():  # else it went between list and look
                message = "the symbolic link leads nowhere"
                self.listing.hinder(obstacle(entry.path, message))
        except OSError as error:
            self.listing.hinder(failure(entry.path, error))

    def _locate(self, entry: os.DirEntry[str], directory: _Directory) -> str:
        """Return where *entry* is; both ends of a link are to be watched."""
        location = f"{directory.location.rstrip(os.sep)}{os.sep}{entry.name}"
        if not entry.is_symlink():
            return location
        target = os.path.realpath(entry.path)
        self.listing.names.update((location, target))
        return target


def _nothing(path: str) -> Obstacle:
    problem = Problem(
        place=Place(path),
        message=f"no file here ends in {', '.join(SUFFIXES)}",
        severity=Severity.WARNING,
    )
    return Obstacle(problem, is_absence=True)
