"""Calls of an API server that are made again until it takes part in them."""

from collections.abc import Callable
from typing import Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from xds_server.sources.kube_api import KubeConfigError, KubeError

_FIRST_PAUSE: Final = 0.2


def attempts(
    complain: Callable[[KubeError | KubeConfigError], None], *, longest_pause: float
) -> AsyncRetrying:
    """Return attempts without end, after longer and longer pauses, in seconds.

    *complain* is told why one failed; what is no failure of a call is raised.
    """

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, KubeError | KubeConfigError):
            complain(error)

    return AsyncRetrying(
        retry=retry_if_exception_type((KubeError, KubeConfigError)),
        wait=wait_exponential_jitter(multiplier=_FIRST_PAUSE, max=longest_pause),
        before_sleep=tell,
    )
