"""Regular expressions as Envoy reads them: RE2, which has no backtracking.

Python's own compiler finds what is malformed; what RE2 does not know is found by its
writing (https://github.com/google/re2/wiki/Syntax).
"""

import re
import warnings
from typing import Final

_LONGEST: Final = 1024
_HIGHEST_REPEAT: Final = 1000  # RE2's own limit
_NO_SYNTAX: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""Escapes and character classes: what looks like syntax inside of them is none."""

_ESCAPE: Final = re.compile(r"\\.", re.DOTALL)
_UNKNOWN_GROUP: Final = re.compile(r"\(\?(?!:|P<|[imsU]*(?:-[imsU]+)?[:)])")
_UNKNOWN_ESCAPE: Final = re.compile(r"\\[1-9ZuUNk]")
_POSSESSIVE: Final = re.compile(r"[*+?}]\+")
_REPEAT: Final = re.compile(r"\{([0-9]*),?([0-9]*)\}")
_REFERENCE: Final = re.compile(r"\\(.?)", re.DOTALL)


def pattern_error(pattern: str) -> str | None:
    """Say what Envoy would not take, or None."""
    if not pattern or len(pattern) > _LONGEST:
        return f"must be 1 to {_LONGEST} characters"
    if _compile(pattern) is None:
        return "must be a regular expression (RE2)"
    escapes = "".join(_ESCAPE.findall(pattern))
    if _UNKNOWN_ESCAPE.search(escapes):
        return "has an escape that RE2 does not know"
    syntax = _NO_SYNTAX.sub("x", pattern)
    if _UNKNOWN_GROUP.search(syntax) or _POSSESSIVE.search(syntax):
        return "has a group or repeat that RE2 does not know, such as a lookahead"
    repeats = [int(one or 0) for found in _REPEAT.findall(syntax) for one in found]
    if max(repeats, default=0) > _HIGHEST_REPEAT:
        return f"repeats more than {_HIGHEST_REPEAT} times"
    return None


def substitution_error(substitution: str, pattern: str) -> str | None:
    r"""Say what is wrong with the text that replaces a match: `\1` is a group."""
    compiled = _compile(pattern)
    if not substitution.isprintable():
        return "must be printable: it becomes part of what is hashed"
    groups = compiled.groups if compiled else 9
    for character in _REFERENCE.findall(substitution):
        if character == "\\":
            continue
        if not (character.isascii() and character.isdigit()):
            return r"must follow a backslash with a digit or a backslash"
        if int(character) > groups:
            return f"refers to group {character} of {groups}"
    return None


def _compile(pattern: str) -> re.Pattern[str] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return re.compile(pattern)
        except (re.error, RecursionError, OverflowError):
            return None
