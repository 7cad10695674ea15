"""What a request is hashed by (`hashOn`): the keys of RingHash and Maglev."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import Field

from xds_server.api.field import (
    Choice,
    CookieName,
    CookiePath,
    HeaderName,
    QueryName,
    Seconds,
)
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.regular_expression import (
    LONGEST,
    SUBSTITUTION_FORM,
    pattern_error,
    substitution_error,
)
from xds_server.api.schema import Rule, form, has_one_of
from xds_server.api.wording import got

_SOURCES: Final = ("sourceIP", "header", "cookie", "queryParameter")


class SameSite(Choice):
    """The SameSite attribute of a cookie."""

    STRICT = "Strict"
    LAX = "Lax"
    NONE = "None"


class SourceIP(Model):
    """The client's address, without its port."""


class Regex(Model):
    r"""Which part of a value counts: the pattern's match is replaced, `\1` is a group.

    The syntax is RE2's.
    """

    pattern: Annotated[
        str,
        form(
            least=1,
            most=LONGEST,
            rules=[
                Rule(
                    holds="''.matches(self) in [true, false]",  # or fails to compile
                    message="must be a regular expression (RE2)",
                )
            ],
        ),
    ]
    """What is to be found in the value, in RE2's syntax."""
    substitution: Annotated[str, form(pattern=SUBSTITUTION_FORM)]
    r"""What replaces a match; `\1` is the first group."""

    def value_faults(self) -> Iterable[Fault]:
        """Refuse what Envoy's RE2 would."""
        if (wrong := pattern_error(self.pattern)) is not None:
            yield Fault(path=("pattern",), message=wrong + got(self.pattern))
            return
        wrong = substitution_error(self.substitution, self.pattern)
        if wrong is not None:
            yield Fault(path=("substitution",), message=wrong + got(self.substitution))


class HashHeader(Model):
    """A request header, or the part of it that a regular expression leaves."""

    name: HeaderName
    """Of the header; with a colon only `:authority`, `:path`, `:method`."""
    regex: Regex | None = None
    """Which part of the value counts."""


FIRST_FORWARDED: Final = HashHeader(
    name="x-forwarded-for", regex=Regex(pattern=r"^([^,]*).*$", substitution=r"\1")
)
"""The client, as a chain of proxies wrote it first into X-Forwarded-For."""


class HashCookie(Model):
    """A cookie. Envoy sets it where a client has none.

    A `ttl` of 0 makes it last as long as the browser runs.
    """

    name: CookieName
    """Of the cookie."""
    ttl: Seconds = timedelta(0)
    """How long the cookie that Envoy sets is kept, in whole seconds; `0s`: as long as
    the browser runs."""
    path: CookiePath = "/"
    """Of the cookie that Envoy sets; begins with `/`, no `;`."""
    same_site: SameSite | None = None
    """Of the cookie that Envoy sets: `Strict`, `Lax` or `None`."""
    secure: bool = False
    """Whether the cookie that Envoy sets is for HTTPS alone."""


class HashQueryParameter(Model):
    """A parameter of the request's query."""

    name: QueryName
    """Of the parameter; 1 to 256 bytes without `&`, `=`, `#` or space."""


class HashKey(Model):
    """One of the four keys. After a `terminal` one that has a value, none counts."""

    source_ip: SourceIP | None = Field(default=None, alias="sourceIP")
    """`{}`: the client's address, without its port."""
    header: HashHeader | None = None
    """A request header."""
    cookie: HashCookie | None = None
    """A cookie; Envoy sets it where a client has none."""
    query_parameter: HashQueryParameter | None = None
    """A parameter of the query."""
    terminal: bool = False
    """If this key has a value, those after it do not count."""

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds=has_one_of(_SOURCES),
            message=f"exactly one of {', '.join(_SOURCES)}",
        ),
    )

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse none and several: an entry without a key aborts Envoy."""
        found = [key for key in _SOURCES if key in given]
        if len(found) != 1:
            names = ", ".join(found) or "none"
            message = f"exactly one of {', '.join(_SOURCES)} (got {names})"
            hint = "an empty mapping will do: sourceIP: {}" if not found else None
            yield Fault(path=(), message=message, hint=hint)
