"""Builds the control plane that the Kubernetes tests meet, from Kubernetes' own source.

In: the Go module beside this file, whose `go.mod` and `go.sum` pin Kubernetes and etcd.
Out: `kube-apiserver`, `kube-controller-manager`, `etcd` and `kubectl` in the user's
cache, in a folder whose name changes with the module; what is there already is not
built again.

    python -m tools.kubernetes.build
"""

import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tools.go import GoError, build_packages, required_version

PROGRAMS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
_MODULE: Final = Path(__file__).parent
_VERSION: Final = "k8s.io/component-base/version.gitVersion"


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
        GoError: there is no Go that can, or the build failed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        flags = f"-s -w -X {_VERSION}={_kubernetes_version()}"
        packages = (f"./{program}" for program in PROGRAMS)
        build_packages(_MODULE, made, "-ldflags", flags, *packages)
        if not folder.exists():  # another build may have been quicker
            made.rename(folder)


def _is_complete(folder: Path) -> bool:
    return all((folder / program).is_file() for program in PROGRAMS)


def _kubernetes_version() -> str:
    return required_version(_MODULE, "k8s.io/kubernetes")


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
    except GoError as error:
        sys.exit(f"error: {error}")
    print(f"Built in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
