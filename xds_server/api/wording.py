"""How problems speak: what was found, and what may have been meant."""

import json
import math
from collections.abc import Iterable
from difflib import get_close_matches
from os.path import commonprefix
from typing import Final

_LONGEST: Final = 60


def written(value: object) -> str:
    """Show a value as it may have been written, shortened."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("nan", "NaN")
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def got(value: object) -> str:
    """End a sentence with what was found instead."""
    return f" (got {written(value)})"


def closest(found: str, known: Iterable[str]) -> str | None:
    """Guess which of *known* was meant; None where nothing is close.

    Of those that are close, the one that begins alike: `retries` is nearer to
    `targetRefs` than to `retry` by letters alone.
    """
    spellings = {one.casefold(): one for one in known}
    folded = found.casefold()
    close = get_close_matches(folded, spellings)

    def likeness(spelling: str) -> int:
        return len(commonprefix([folded, spelling]))  # noqa: RUF071 - letters, no paths

    best = max(close, key=likeness, default=None)
    return best and spellings[best]


def did_you_mean(found: str, known: Iterable[str]) -> str | None:
    """Ask about the guess, where there is one."""
    guess = closest(found, known)
    return guess and f"did you mean {guess}?"
