"""Builds the control plane that the Kubernetes tests meet, from Kubernetes' own source.

In: the Go module beside this file, whose `go.mod` and `go.sum` pin Kubernetes and etcd.
Out: `kube-apiserver`, `kube-controller-manager` and `etcd` in the user's cache, in a
folder whose name changes with the module; what is there already is not built again.

    python -m tools.kubernetes.build
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

PROGRAMS: Final = ("etcd", "kube-apiserver", "kube-controller-manager")
_MODULE: Final = Path(__file__).parent
_GO: Final = Path("/usr/local/go/bin/go")  # where Go's own installation puts it
_VERSION: Final = "k8s.io/component-base/version.gitVersion"


class BuildError(Exception):
    """The programs cannot be built here; the message says what is missing."""


def find_programs() -> Path | None:
    """Return the folder with all `PROGRAMS`; None where there is none.

    `KUBEBUILDER_ASSETS`, the convention of envtest, goes before the cache.
    """
    own = os.environ.get("KUBEBUILDER_ASSETS")
    folders = [*([Path(own)] if own else []), cache_folder()]
    return next(filter(_is_complete, folders), None)


def cache_folder() -> Path:
    """Return where the programs of this module are, or will be."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256()
    for source in sorted([*_MODULE.glob("go.*"), *_MODULE.glob("*/main.go")]):
        digest.update(source.read_bytes())
    name = f"{_kubernetes_version()}-{digest.hexdigest()[:12]}"
    return Path(cache) / "xds-server" / "kubernetes" / name


def build_programs(folder: Path) -> None:
    """Build all `PROGRAMS` into *folder*, which is there only when all of them are.

    Raises:
        BuildError: there is no Go that can, or the build failed.
    """
    go = _find_go()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        flags = f"-s -w -X {_VERSION}={_kubernetes_version()}"
        _run(
            *(go, "build", "-trimpath", "-buildvcs=false", "-ldflags", flags),
            *("-o", f"{made}/", *(f"./{program}" for program in PROGRAMS)),
        )
        if not folder.exists():  # another build may have been quicker
            made.rename(folder)


def _is_complete(folder: Path) -> bool:
    return all((folder / program).is_file() for program in PROGRAMS)


def _find_go() -> str:
    found = shutil.which("go") or (str(_GO) if _GO.exists() else None)
    wanted = _required("go")
    remedy = f"install Go {wanted} or newer from https://go.dev/dl"
    if found is None:
        message = f"Go is not there: {remedy}"
        raise BuildError(message)
    # An older Go fetches the one that go.mod names, unless it may not.
    version = _run(found, "env", "GOVERSION").strip()
    if _numbers(version) < _numbers(wanted):
        message = f"Go {wanted} is needed, not {version}: {remedy}"
        raise BuildError(message)
    return found


def _kubernetes_version() -> str:
    return _required("k8s.io/kubernetes")


def _required(what: str) -> str:
    pattern = rf"^\s*{re.escape(what)} (\S+)$"
    found = re.search(pattern, (_MODULE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        message = f"go.mod does not say which {what}"
        raise BuildError(message)
    return found[1]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:2]]


def _run(*command: str) -> str:
    # Without cgo the programs need no C compiler, and no C library where they run.
    environment = {**os.environ, "CGO_ENABLED": "0"}
    try:
        return subprocess.run(  # noqa: S603 - Go, with arguments from here
            command,
            cwd=_MODULE,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    except subprocess.CalledProcessError as error:
        message = f"{' '.join(command)} failed with code {error.returncode}"
        raise BuildError(message) from None


def main() -> None:
    """Build what is missing, and say where it is."""
    there = find_programs()
    if there is not None:
        print(f"The Kubernetes control plane is in {there}")
        return
    folder = cache_folder()
    print(
        f"Building the Kubernetes control plane into {folder}: 5 to 15 minutes, once.",
        flush=True,
    )
    start = time.monotonic()
    try:
        build_programs(folder)
    except BuildError as error:
        sys.exit(f"error: {error}")
    print(f"Built in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
