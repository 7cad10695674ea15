"""Runs the tests, two at a time; what failed has one more chance, alone.

In: arguments for pytest. Out: its exit code, and the names of tests that passed only
alone. Real Envoys, API servers and containers share the machine with each other, so a
test may fail of its neighbours; twice, or with many others, it failed of itself.

    python -m tools.run_tests [ARGUMENT...]
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MOST: Final = 10
"""How many tests may fail of a busy machine."""

_TESTS_FAILED: Final = 1
_LAST_FAILED: Final = Path(".pytest_cache/v/cache/lastfailed")


def main(arguments: Sequence[str]) -> int:
    """Run the tests; return 0 if each passed, beside others or alone."""
    beside = ["-n", "2", "--dist", "loadgroup", "--cache-clear"]
    code = _pytest([*beside, *arguments])
    if code != _TESTS_FAILED:
        return code

    failed = _failed()
    if not 0 < len(failed) <= MOST:
        return code

    print(f"\nOnce more, alone: {len(failed)} that failed beside others.", flush=True)
    code = _pytest(failed)
    if code == 0:
        print("\nPassed alone, after they had failed beside others:")
        print(*(f"  {name}" for name in failed), sep="\n", flush=True)
    return code


def _pytest(arguments: Sequence[str]) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - pytest


def _failed() -> list[str]:
    """Return the names that pytest has kept, without the groups that xdist adds."""
    names = json.loads(_LAST_FAILED.read_text(encoding="utf-8"))
    return [re.sub(r"@\w+$", "", name) for name in names]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
