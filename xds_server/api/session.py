"""Clients that stay with the endpoint that answered first: `session` of a policy.

One block a type; after validation the block named like `type` is there, and no other.
The client keeps which endpoint that is, and each request says it: no server knows of
sessions. Envoy takes names and paths here that no client sends back.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import ClassVar, Final

from xds_server.api.field import (
    Choice,
    CookieName,
    CookiePath,
    RequestHeader,
    Seconds,
)
from xds_server.api.hash_key import SameSite
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.schema import Rule
from xds_server.api.typed_block import (
    block_faults,
    block_rules,
    needed_faults,
    needed_rule,
)


class SessionType(Choice):
    """What a client keeps its session in."""

    COOKIE = "Cookie"
    HEADER = "Header"


class SessionCookie(Model):
    """A cookie that Envoy sets with the first answer, and when the endpoint changes."""

    name: CookieName
    """Of the cookie."""
    ttl: Seconds = timedelta(0)
    """How long a session lasts from when it began, in whole seconds; `0s`: as long as
    the browser runs."""
    path: CookiePath = "/"
    """Of the cookie; requests elsewhere have no session. Begins with `/`, no `;`."""
    same_site: SameSite | None = None
    """Of the cookie: `Strict`, `Lax` or `None`."""
    secure: bool = False
    """Whether the cookie is for HTTPS alone."""


class SessionHeader(Model):
    """A header of answers that the client sends with its next requests."""

    name: RequestHeader
    """Of the header, in answers and in requests."""


_BLOCKS: Final = {SessionType.COOKIE: "cookie", SessionType.HEADER: "header"}
_IN_BLOCK: Final = "a name"


class Session(Model):
    """How a client says which endpoint it has, and what if that is gone."""

    served_rules: ClassVar[tuple[Rule, ...]] = (
        *block_rules(_BLOCKS),
        *(needed_rule(kind, block, _IN_BLOCK) for kind, block in _BLOCKS.items()),
    )

    type: SessionType
    """`Cookie`: browsers keep it by themselves, or `Header`: programs send it back."""
    cookie: SessionCookie | None = None
    """Only with type Cookie."""
    header: SessionHeader | None = None
    """Only with type Header."""
    strict: bool = False
    """Whether a client whose endpoint is gone gets 503, and not another endpoint."""
    keep_draining: bool = False
    """Whether sessions stay with an endpoint that drains until it is gone."""

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse the block of the other type, and ask for that of its own."""
        kind = SessionType.parse_or_none(given.get("type"))
        if kind is None:
            return
        yield from block_faults(_BLOCKS, kind, given, found=kind)
        block = _BLOCKS[kind]
        hint = f"{block}: {{name: {_EXAMPLES[kind]}}}"
        yield from needed_faults(kind, block, _IN_BLOCK, given, hint=hint)


_EXAMPLES: Final = {SessionType.COOKIE: "session", SessionType.HEADER: "x-session"}
