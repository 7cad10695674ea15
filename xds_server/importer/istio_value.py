"""How values of a DestinationRule are read that are not one number or name.

A value as it was written in; a value as policies have it out.
"""

from typing import Final

from xds_server.api.manifest import Value
from xds_server.api.wording import got
from xds_server.importer.source import mapping
from xds_server.importer.value import (
    Silence,
    choice,
    count,
    decline,
    duration,
    members,
)

_LEVELS: Final = ("region", "zone")
_NEAR: Final = {
    "topology.kubernetes.io/region": "Region",
    "topology.kubernetes.io/zone": "Zone",
    "kubernetes.io/hostname": "Node",
}
"""What Istio calls places, the widest first."""
_VERSION: Final = choice({"V1": "V1", "V2": "V2"})


def read_cookie(value: Value) -> Value:
    """Read a cookie to hash by."""
    cookie = members(value, "name", "path", "ttl")
    key = dict(cookie)
    if "ttl" in key:
        key["ttl"] = duration(key["ttl"])
    return {"cookie": key}


def cookie_differs(value: Value) -> str | None:
    """Say what is otherwise of a cookie that nobody sets there, or that has no path."""
    if mapping(value).get("ttl") is None:
        return (
            "without a ttl Istio only reads the cookie; here Envoy also sets it where "
            "a client has none, for as long as the browser runs"
        )
    if not mapping(value).get("path"):
        return "without a path the cookie is for /, not for the path of the request"
    return None


def read_proxy_protocol(value: Value) -> Value | Silence:
    """Read which header connections begin with: without a version it is the first."""
    return _VERSION(members(value, "version").get("version", "V1"))


def read_distribution(value: Value) -> Value:
    """Read how clients at a place share their traffic, as a rule of `weighted`."""
    written = members(value, "from", "to")
    rule: dict[str, Value] = {}
    origin = _place(written.get("from"))
    if origin:
        rule["from"] = origin
    shares = written.get("to")
    if not isinstance(shares, dict):
        decline(f"to must be a mapping{got(shares)}")
    listed: list[Value] = []
    for place, weight in shares.items():
        known = _place(place)
        if not known:
            decline("a share for all places is none of some", "name the regions")
        listed.append({**known, "weight": count(weight)})
    return {**rule, "to": listed}


def _place(value: Value) -> dict[str, Value]:
    """Read `region/zone/*`, whose end may be any."""
    if not isinstance(value, str):
        decline(f"must be region/zone{got(value)}")
    names = value.removesuffix("*").strip("/").split("/")
    found = [name for name in names if name]
    if len(found) > len(_LEVELS):
        decline(f"there are no zones in zones here{got(value)}")
    return dict(zip(_LEVELS, found, strict=False))


def read_priorities(value: Value) -> Value:
    """Read labels, each of which counts where those before it match, as places.

    Ours count each by itself, so they are the same where one is in the other.
    """
    written = value if isinstance(value, list) else [value]
    places = [_NEAR.get(label) if isinstance(label, str) else None for label in written]
    order = [place for place in _NEAR.values() if place in places]
    if not places or places != order:
        decline(
            "only places are compared one in the other: region, zone, hostname",
            "locality.failover.order: label:KEY compares one label by itself",
        )
    return [*reversed(order)]
