"""How values of a BackendTrafficPolicy are read that are not one number or name.

A value as it was written in; a value as policies have it out.
"""

import base64
import binascii
from typing import Final

from xds_server.api.manifest import Value
from xds_server.api.wording import got
from xds_server.importer.source import items, mapping
from xds_server.importer.value import count, decline, duration, members

_HUNDRED: Final = 100
_ATTRIBUTES: Final = ("samesite", "path", "secure", "httponly")
_UNITS: Final = {"Second": "1s", "Minute": "1m", "Hour": "1h", "Day": "24h"}


def read_header(value: Value) -> Value:
    """Read a header to hash by."""
    return {"header": {"name": members(value, "name").get("name")}}


def read_parameter(value: Value) -> Value:
    """Read a query parameter to hash by."""
    return {"queryParameter": {"name": members(value, "name").get("name")}}


def read_cookie(value: Value) -> Value:
    """Read a cookie to hash by, and its attributes, but those that are unknown.

    One that Envoy makes is HttpOnly without being told.
    """
    cookie = members(value, "name", "ttl", "attributes")
    key: dict[str, Value] = {"name": cookie.get("name")}
    if "ttl" in cookie:
        key["ttl"] = duration(cookie["ttl"])
    attributes = mapping(cookie.get("attributes"))
    for name, written in attributes.items():
        match name.lower():
            case "samesite":
                key["sameSite"] = written
            case "path":
                key["path"] = written
            case "secure":
                key["secure"] = written not in (False, "false")
            case _:
                pass
    return {"cookie": key}


def unknown_attributes(cookie: Value) -> list[str]:
    """Return the attributes of a cookie to hash by that policies have nothing for."""
    attributes = mapping(mapping(cookie).get("attributes"))
    return [name for name in attributes if name.lower() not in _ATTRIBUTES]


def cookie_differs(value: Value) -> str | None:
    """Say what is otherwise of a cookie that nobody sets there."""
    if mapping(value).get("ttl") is not None:
        return None
    return (
        "without a ttl Envoy Gateway only reads the cookie; here Envoy also sets it "
        "where a client has none, for as long as the browser runs"
    )


def read_percent(value: Value) -> Value:
    """Read a fraction; left out, the denominator is 100."""
    fraction = members(value, "numerator", "denominator")
    numerator = count(fraction.get("numerator"))
    denominator = count(fraction.get("denominator", _HUNDRED))
    if not isinstance(numerator, int) or not isinstance(denominator, int):
        decline(f"must be a fraction{got(value)}")
    if denominator <= 0:
        decline(f"denominator must be above 0{got(denominator)}")
    return numerator * _HUNDRED / denominator


def read_penalty(value: Value) -> Value:
    """Read a penalty in percent as a factor."""
    percent = count(value)
    return percent / _HUNDRED if isinstance(percent, int) else None


def read_statuses(value: Value) -> Value:
    """Read statuses as the ranges that they make up."""
    ranges: list[tuple[int, int]] = []
    numbers = [number for one in items(value) if isinstance(number := count(one), int)]
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return [str(a) if a == b else f"{a}-{b}" for a, b in ranges]


def read_payload(value: Value) -> Value:
    """Read what is sent or awaited, as hexadecimal digits."""
    payload = members(value, "type", "text", "binary")
    text, binary = payload.get("text"), payload.get("binary")
    if isinstance(binary, str):
        try:
            return base64.b64decode(binary, validate=True).hex()
        except binascii.Error:
            decline(f"binary must be base64{got(binary)}")
    if not isinstance(text, str) or not text:
        decline("has neither text nor binary")
    return text.encode().hex()


def read_trigger(value: Value) -> Value:
    """Read a condition to send a request again; the names are Envoy's."""
    if value == "retriable-status-codes":
        decline(
            "statuses are not named one by one here",
            "gateway-error is 502 to 504, 5xx any of 500 to 599",
        )
    return value


def read_limit(value: Value) -> Value:
    """Read a rule of a rate limit that is for all requests."""
    if mapping(value).get("clientSelectors"):
        decline(
            "it is for some requests, and a policy limits all to a Service",
            "clientSelector.matchLabels says whose requests a policy is for",
        )
    rule = members(value, "clientSelectors", "limit")
    limit = members(rule.get("limit"), "requests", "unit")
    unit = limit.get("unit")
    if not isinstance(unit, str) or unit not in _UNITS:
        decline(f"unit must be one of {', '.join(_UNITS)}{got(unit)}")
    return {"requests": count(limit.get("requests")), "per": _UNITS[unit]}


def read_zones(value: Value) -> Value:
    """Read what zones get, from anywhere, as the one rule of `weighted`."""
    shares: list[Value] = []
    for one in items(value):
        zone = members(one, "zone", "weight")
        shares.append({"zone": zone.get("zone"), "weight": count(zone.get("weight"))})
    return [{"to": shares}]
