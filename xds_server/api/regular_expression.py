"""Regular expressions as Envoy reads them: by RE2 itself (google-re2), over bytes.

A pattern, or the text that replaces a match, in; what Envoy would not take out. RE2 has
no backtracking (https://github.com/google/re2/wiki/Syntax).
"""

import re
from typing import Final, Protocol

import re2  # type: ignore[import-untyped]  # ships no types

LONGEST: Final = 1024
SUBSTITUTION_FORM: Final = r"^( |[^\\\p{C}\p{Z}]|\\[0-9\\])*$"
"""Printable, with a digit or a backslash after a backslash; groups are not counted."""

_LARGEST_PROGRAM: Final = 100
"""Envoy's `re2.max_program_size.error_level`, unless its own runtime says another."""

_REFERENCE: Final = re.compile(r"\\(.?)", re.DOTALL)


class _Program(Protocol):
    """What is used of a compiled expression."""

    groups: int
    programsize: int


def pattern_error(pattern: str) -> str | None:
    """Say what Envoy would not take, or None."""
    if not pattern or len(pattern) > LONGEST:
        return f"must be 1 to {LONGEST} characters"
    try:
        size = _compile(pattern).programsize
    except re2.error as error:
        reason = error.args[0].decode().partition(":")[0]
        return f"must be a regular expression (RE2): {reason}"
    if size > _LARGEST_PROGRAM:
        found = f"needs {size} RE2 instructions, Envoy allows {_LARGEST_PROGRAM}"
        return f"{found}: repeat less, or use * or +"
    return None


def substitution_error(substitution: str, pattern: str) -> str | None:
    r"""Say what is wrong with the text that replaces a match: `\1` is a group.

    *pattern* is one that Envoy takes.
    """
    if not substitution.isprintable():
        return "must be printable: it becomes part of what is hashed"
    groups = _compile(pattern).groups
    for character in _REFERENCE.findall(substitution):
        if character == "\\":
            continue
        if not (character.isascii() and character.isdigit()):
            return r"must follow a backslash with a digit or a backslash"
        if int(character) > groups:
            return f"refers to group {character} of {groups}"
    return None


def _compile(pattern: str) -> _Program:
    """Compile as Envoy does: a character beyond ASCII is the bytes of its UTF-8."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    program: _Program = re2.compile(pattern.encode(), options)
    return program
