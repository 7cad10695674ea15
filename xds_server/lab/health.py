"""Health checks in the lab: how its backends pass and fail them.

A health check in; statuses that it takes for healthy and not, and whether the lab can
put it to the test, out. It can where the port itself is asked over HTTP: that is all
that the backends understand. Others are left out of the lab's copies (`soften`).
"""

from datetime import timedelta
from typing import Final

from xds_server.api.duration import format_duration, parse_duration
from xds_server.api.manifest import Value
from xds_server.api.policy import HealthCheck, HealthCheckType, status_range

_STATUSES: Final = range(200, 600)
OFTEN: Final = timedelta(seconds=1)
"""The longest interval between two checks of an endpoint here."""


def passing_status(check: HealthCheck) -> int | None:
    """Return a status that *check* takes for healthy, of those that end an answer."""
    return next((status for status in _STATUSES if _expects(check, status)), None)


def failing_status(check: HealthCheck) -> int | None:
    """Return a status that *check* does not take for healthy."""
    return next((s for s in reversed(_STATUSES) if not _expects(check, s)), None)


def is_measurable(check: HealthCheck) -> bool:
    """Return whether backends can pass and fail *check*."""
    is_asked = check.type is HealthCheckType.HTTP and check.port is None
    statuses = (passing_status(check), failing_status(check))
    return is_asked and None not in statuses


def soften(policy: Value) -> None:
    """Make the `healthCheck` of a policy as written fit the lab, or take it out.

    Endpoints are asked often, so that nobody waits long.
    """
    spec = policy.get("spec") if isinstance(policy, dict) else None
    check = spec.get("healthCheck") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(check, dict):
        return
    kind = HealthCheckType.parse_or_none(check.get("type"))
    if kind is not HealthCheckType.HTTP or check.get("port") is not None:
        del spec["healthCheck"]
        return
    check.pop("timeout", None)
    for name in ("interval", "noTrafficInterval"):
        written = check.get(name)
        found = parse_duration(written) if isinstance(written, str) else None
        check[name] = format_duration(min(found or OFTEN, OFTEN))
    if isinstance(http := check.get("http"), dict):
        http.pop("codec", None)


def _expects(check: HealthCheck, status: int) -> bool:
    ranges = map(status_range, check.http.expected_statuses if check.http else ())
    return any(found and found[0] <= status <= found[1] for found in ranges)
