"""Children end with their context, and with their parent, whatever happens to it."""

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from xds_server.lab.error import LabError
from xds_server.lab.process import run_child

SECOND = timedelta(seconds=1)
SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")
STUBBORN = (
    sys.executable,
    "-c",
    """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
""",
)
ORPHANAGE = """
import asyncio, sys
from pathlib import Path
from xds_server.lab.process import run_child

async def main():
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    async with run_child("sleeper", command, Path(sys.argv[1])) as child:
        print(child.process.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def up(log: Path) -> bool:
    return "up" in log.read_text()


def alive(pid: int) -> bool:
    """Whether there is such a process, zombies apart."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        return False
    return state[0] != "Z"


async def test_a_child_ends_with_its_context(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with run_child("sleeper", SLEEPER, log) as child:
        await child.wait_for(lambda: up(log), "up", 10 * SECOND)

    assert child.process.returncode == -signal.SIGTERM


async def test_a_child_that_will_not_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xds_server.lab.process.STOP_TIMEOUT", 0.1)
    log = tmp_path / "log"
    async with run_child("stubborn", STUBBORN, log) as child:
        await child.wait_for(lambda: up(log), "up", 10 * SECOND)

    assert child.process.returncode == -signal.SIGKILL


async def test_a_child_ends_when_its_task_is_cancelled(tmp_path: Path) -> None:
    """What Ctrl-C does under asyncio.run."""
    log = tmp_path / "log"
    started = asyncio.Event()
    pids: list[int] = []

    async def run() -> None:
        async with run_child("sleeper", SLEEPER, log) as child:
            await child.wait_for(lambda: up(log), "up", 10 * SECOND)
            pids.append(child.process.pid)
            started.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        await started.wait()
        task.cancel()

    assert not any(map(alive, pids))


async def test_a_child_that_ends_early_shows_its_last_words(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('no such policy')")
    log = tmp_path / "log"
    async with run_child("server", command, log) as child:
        with pytest.raises(
            LabError, match=r"server ended with code 1.*\n.*no such pol"
        ):
            await child.wait_for(lambda: up(log), "up", 10 * SECOND)


async def test_a_condition_that_never_comes_is_said(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    async with run_child("sleeper", SLEEPER, tmp_path / "log") as child:
        with pytest.raises(LabError, match=r"sleeper: readiness not seen in 0\.1 s"):
            await child.wait_for(never, "readiness", SECOND / 10)


async def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves the parent no time to end anything: the kernel does."""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHANAGE, str(tmp_path / "log")),
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    was_alive = alive(child)
    parent.kill()
    await parent.communicate()
    async with asyncio.timeout(60):
        while alive(child):  # noqa: ASYNC110 - a grandchild has no event
            await asyncio.sleep(0.01)

    assert was_alive
