"""The kinds of values that policies are made of: durations, enums, names, mappings.

Each is a type to annotate fields with; what it accepts becomes its canonical form.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, NoReturn, Self

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

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
    def parse_or_none(cls, text: object) -> Self | None:
        """Read any spelling; None where it is none of these."""
        try:
            return cls.parse(text)
        except PydanticCustomError:
            return None

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
SHORTEST: Final = timedelta(milliseconds=1)
LONGEST: Final = timedelta(hours=87600)
LARGEST_COUNT: Final = 4_294_967_295
"""What Envoy's counts can hold."""
LARGEST_PORT: Final = 65535

Duration = Annotated[_Duration, Field(ge=SHORTEST, le=LONGEST)]
"""`1ms` to `87600h` (ten years)."""

TimeLimit = Annotated[_Duration, Field(ge=timedelta(0), le=LONGEST)]
"""`0s`, which is none, to `87600h`."""

_WHOLE_SECONDS: Final = Rule(
    holds="duration(self).getMilliseconds() % 1000 == 0",
    message="must be whole seconds",
)

Seconds = Annotated[
    _Duration,
    Field(ge=timedelta(0), le=LONGEST),
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


def _request_header(text: str) -> str | None:
    lower = text.lower()
    return lower if _token(text) and lower != "host" else None


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

RequestHeader = Annotated[
    str,
    _checked(
        "the name of a header that a client may send, without a colon",
        _request_header,
        hint="x-endpoint is one; Envoy knows host as :authority",
    ),
    form(
        pattern=_TOKEN_FORM,
        most=_LONGEST_NAME,
        rules=[
            Rule(
                holds="self.lowerAscii() != 'host'",
                message="must be the name of a header that a client may send, "
                "without a colon",
            )
        ],
    ),
]
"""A header whose value is read, or told; lower-cased."""

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

_PATH: Final = re.compile(r"/[!-\"$-~]*")  # a # begins what is never sent
_LONGEST_PATH: Final = 1024
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_LONGEST_AUTHORITY: Final = 255
_GRPC_SERVICE: Final = re.compile(r"[!-~]*")


def _fitting(form: re.Pattern[str], most: int) -> Callable[[str], str | None]:
    """Make what gives a text that has *form* and *most* characters back."""
    return lambda text: text if len(text) <= most and form.fullmatch(text) else None


RequestPath = Annotated[
    str,
    _checked(
        "a path that begins with /, of at most 1024 visible ASCII characters but #",
        _fitting(_PATH, _LONGEST_PATH),
    ),
    form(pattern=f"^{_PATH.pattern}$", most=_LONGEST_PATH),
]
"""What is requested, maybe with a query."""

Authority = Annotated[
    str,
    _checked(
        "a host, maybe with a port: 1 to 255 letters, digits or . - _ : [ ]",
        _fitting(_AUTHORITY, _LONGEST_AUTHORITY),
    ),
    form(pattern=f"^{_AUTHORITY.pattern}$", most=_LONGEST_AUTHORITY),
]
"""What a Host header or `:authority` holds. Envoy's own default, the name of the
cluster, has a `/` in it here, which many servers refuse."""

GrpcService = Annotated[
    str,
    _checked(
        "the name of a gRPC service: at most 256 visible ASCII characters",
        _fitting(_GRPC_SERVICE, _LONGEST_NAME),
    ),
    form(pattern=f"^{_GRPC_SERVICE.pattern}$", most=_LONGEST_NAME),
]

_FILE: Final = re.compile(r"(/[!-.0-~]+)+")
_RELATIVE: Final = re.compile(r"/\.\.?(/|$)")
_LONGEST_FILE: Final = 512
_FILE_FORM: Final = (
    "an absolute path of at most 512 visible ASCII characters, without //, . and .."
)


def _file_path(text: str) -> str | None:
    fits = len(text) <= _LONGEST_FILE and _FILE.fullmatch(text)
    return text if fits and not _RELATIVE.search(text) else None


FilePath = Annotated[
    str,
    _checked(_FILE_FORM, _file_path),
    form(
        pattern=f"^{_FILE.pattern}$",
        most=_LONGEST_FILE,
        rules=[
            Rule(
                holds=f"!self.matches({quoted(_RELATIVE.pattern)})",
                message=f"must be {_FILE_FORM}",
            )
        ],
    ),
]
"""A file beside the Envoy: whether it is there, the server cannot know."""


def _server_name(text: str) -> str | None:
    return text if name.host_name(text) == text else None


ServerName = Annotated[
    str,
    _checked(name.DNS_NAME, _server_name, hint="no address: SNI knows names alone"),
    form(
        pattern=name.DNS_NAME_FORM,
        most=name.LONGEST_NAME,
        anyOf=[{"not": {"pattern": name.LAST_LABEL_IS_NUMBER}}],
    ),
]
"""RFC 6066 section 3."""

_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+")
_LONGEST_URI: Final = 512
_ALTERNATIVE: Final = "a DNS name in lower case, or a URI such as spiffe://mesh/web"


def _alternative_name(text: str) -> str | None:
    is_uri = len(text) <= _LONGEST_URI and _URI.fullmatch(text)
    return text if is_uri else _server_name(text)


AlternativeName = Annotated[
    str,
    _checked(_ALTERNATIVE, _alternative_name),
    form(
        pattern=f"^({name.DNS_NAME_FORM[1:-1]}|{_URI.pattern})$",
        most=_LONGEST_URI,
        rules=[
            Rule(
                holds=f"self.contains('://') || size(self) <= {name.LONGEST_NAME}",
                message=f"must be {_ALTERNATIVE}",
            )
        ],
        anyOf=[{"pattern": "://"}, {"not": {"pattern": name.LAST_LABEL_IS_NUMBER}}],
    ),
]
"""What a certificate may be for (RFC 5280 section 4.2.1.6)."""

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
