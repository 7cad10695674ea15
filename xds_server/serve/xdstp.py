"""`xdstp://` names: what a URI says of a resource (xDS transport, TP1).

Names in; their canonical form, and the collection that a name belongs to, out. A name
is `xdstp://AUTHORITY/TYPE/ID?CONTEXT`; the collection of all below a path is called
like them with `*` as the last segment. Every other name is opaque.
"""

from typing import Final

_SCHEME: Final = "xdstp:"
_ALL: Final = "*"


def canonical(name: str) -> str:
    """Return *name* with its context parameters in order: their order means nothing."""
    if not name.startswith(_SCHEME):
        return name
    path, mark, context = name.partition("?")
    return path + mark + "&".join(sorted(context.split("&")))


def is_glob(name: str) -> bool:
    """Does *name* stand for all resources directly below its path?"""
    path = name.partition("?")[0]
    return name.startswith(_SCHEME) and path.endswith(f"/{_ALL}")


def glob_of(name: str) -> str | None:
    """Return the glob that *name* is matched by; None where it is no xdstp name."""
    if not name.startswith(_SCHEME):
        return None
    path, mark, context = name.partition("?")
    parent = path.rpartition("/")[0]
    return f"{parent}/{_ALL}{mark}{context}"
