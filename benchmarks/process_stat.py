"""What another process has used so far, from proc(5)."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_USER_TIME: Final = 11  # the field's place after the name, which may hold spaces
_SYSTEM_TIME: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU time (user and system) in seconds; resident memory and its peak in bytes."""

    cpu: float
    rss: int
    peak: int


def usage_of(process: int) -> Usage:
    """Return what *process* has used so far.

    Raises:
        OSError: it is gone.
    """
    folder = Path(f"/proc/{process}")
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    lines = (folder / "status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return Usage(
        cpu=(int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) / _TICKS,
        rss=_bytes(status["VmRSS"]),
        peak=_bytes(status["VmHWM"]),
    )


def _bytes(field: str) -> int:
    return int(field.split(maxsplit=1)[0]) * 1024


def allow_open_files(wanted: int) -> bool:
    """Let this process and its children have *wanted* files open; is that allowed?"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft == resource.RLIM_INFINITY or soft >= wanted
