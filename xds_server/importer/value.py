"""How single values of other projects are read: numbers, durations, names.

A value as it was written in; a value as policies have it out. What this cannot say is
refused with a reason. Whether the value is in a policy's range, its model knows.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from fractions import Fraction
from typing import Final, NoReturn

from xds_server.api.duration import format_duration
from xds_server.api.manifest import Value
from xds_server.api.quantity import parse_quantity
from xds_server.api.wording import did_you_mean, got

Reader = Callable[[Value], "Value | Silence"]


class Silence(Enum):
    """What a value says that is no other than what holds without it."""

    NOTHING = "nothing"


NOTHING: Final = Silence.NOTHING


class NotCarriedError(Exception):
    """A value that policies have nothing for; carries why, and what to do."""

    def __init__(self, why: str, hint: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


def decline(why: str, hint: str | None = None) -> NoReturn:
    """Refuse a value from within its reader."""
    raise NotCarriedError(why, hint)


def as_it_is(value: Value) -> Value:
    """Take what is the same in both."""
    return value


def count(value: Value) -> Value:
    """Read an integer; protobuf's JSON may have it as text, or with a point."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not int:
        decline(f"must be an integer{got(value)}")
    return value


def count_unless_zero(value: Value) -> Value | Silence:
    """Read an integer whose 0 is protobuf's way to leave it out."""
    number = count(value)
    return NOTHING if number == 0 else number


_PART: Final = r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION: Final = re.compile(f"(?:{_PART})+")
_UNITS: Final = {
    "ns": Fraction(1, 1_000_000),
    "us": Fraction(1, 1000),
    "µs": Fraction(1, 1000),
    "μs": Fraction(1, 1000),
    "ms": Fraction(1),
    "s": Fraction(1000),
    "m": Fraction(60_000),
    "h": Fraction(3_600_000),
}
"""In milliseconds."""
_LONGEST: Final = 64


def duration(value: Value) -> Value:
    """Read a duration as Go has it: `1.5s`, `180.000s`, `1h30m`."""
    is_text = isinstance(value, str) and len(value) <= _LONGEST
    if not isinstance(value, str) or not is_text or not _DURATION.fullmatch(value):
        hint = "write the unit: 10s" if type(value) is int else None
        decline(f"must be a duration such as 10s{got(value)}", hint)
    parts = re.findall(_PART, value)
    total = sum(Fraction(number) * _UNITS[unit] for number, unit in parts)
    if total.denominator != 1:
        decline(f"finer than a millisecond{got(value)}")
    try:
        return format_duration(timedelta(milliseconds=int(total)))
    except OverflowError:
        decline(f"longer than ten years{got(value)}")


def size(value: Value) -> Value:
    """Read a number of bytes as Kubernetes writes it: `32768`, `20Mi`."""
    if type(value) is int:
        return value
    quantity = parse_quantity(value) if isinstance(value, str) else None
    if quantity is None or quantity.denominator != 1:
        decline(f"must be whole bytes, such as 20Mi{got(value)}")
    return int(quantity)


def choice(meanings: Mapping[str, "Value | Silence | NotCarriedError"]) -> Reader:
    """Make what reads one of some names."""

    def read(value: Value) -> Value | Silence:
        if not isinstance(value, str) or value not in meanings:
            hint = did_you_mean(value, meanings) if isinstance(value, str) else None
            names = ", ".join(meanings)
            decline(f"must be one of {names}{got(value)}", hint)
        meaning = meanings[value]
        if isinstance(meaning, NotCarriedError):
            decline(meaning.why, meaning.hint)
        return meaning

    return read


def switch(
    *,
    on: "Value | Silence | NotCarriedError",
    off: "Value | Silence | NotCarriedError" = NOTHING,
) -> Reader:
    """Make what reads a boolean."""

    def read(value: Value) -> Value | Silence:
        if not isinstance(value, bool):
            decline(f"must be true or false{got(value)}")
        meaning = on if value else off
        if isinstance(meaning, NotCarriedError):
            decline(meaning.why, meaning.hint)
        return meaning

    return read


def members(value: Value, *known: str) -> Mapping[str, Value]:
    """Take a value for a mapping of *known* keys; what is null is left out."""
    if not isinstance(value, dict):
        decline(f"must be a mapping{got(value)}")
    for key in value:
        if key not in known:
            decline(f"unknown field {key}", did_you_mean(key, known))
    return {key: one for key, one in value.items() if one is not None}
