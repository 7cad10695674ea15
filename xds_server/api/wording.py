"""How problems speak: what was found, and what may have been meant."""

import json
import math
from collections.abc import Iterable
from difflib import get_close_matches
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


def did_you_mean(found: str, known: Iterable[str]) -> str | None:
    """Guess what was meant; None where nothing is close."""
    spellings = {one.casefold(): one for one in known}
    close = get_close_matches(found.casefold(), spellings, n=1)
    return f"did you mean {spellings[close[0]]}?" if close else None
