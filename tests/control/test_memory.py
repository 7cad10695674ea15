"""What loops know is in a file, whole and of one version; a bad file harms nobody."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import looptime
import pytest
from structlog.testing import capture_logs

from tests.control.mesh import World, mesh
from xds_server.control import memory as module
from xds_server.control.memory import FORMAT, YOUNG, Memory
from xds_server.control.standing import Cause, PortKey, Push
from xds_server.control.state import State

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PUSH = Push(
    namespace="shop",
    service="web",
    port=80,
    cause=Cause.REPORTS,
    before={},
    weights={},
    reasons={},
)


def states() -> Mapping[PortKey, State]:
    world = World(*mesh(1, 2, 3))
    world.learn()
    return world.loop.save()


async def write(
    path: Path, saved: Mapping[PortKey, State], at: datetime = NOON
) -> None:
    """Let a server have a push, and stop."""
    memory = Memory(path, lambda: at)
    memory.on_push(PUSH)
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(memory.keep(lambda: saved))
        while not path.exists():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)
        keeping.cancel()


def load(path: Path, at: datetime = NOON) -> tuple[Mapping[PortKey, State], list[str]]:
    """Return what the next server reads, and what it logs of it."""
    with capture_logs() as logs:
        found = Memory(path, lambda: at).load()
    return found, [f"{log['event']}: {log.get('reason', '')}" for log in logs]


async def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    saved = states()
    await write(tmp_path / "new" / "weights.json", saved)
    found, logs = load(tmp_path / "new" / "weights.json")

    assert World(*mesh(1, 2, 3), saved=found).weights == (
        World(*mesh(1, 2, 3), saved=saved).weights
    )
    assert found.keys() == saved.keys()
    assert found["shop", "web", 80].endpoints == saved["shop", "web", 80].endpoints
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["weights.json"]
    assert logs == ["weights restored: "]


def test_without_a_file_weights_begin_at_neutral(tmp_path: Path) -> None:
    assert load(tmp_path / "none.json") == ({}, ["no saved weights yet: "])


@pytest.mark.parametrize(
    ("later", "is_used"),
    [
        (YOUNG, True),
        (YOUNG + timedelta(seconds=1), False),
        (timedelta(minutes=-1), True),
        (timedelta(minutes=-2), False),
    ],
)
async def test_old_weights_and_those_of_the_future_are_not_used(
    tmp_path: Path, later: timedelta, *, is_used: bool
) -> None:
    path = tmp_path / "weights.json"
    await write(path, states())
    found, logs = load(path, NOON + later)

    assert bool(found) is is_used
    assert len(logs) == 1
    assert is_used or "it was written at 2026-01-01T12:00:00" in logs[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is damaged"),
        (b"\x00\xff", "it is damaged"),
        (b"[]", "it is damaged"),
        (b"{}", "it is damaged"),
        (b"[" * 100_000, "it is damaged"),
        (b'{"version": 7, "ports": 8}', f"version 7, and this server's is {FORMAT}"),
        (b'{"version": 1, "saved_at": "2026-01-01T12:00:00", "ports": []}', "no zone"),
        (b'{"version": 1, "saved_at": "2026-01-01T12:00:00Z"}', "it is damaged"),
    ],
)
def test_a_file_of_no_use_is_one_line_in_the_log(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "weights.json"
    path.write_bytes(content)
    found, (line,) = load(path)

    assert found == {}
    assert line.startswith("saved weights not usable, starting without: ")
    assert reason in line


async def test_a_file_that_was_cut_is_of_no_use(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    await write(path, states())
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])

        assert load(path)[0] == {}


async def test_numbers_that_no_controller_has_make_one_port_neutral(
    tmp_path: Path,
) -> None:
    path = tmp_path / "weights.json"
    await write(path, states())
    text = path.read_text()
    assert '"health":1.0' in text
    path.write_text(text.replace('"health":1.0', '"health":-5.0'))
    found, _ = load(path)
    with capture_logs() as logs:
        world = World(*mesh(1, 2, 3), saved=found)

    assert len(set(world.weights.values())) == 1
    assert [log["event"] for log in logs] == ["weights not usable, starting without"]


async def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.json"
    await write(path, states())
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    found, (line,) = load(path)

    assert found == {}
    assert "more than 100 bytes" in line


async def test_so_many_ports_are_saved_as_the_file_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ENDPOINTS", 7)
    state = states()["shop", "web", 80]
    path = tmp_path / "weights.json"
    with capture_logs() as logs:
        await write(path, {("shop", "web", port): state for port in (1, 2, 3)})

    assert load(path)[0].keys() == {("shop", "web", 1), ("shop", "web", 2)}
    assert [log["event"] for log in logs] == ["not all weights are saved"]


async def test_a_folder_that_takes_no_file_is_one_line_in_the_log(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    memory = Memory(tmp_path / "file" / "weights.json", lambda: NOON)
    with capture_logs() as logs:
        for number in (1, 2):
            memory._written = number
            memory._write({}, number)

    assert [log["event"] for log in logs] == ["weights not saved"]


def test_a_write_that_was_overtaken_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    memory = Memory(path, lambda: NOON)
    memory._written = 2
    memory._write(states(), 2)
    memory._write({}, 1)

    assert load(path)[0].keys() == states().keys()


async def test_what_a_killed_server_left_half_written_is_written_over(
    tmp_path: Path,
) -> None:
    (tmp_path / ".weights.json.new").write_text("half")
    await write(tmp_path / "weights.json", states())

    assert [each.name for each in tmp_path.iterdir()] == ["weights.json"]


def test_pushes_are_written_once_a_second_and_without_any_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And at a stop what was not written yet."""
    written: list[float] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        memory = Memory(tmp_path / "weights.json", lambda: NOON)

        async def at_once(*_: object) -> None:
            written.append(round(loop.time(), 1))

        monkeypatch.setattr(asyncio, "to_thread", at_once)
        monkeypatch.setattr(
            memory, "_write", lambda *_: written.append(round(loop.time(), 1))
        )
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(memory.keep(dict))
            for _ in range(15):
                memory.on_push(PUSH)
                await asyncio.sleep(0.1)
            await asyncio.sleep(98.5)
            memory.on_push(PUSH)
            await asyncio.sleep(0.1)
            memory.on_push(PUSH)
            keeping.cancel()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(scenario())

    assert written == [0.0, 1.0, 2.0, 63.0, 100.0, 100.1]
