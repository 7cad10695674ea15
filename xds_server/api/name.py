"""Names and addresses, as strictly as Envoy and Kubernetes will read them later.

Each function gives the canonical form, or None where the text is no such thing.
"""

import re
import socket
from typing import Final

_LABEL_FORM: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_QUALIFIED_FORM: Final = "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL: Final = re.compile(_LABEL_FORM)
_QUALIFIED_NAME: Final = re.compile(_QUALIFIED_FORM)
ROOT_NAMESPACE: Final = "xds-system"
"""The namespace whose policies are the defaults of the whole mesh, unless set."""

LONGEST_LABEL: Final = 63
LONGEST_NAME: Final = 253
_MULTICAST: Final = {socket.AF_INET: range(224, 240), socket.AF_INET6: range(255, 256)}
_BROADCAST: Final = b"\xff\xff\xff\xff"

DNS_LABEL_FORM: Final = f"^{_LABEL_FORM}$"
DNS_NAME_FORM: Final = rf"^{_LABEL_FORM}(\.{_LABEL_FORM})*$"
LABEL_KEY_FORM: Final = (
    rf"^({_LABEL_FORM}(\.{_LABEL_FORM})*/)?{_QUALIFIED_FORM}$"  # no prefix's length
)
LABEL_VALUE_FORM: Final = f"^({_QUALIFIED_FORM})?$"
_ANY_CASE_FORM: Final = _LABEL_FORM.replace("a-z", "A-Za-z")
_OCTET_FORM: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_FIRST_OCTET_FORM: Final = "(25[0-5]|24[0-9]|22[0-3]|2[01][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_FIRST_GROUP_FORM: Final = (
    "(0*[1-9A-Fa-f][0-9A-Fa-f]{0,2}"
    "|[1-9A-Ea-e][0-9A-Fa-f]{3}|[Ff][0-9A-Ea-e][0-9A-Fa-f]{2})"
)
_IPV6_FORM: Final = (
    f"({_FIRST_GROUP_FORM}:[0-9A-Fa-f:.]*|0*:[0:.]*[1-9A-Fa-f][0-9A-Fa-f:.]*)"
)
ADDRESS_FORM: Final = rf"^({_IPV6_FORM}|{_ANY_CASE_FORM}(\.{_ANY_CASE_FORM})*\.?)$"
"""A name, or what may be IPv6: neither unspecified nor multicast."""

LAST_LABEL_IS_NUMBER: Final = r"(^|\.)[0-9]+\.?$"
"""So it is no name."""

IPV4_FORM: Final = rf"^{_FIRST_OCTET_FORM}(\.{_OCTET_FORM}){{3}}$"
"""Not multicast."""

NO_SERVERS: Final = ("0.0.0.0", "255.255.255.255")  # noqa: S104 - nobody binds to it

DNS_LABEL: Final = "a DNS label: lower-case letters, digits and -, at most 63"
DNS_NAME: Final = "a DNS name: lower-case letters, digits, - and ., at most 253"


def is_dns_label(text: str) -> bool:
    """RFC 1123, as Kubernetes names namespaces and Services."""
    return _LABEL.fullmatch(text) is not None


def is_dns_name(text: str) -> bool:
    """RFC 1123 subdomain, as Kubernetes names most other objects."""
    labels = text.split(".")
    return len(text) <= LONGEST_NAME and all(map(is_dns_label, labels))


def is_label_key(text: str) -> bool:
    """Say whether Kubernetes takes it as a label's or annotation's key."""
    prefix, slash, name = text.rpartition("/")
    if slash and not is_dns_name(prefix):
        return False
    return _QUALIFIED_NAME.fullmatch(name) is not None


def is_label_value(text: str) -> bool:
    """Say whether Kubernetes takes it as a label's value; it may be empty."""
    return not text or _QUALIFIED_NAME.fullmatch(text) is not None


def ip_address(text: str) -> str | None:
    """Read an IPv4 or IPv6 address strictly; one that a server can have.

    Not `127.1`, `010.0.0.1`, `[::1]`, nor a zone (`fe80::1%eth0`): Envoy refuses them,
    or reads them as something else. Not the unspecified address, multicast, broadcast.
    """
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        packed = socket.inet_pton(family, text)
    except (OSError, ValueError):  # a ValueError where the text holds a NUL
        return None
    if not any(packed) or packed[0] in _MULTICAST[family] or packed == _BROADCAST:
        return None
    canonical = socket.inet_ntop(family, packed)
    # An IPv4 address has one spelling; some systems' inet_pton takes others, too.
    is_strict = family == socket.AF_INET6 or canonical == text
    return canonical if is_strict else None


def host_name(text: str) -> str | None:
    """Read a DNS name: lower-cased, without the root's dot. An address is none."""
    if not text.isascii():
        return None  # the lower case of some other letters would be ASCII
    name = text.lower().removesuffix(".")
    last_label = name.rpartition(".")[2]
    return name if is_dns_name(name) and not last_label.isdigit() else None
