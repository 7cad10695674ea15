"""A wait for changes in directories: the only place that speaks to watchfiles.

Directories in; the locations that changed out. watchfiles' notifier is used without its
`awatch`, because a watch must be known to be on before the files are read: what changes
in between would else be lost.
"""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog
from watchfiles._rust_notify import RustNotify

_STEP_MS: Final = 5
"""A change counts as complete when nothing more happened for this long."""
_CEILING_MS: Final = 100
"""...but after this long in any case."""
_PATIENCE_MS: Final = 5000
"""Without news the files are looked at anyway: some filesystems give no notice."""
_POLL_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class Watch:
    """A watch that is on from its construction, over single directories."""

    def __init__(self, directories: Iterable[str]) -> None:
        """Watch what is directly in *directories*; those not there are passed over.

        Where the system grants no more watches, `wait` returns every second instead.
        """
        existing = [each for each in sorted(directories) if Path(each).is_dir()]
        self._notify: RustNotify | None
        try:
            self._notify = RustNotify(
                existing,
                debug=False,
                force_polling=False,
                poll_delay_ms=0,
                recursive=False,
                ignore_permission_denied=True,
            )
        except OSError as error:
            _log.warning("polling instead of watching", error=str(error))
            self._notify = None

    def wait(self, stop: threading.Event) -> frozenset[str]:
        """Block until something changed, or some time passed (then it is empty).

        Setting *stop* ends the wait within milliseconds.
        """
        if self._notify is None:
            stop.wait(_POLL_SECONDS)
            return frozenset()
        changes = self._notify.watch(_CEILING_MS, _STEP_MS, _PATIENCE_MS, stop)
        if isinstance(changes, str):
            return frozenset()
        return frozenset(location for _, location in changes)
