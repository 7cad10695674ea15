"""The wait for changes, also where the system grants no watch."""

import threading
import time
from pathlib import Path

import pytest

from xds_server.sources import watch
from xds_server.sources.watch import Watch


def test_a_watch_is_on_from_its_construction(tmp_path: Path) -> None:
    """What changes before the first wait is not lost."""
    watching = Watch([str(tmp_path)])
    (tmp_path / "a.yaml").write_text("")

    assert str(tmp_path / "a.yaml") in watching.wait(threading.Event())


def test_a_set_event_ends_the_wait(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    start = time.perf_counter()

    assert Watch([str(tmp_path)]).wait(stop) == frozenset()
    assert time.perf_counter() - start < 1


def test_a_directory_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    watching = Watch([str(tmp_path), str(tmp_path / "gone")])
    (tmp_path / "a.yaml").write_text("")

    assert str(tmp_path / "a.yaml") in watching.wait(threading.Event())


def test_without_watches_of_the_system_it_polls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """inotify has a limit for each user (fs.inotify.max_user_watches)."""

    def refuse(*_: object, **__: object) -> None:
        message = "OS file watch limit reached"
        raise OSError(message)

    monkeypatch.setattr(watch, "RustNotify", refuse)
    monkeypatch.setattr(watch, "_POLL_SECONDS", 0.001)

    assert Watch([str(tmp_path)]).wait(threading.Event()) == frozenset()
