"""The watched files on a real file system: what people and programs do to them."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from xds_server.api.kind import Verdict, judge
from xds_server.api.kubernetes import Pod
from xds_server.api.manifest import Manifest
from xds_server.api.problem import Problem
from xds_server.mesh.event import Applied, Deleted, Listed, Reported, Weighed
from xds_server.sources.files import FilesSource, load

TIMEOUT = 60
"""Seconds until a test gives up: many times what anything here takes."""


def manifest(name: str, version: int = 1) -> str:
    return (
        "apiVersion: v1\nkind: Pod\nmetadata:\n"
        f"  name: {name}\n  labels: {{version: v{version}}}\n"
    )


class Heard:
    """What a source has said so far, joined."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.problems: dict[str, tuple[Problem, ...]] = {}
        self.is_listed = False
        self.batches = 0
        self._changed = asyncio.Condition()

    async def listen(self, source: FilesSource) -> None:
        async for events in source.batches():
            for event in events:
                match event:
                    case Applied(document=document):
                        assert isinstance(document.body, Pod)
                        labels = document.body.metadata.labels
                        self.versions[document.key.name] = labels["version"]
                    case Deleted(key=key):
                        del self.versions[key.name]
                    case Reported(source=path, problems=problems):
                        self.problems[Path(path).name] = problems
                    case Listed():
                        self.is_listed = True
                    case Weighed():
                        raise AssertionError(event)  # no file says this
            async with self._changed:
                self.batches += 1
                self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT), self._changed:
            await self._changed.wait_for(condition)

    async def until_versions(self, **versions: str) -> None:
        await self.until(lambda: self.versions == versions)

    async def until_problem(self, path: str, text: str) -> None:
        await self.until(
            lambda: any(text in str(p) for p in self.problems.get(path, ()))
        )

    async def until_fine(self, path: str) -> None:
        await self.until(lambda: self.problems.get(path) == ())


@asynccontextmanager
async def watching(*paths: Path) -> AsyncIterator[Heard]:
    """Watch *paths*; the block begins when they are listed."""
    heard = Heard()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(heard.listen(FilesSource(paths)))
        await heard.until(lambda: heard.is_listed)
        try:
            yield heard
        finally:
            listening.cancel()


def replace(path: Path, text: str) -> None:
    """Write like an editor: a file beside, then a rename."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.rename(path)


async def test_all_there_is_comes_first_and_ends_with_listed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("x"))

    async with watching(tmp_path) as heard:
        assert heard.versions == {"x": "v1"}
        assert heard.batches == 1


async def test_a_stop_waits_for_no_more_than_one_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that goes on reading would keep the process alive for seconds."""
    for name in ("a", "b"):
        documents = (manifest(f"{name}-{number}") for number in range(3))
        (tmp_path / f"{name}.yaml").write_text("---\n".join(documents))
    started, resume, judged = threading.Event(), threading.Event(), list[str]()

    def hold(found: Manifest) -> Verdict:
        started.set()
        assert resume.wait(TIMEOUT)
        verdict = judge(found)
        judged.append(str(verdict.key))
        return verdict

    monkeypatch.setattr("xds_server.api.decode.judge", hold)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(Heard().listen(FilesSource([tmp_path])))
        assert await asyncio.to_thread(started.wait, TIMEOUT)
        reading.cancel()
    resume.set()
    await loop.shutdown_default_executor()

    assert judged == ["Pod default/a-0"]


@pytest.mark.parametrize("write", [Path.write_text, replace], ids=["write", "rename"])
async def test_a_changed_file_is_applied(
    tmp_path: Path, write: Callable[[Path, str], object]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(manifest("x"))

    async with watching(tmp_path) as heard:
        for version in (2, 3, 4):
            write(path, manifest("x", version))
            await heard.until_versions(x=f"v{version}")

        assert heard.problems.get("a.yaml", ()) == ()


async def test_a_single_file_is_watched_through_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(manifest("x"))

    async with watching(path) as heard:
        replace(path, manifest("x", 2))
        await heard.until_versions(x="v2")
        path.unlink()
        await heard.until_versions()
        await heard.until_problem("a.yaml", "no such file or directory")
        replace(path, manifest("x", 3))
        await heard.until_versions(x="v3")
        await heard.until_fine("a.yaml")


async def test_a_broken_file_keeps_its_last_good_version(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(manifest("x"))
    (tmp_path / "b.yaml").write_text(manifest("y"))

    async with watching(tmp_path) as heard:
        replace(path, "kind: [Pod")
        await heard.until_problem("a.yaml", "a.yaml:")
        assert heard.versions == {"x": "v1", "y": "v1"}
        replace(tmp_path / "b.yaml", manifest("y", 2))
        await heard.until_versions(x="v1", y="v2")
        replace(path, manifest("x", 3))
        await heard.until_versions(x="v3", y="v2")
        await heard.until_fine("a.yaml")


async def test_an_emptied_file_keeps_its_last_good_version(tmp_path: Path) -> None:
    """It looks the same while a program that truncated it has not written yet."""
    path = tmp_path / "a.yaml"
    path.write_text(manifest("x"))

    async with watching(tmp_path) as heard:
        path.write_text("")
        await heard.until_problem("a.yaml", "contains no document")

        assert heard.versions == {"x": "v1"}


async def test_a_deleted_file_deletes_its_objects(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("x"))
    (tmp_path / "b.yaml").write_text(manifest("y"))

    async with watching(tmp_path) as heard:
        (tmp_path / "a.yaml").unlink()
        await heard.until_versions(y="v1")


async def test_a_renamed_file_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("x"))

    async with watching(tmp_path) as heard:
        (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
        (tmp_path / "c.yaml").write_text(manifest("y"))
        await heard.until_versions(x="v1", y="v1")


async def test_new_directories_are_watched_too(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("x"))

    async with watching(tmp_path) as heard:
        deep = tmp_path / "sub" / "deep"
        deep.mkdir(parents=True)
        (deep / "b.yaml").write_text(manifest("y"))
        await heard.until_versions(x="v1", y="v1")
        replace(deep / "b.yaml", manifest("y", 2))
        await heard.until_versions(x="v1", y="v2")
        (deep / "b.yaml").unlink()
        deep.rmdir()
        await heard.until_versions(x="v1")


async def test_a_config_map_volume_is_swapped_at_once(tmp_path: Path) -> None:
    """As the kubelet does: a new directory, then a rename of the link `..data`."""

    def publish(name: str, version: int) -> None:
        real = tmp_path / name
        real.mkdir()
        (real / "x.yaml").write_text(manifest("x", version))
        (real / "y.yaml").write_text(manifest("y", version))
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    publish("..2024_01", 1)
    for name in ("x.yaml", "y.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")

    async with watching(tmp_path) as heard:
        assert heard.versions == {"x": "v1", "y": "v1"}
        for version in (2, 3):
            publish(f"..2024_0{version}", version)
            await heard.until_versions(x=f"v{version}", y=f"v{version}")


async def test_a_linked_directory_may_be_exchanged(tmp_path: Path) -> None:
    for version in (1, 2):
        (tmp_path / f"release-{version}").mkdir()
        path = tmp_path / f"release-{version}" / "a.yaml"
        path.write_text(manifest("x", version))
    current = tmp_path / "current"
    current.symlink_to("release-1")

    async with watching(current) as heard:
        (tmp_path / "next").symlink_to("release-2")
        (tmp_path / "next").rename(current)
        await heard.until_versions(x="v2")


async def test_a_path_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    late = tmp_path / "not" / "yet"

    async with watching(late) as heard:
        await heard.until_problem("yet", "no such file or directory")
        late.mkdir(parents=True)
        (late / "a.yaml").write_text(manifest("x"))
        await heard.until_versions(x="v1")
        await heard.until_fine("yet")


async def test_a_pipe_is_told_and_stops_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "a.yaml").write_text(manifest("x"))

    async with watching(tmp_path) as heard:
        await heard.until_problem("pipe.yaml", "must be a regular file")
        assert heard.versions == {"x": "v1"}
        (tmp_path / "pipe.yaml").unlink()
        await heard.until_fine("pipe.yaml")


async def test_a_file_that_may_not_be_read_keeps_its_last_good_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(manifest("x"))
    real = os.open
    is_denied = False

    def deny(name: str, flags: int) -> int:
        if is_denied and name == str(path):
            raise PermissionError(13, "Permission denied")
        return real(name, flags)

    monkeypatch.setattr(os, "open", deny)

    async with watching(tmp_path) as heard:
        is_denied = True
        path.write_text(manifest("x", 2))
        await heard.until_problem("a.yaml", "permission denied")
        assert heard.versions == {"x": "v1"}
        is_denied = False
        path.chmod(0o600)
        await heard.until_versions(x="v2")
        await heard.until_fine("a.yaml")


async def test_one_object_in_two_files_is_told_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("x"))

    async with watching(tmp_path) as heard:
        (tmp_path / "b.yaml").write_text(manifest("x", 2))
        await heard.until_problem(
            "b.yaml",
            "b.yaml:4:9: metadata.name: Pod default/x is already defined at "
            f"{tmp_path}/a.yaml:1:1",
        )
        assert heard.versions == {"x": "v1"}
        (tmp_path / "a.yaml").unlink()
        await heard.until_versions(x="v2")


async def test_a_change_is_heard_within_60_ms(tmp_path: Path) -> None:
    """Median of 15 edits, so that a busy machine does not matter."""
    path = tmp_path / "a.yaml"
    path.write_text(manifest("x"))
    took = []

    async with watching(tmp_path) as heard:
        for version in range(2, 17):
            start = time.perf_counter()
            replace(path, manifest("x", version))
            await heard.until_versions(x=f"v{version}")
            took.append(time.perf_counter() - start)

    assert sorted(took)[len(took) // 2] < 0.060


async def test_the_watch_ends_with_its_task(tmp_path: Path) -> None:
    async with watching(tmp_path):
        start = time.perf_counter()

    assert time.perf_counter() - start < 1


def test_load_says_what_a_watch_begins_with(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("x"))
    (tmp_path / "b.yaml").write_text("kind: [Pod")

    applied, reported, listed = load([tmp_path])

    assert isinstance(applied, Applied)
    assert isinstance(reported, Reported)
    assert reported.source == str(tmp_path / "b.yaml")
    assert listed == Listed(source="files")
