"""What an unquoted YAML scalar means: null, a boolean, a number or text.

YAML 1.1 booleans (`yes`, `on`), because that is what kubectl quotes against; numbers as
both versions of YAML write them. Dates, times and base 60 stay text: no field of ours
has them, and Kubernetes' own reader does the same.
"""

import re
from functools import lru_cache

Scalar = None | bool | int | float | str

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **{
        spelling: word in {"yes", "true", "on"}
        for word in ("yes", "no", "true", "false", "on", "off")
        for spelling in (word, word.capitalize(), word.upper())
    },
    **{
        sign + spelling: float(sign + "inf")
        for sign in ("", "+", "-")
        for spelling in (".inf", ".Inf", ".INF")
    },
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7_]+|0|[1-9][0-9_]*)")
_LEGACY_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 100
"""More digits than any number has; int() itself gives up at 4300."""


@lru_cache(maxsize=4096)
def resolve(text: str) -> Scalar:
    """Give the value of an unquoted scalar; equal texts share one value."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789" or len(text) > _LONGEST_NUMBER:
        return text
    try:
        return _number(text)
    except ValueError:  # an underscore where Python wants a digit
        return text


def _number(text: str) -> Scalar:
    if _INTEGER.fullmatch(text):
        return int(text.rstrip("_"), base=0)
    if _LEGACY_OCTAL.fullmatch(text):
        return int(text.rstrip("_"), base=8)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
