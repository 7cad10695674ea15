"""Names and addresses, as strictly as Envoy and Kubernetes will read them later.

Each function gives the canonical form, or None where the text is no such thing.
"""

import re
import socket
from typing import Final

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_QUALIFIED_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LONGEST_NAME: Final = 253
_MULTICAST: Final = {socket.AF_INET: range(224, 240), socket.AF_INET6: range(255, 256)}
_BROADCAST: Final = b"\xff\xff\xff\xff"

DNS_LABEL: Final = "a DNS label: lower-case letters, digits and -, at most 63"
DNS_NAME: Final = "a DNS name: lower-case letters, digits, - and ., at most 253"


def is_dns_label(text: str) -> bool:
    """RFC 1123, as Kubernetes names namespaces and Services."""
    return _LABEL.fullmatch(text) is not None


def is_dns_name(text: str) -> bool:
    """RFC 1123 subdomain, as Kubernetes names most other objects."""
    labels = text.split(".")
    return len(text) <= _LONGEST_NAME and all(map(is_dns_label, labels))


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
    name = text.lower().removesuffix(".")
    last_label = name.rpartition(".")[2]
    return name if is_dns_name(name) and not last_label.isdigit() else None
