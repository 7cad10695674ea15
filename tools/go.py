"""Go programs that tests and benchmarks need, built from modules of this repository.

In: the folder of a module. Out: its programs, or an error that says what is missing.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

_USUAL: Final = Path("/usr/local/go/bin/go")  # where Go's own installation puts it


class GoError(Exception):
    """The programs cannot be built here; the message says what is missing."""


def required_version(module: Path, what: str) -> str:
    """Return which version of *what*, Go itself or a module, is required.

    Raises:
        GoError: go.mod does not say.
    """
    text = (module / "go.mod").read_text()
    found = re.search(rf"^\s*{re.escape(what)} (\S+)( //.*)?$", text, re.MULTILINE)
    if found is None:
        message = f"{module / 'go.mod'} does not say which {what}"
        raise GoError(message)
    return found[1]


def build_packages(module: Path, into: Path, *arguments: str) -> None:
    """Build what *arguments* of `go build` name in *module* into the folder *into*.

    Raises:
        GoError: there is no Go that can, or the build failed.
    """
    go = _find_go(module)
    fixed = ("-trimpath", "-buildvcs=false", "-o", f"{into}/")
    _run(module, go, "build", *fixed, *arguments)


def _find_go(module: Path) -> str:
    found = shutil.which("go") or (str(_USUAL) if _USUAL.exists() else None)
    wanted = required_version(module, "go")
    remedy = f"install Go {wanted} or newer from https://go.dev/dl"
    if found is None:
        message = f"Go is not there: {remedy}"
        raise GoError(message)
    # An older Go fetches the one that go.mod names, unless it may not.
    version = _run(module, found, "env", "GOVERSION").strip()
    if _numbers(version) < _numbers(wanted):
        message = f"Go {wanted} is needed, not {version}: {remedy}"
        raise GoError(message)
    return found


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:2]]


def _run(module: Path, *command: str) -> str:
    # Without cgo the programs need no C compiler, and no C library where they run.
    environment = {**os.environ, "CGO_ENABLED": "0"}
    try:
        return subprocess.run(  # noqa: S603 - Go, with arguments of the callers
            command,
            cwd=module,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    except subprocess.CalledProcessError as error:
        message = f"{' '.join(command)} failed with code {error.returncode}"
        raise GoError(message) from None
