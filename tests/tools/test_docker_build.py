"""What is asked of Docker, by a client of the test's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.docker import build

Client = Callable[[str], None]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Let `docker` be a script."""

    def write(script: str) -> None:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "docker").chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return write


@pytest.mark.parametrize(
    ("version", "is_new_enough"),
    [
        ("2.19.1", False),
        ("2.20.0", True),
        ("v2.29.7", True),
        ("5.6.0", True),
        ("1.29.2", False),
        ("dev", False),
    ],
)
def test_compose_must_know_what_the_demos_say(
    client: Client, version: str, *, is_new_enough: bool
) -> None:
    client(f"echo {version}")

    assert build.has_compose() is is_new_enough


def test_an_engine_that_does_not_answer_is_none(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_PATIENCE", 0.2)
    client("exec sleep 60")

    assert not build.has_engine()


def test_an_image_of_something_else_is_not_here(client: Client) -> None:
    python, envoy, prometheus = build.images()
    client(f"echo {envoy.made_of}")

    assert [each.is_here for each in (python, envoy, prometheus)] == [
        False,
        True,
        False,
    ]


def test_a_password_is_not_for_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(
        "[global]\nindex-url = https://me:secret@index.example/simple\n"
    )
    monkeypatch.setattr(build, "_PIP", settings)

    with pytest.raises(build.DockerError, match="a password") as raised:
        build.images()

    assert "secret" not in str(raised.value)
