"""The kinds of values that policies are made of: durations, enums, names, mappings.

Each is a type to annotate fields with; what it accepts becomes its canonical form.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, NoReturn, Self

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from xds_server.api import name
from xds_server.api.duration import format_duration, parse_duration
from xds_server.api.model import refusal, together
from xds_server.api.problem import Fault
from xds_server.api.schema import Rule, form, quoted
from xds_server.api.wording import did_you_mean, got

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_|~`0-9A-Za-z-]{1,256}")
_TOKEN_FORM: Final = f"^{_TOKEN.pattern}$"
_PSEUDO_HEADERS: Final = (":authority", ":path", ":method")
_QUERY_NAME: Final = re.compile(r"[^&=#\x00-\x20\x7f]+")
_LONGEST_NAME: Final = 256  # bytes


def complain(message: str, *, hint: str | None = None) -> NoReturn:
    """Refuse a value from within its validator."""
    raise refusal(Fault(path=(), message=message, hint=hint))


class Choice(StrEnum):
    """An enum of the API, written in PascalCase.

    `_`, `-` and case do not count when it is read, so Envoy's `RING_HASH` works too.
    """

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read any spelling. Raises a validator's error with a suggestion."""
        if isinstance(text, cls):
            return text
        folded = fold(text) if isinstance(text, str) else ""
        for member in cls:
            if fold(member) == folded:
                return member
        allowed = ", ".join(cls)
        if not isinstance(text, str):
            complain(f"must be one of {allowed}{got(text)}")
        complain(
            f'unknown value "{text}" (allowed: {allowed})',
            hint=did_you_mean(text, cls),
        )

    @classmethod
    def built(cls) -> tuple[Self, ...]:
        """Give the members that this release builds; others come later."""
        return tuple(cls)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Self], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(cls.parse, handler(source))


def fold(text: str) -> str:
    """Reduce a spelling to what counts."""
    return text.replace("_", "").replace("-", "").casefold()


def _duration(value: object) -> timedelta:
    duration = parse_duration(value) if isinstance(value, str) else value
    if not isinstance(duration, timedelta):
        hint = f'write "{value}s" for seconds' if type(value) is int else None
        must = "must be a duration such as 500ms, 10s or 1m30s"
        complain(must + got(value), hint=hint)
    return duration


def _whole_seconds(value: timedelta) -> timedelta:
    if value.microseconds:
        complain(f"must be whole seconds{got(format_duration(value))}")
    return value


_Duration = Annotated[timedelta, BeforeValidator(_duration)]
_LONGEST: Final = timedelta(hours=87600)

Duration = Annotated[_Duration, Field(ge=timedelta(milliseconds=1), le=_LONGEST)]
"""`1ms` to `87600h` (ten years)."""

_WHOLE_SECONDS: Final = Rule(
    holds="duration(self).getMilliseconds() % 1000 == 0",
    message="must be whole seconds",
)

Seconds = Annotated[
    _Duration,
    Field(ge=timedelta(0), le=_LONGEST),
    AfterValidator(_whole_seconds),
    form(rules=[_WHOLE_SECONDS]),
]
"""`0s` to `87600h`, in whole seconds."""


def _checked(
    must: str, canonical: Callable[[str], str | None], hint: str | None = None
) -> AfterValidator:
    """Make a validator of what gives the canonical form, or None if there is none."""

    def check(text: str) -> str:
        found = canonical(text)
        if found is None:
            complain(f"must be {must}{got(text)}", hint=hint)
        return found

    return AfterValidator(check)


def _token(text: str) -> str | None:
    return text if _TOKEN.fullmatch(text) else None


def _header_name(text: str) -> str | None:
    lower = text.lower()  # what is ASCII only then was none
    return lower if lower in _PSEUDO_HEADERS or _token(text) else None


def _query_name(text: str) -> str | None:
    fits = _QUERY_NAME.fullmatch(text) and len(text.encode()) <= _LONGEST_NAME
    return text if fits else None


def _cookie_path(text: str) -> str | None:
    fits = text.startswith("/") and text.isprintable() and ";" not in text
    return text if fits else None


def _address(text: str) -> str | None:
    return name.ip_address(text) or name.host_name(text)


def _dns_label(text: str) -> str | None:
    return text if name.is_dns_label(text) else None


def _dns_name(text: str) -> str | None:
    return text if name.is_dns_name(text) else None


def _label_key(text: str) -> str | None:
    return text if name.is_label_key(text) else None


def _any_case(text: str) -> str:
    """Write a pattern that does not mind case, in what all dialects know."""
    return "".join(f"[{one.upper()}{one}]" if one.isalpha() else one for one in text)


HeaderName = Annotated[
    str,
    _checked(
        "a header name: 1 to 256 letters, digits or !#$%&'*+-.^_`|~",
        _header_name,
        hint=f"names with a colon: only {', '.join(_PSEUDO_HEADERS)}",
    ),
    form(pattern=f"^({'|'.join([_TOKEN.pattern, *map(_any_case, _PSEUDO_HEADERS)])})$"),
]
"""RFC 9110 section 5.6.2; lower-cased. Envoy itself checks none of these names here."""

CookieName = Annotated[
    str,
    _checked("a cookie name: 1 to 256 letters, digits or !#$%&'*+-.^_`|~", _token),
    form(pattern=_TOKEN_FORM),
]
"""RFC 6265 section 4.1.1."""

QueryName = Annotated[
    str,
    _checked(
        "a query parameter's name: 1 to 256 bytes without & = # or space", _query_name
    ),
    form(
        pattern=f"^{_QUERY_NAME.pattern}$",
        most=_LONGEST_NAME,
        rules=[
            Rule(
                holds=f"size(bytes(self)) <= {_LONGEST_NAME}",
                message=f"must have at most {_LONGEST_NAME} bytes",
            )
        ],
    ),
]

CookiePath = Annotated[
    str,
    _checked("a path that begins with / and has no ; in it", _cookie_path),
    form(pattern=r"^/( |[^;\p{C}\p{Z}])*$"),
]

_ADDRESS: Final = "an IP address or a DNS name"

Address = Annotated[
    str,
    _checked(_ADDRESS, _address),
    form(
        pattern=name.ADDRESS_FORM,
        most=name.LONGEST_NAME + len("."),
        rules=[
            Rule(holds=holds, message=f"must be {_ADDRESS}")
            for holds in (
                "!self.contains(':') || isIP(self)",
                f"!(self in {list(name.NO_SERVERS)})",
                f"size(self) <= {name.LONGEST_NAME} || self.endsWith('.')",
            )
        ],
        anyOf=[
            {"pattern": name.IPV4_FORM},
            {"pattern": ":"},
            {"not": {"pattern": name.LAST_LABEL_IS_NUMBER}},
        ],
    ),
]
"""Canonical: IP addresses as the RFCs write them, names in lower case."""

DnsLabel = Annotated[
    str,
    _checked(name.DNS_LABEL, _dns_label),
    form(pattern=name.DNS_LABEL_FORM, most=name.LONGEST_LABEL),
]
DnsName = Annotated[
    str,
    _checked(name.DNS_NAME, _dns_name),
    form(pattern=name.DNS_NAME_FORM, most=name.LONGEST_NAME),
]

_LABEL_KEY: Final = "must be a label key such as app or example.com/app"
_SHORT_PREFIX: Final = f"{{}}.indexOf('/') <= {name.LONGEST_NAME}"

LabelKey = Annotated[
    str,
    _checked(_LABEL_KEY.removeprefix("must be "), _label_key),
    form(
        pattern=name.LABEL_KEY_FORM,
        most=name.LONGEST_NAME + len("/") + name.LONGEST_LABEL,
        rules=[Rule(holds=_SHORT_PREFIX.format("self"), message=_LABEL_KEY)],
    ),
]


def _labels(value: object) -> tuple[tuple[str, str], ...]:
    if isinstance(value, tuple):
        value = dict(value)
    if not isinstance(value, dict):
        complain(f"must be a mapping of labels{got(value)}")
    faults = [
        Fault(path=(str(key),), message=message)
        for key, item in value.items()
        if (message := _label_message(key, item)) is not None
    ]
    if faults:
        raise together(faults)
    return tuple(sorted(value.items()))


def _label_message(key: str, value: object) -> str | None:
    if not name.is_label_key(key):
        return _LABEL_KEY
    if not isinstance(value, str) or not name.is_label_value(value):
        return f"must be a label value: letters, digits, - _ ., at most 63{got(value)}"
    return None


Labels = Annotated[
    tuple[tuple[str, str], ...],
    BeforeValidator(_labels),
    Field(min_length=1, max_length=16),
    form(
        rules=[
            Rule(
                holds=f"self.all(key, key.matches({quoted(name.LABEL_KEY_FORM)})"
                f" && {_SHORT_PREFIX.format('key')})",
                message=_LABEL_KEY,
            )
        ],
        type="object",
        additionalProperties={
            "type": "string",
            "pattern": name.LABEL_VALUE_FORM,
            "maxLength": name.LONGEST_LABEL,
        },
    ),
]
"""Written as a mapping; kept as sorted pairs, which can be hashed."""
