"""Who fails beside others has one more chance, and is named."""

from pathlib import Path

import pytest

from tools import run_tests

pytestmark = pytest.mark.thorough

ALWAYS = "import pytest\n@pytest.mark.xdist_group('one')\ndef test_it(): assert 0"
ONCE = """
from pathlib import Path

import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("at", ["a@b"])
def test_it(at):
    first = Path("first")
    if not first.exists():
        first.touch()
        assert 0
"""
MANY = "import pytest\n@pytest.mark.parametrize('n', range({}))\ndef test_it(n): {}"


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> int:
    """Run the tests of *program*, in a project of its own."""
    monkeypatch.chdir(folder)
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (folder / "test_it.py").write_text(program)
    return run_tests.main(["-q", "--rootdir", str(folder)])


def test_who_passes_alone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, monkeypatch, ONCE) == 0

    assert capfd.readouterr().out.endswith(
        "Passed alone, after they had failed beside others:\n"
        "  test_it.py::test_it[a@b]\n"
    )


def test_who_fails_twice_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, monkeypatch, ALWAYS) == pytest.ExitCode.TESTS_FAILED


def test_many_do_not_fail_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    many = MANY.format(run_tests.MOST + 1, "assert 0")
    assert run(tmp_path, monkeypatch, many) == pytest.ExitCode.TESTS_FAILED

    assert "Once more" not in capfd.readouterr().out


def test_who_passes_is_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, monkeypatch, MANY.format(3, "pass")) == 0

    assert "Once more" not in capfd.readouterr().out


def test_who_writes_no_tests_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, monkeypatch, "") == pytest.ExitCode.NO_TESTS_COLLECTED
