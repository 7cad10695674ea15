"""Build what keeps a client's sessions: a filter of all listeners, turned on by routes.

A section in; what a virtual host says to the filter, and which endpoints a cluster
gives a session back, out. In a listener the filter is there and off: a policy that
comes changes routes, and a listener's connections stay.
"""

from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.core.v3 import (
    HealthStatus,
    HealthStatusSet,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.stateful_session.v3 import (
    StatefulSession,
    StatefulSessionPerRoute,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E501 - Envoy's name
    HttpFilter,
)
from envoy_data_plane.envoy.extensions.http.stateful_session.cookie.v3 import (
    CookieBasedSessionState,
)
from envoy_data_plane.envoy.extensions.http.stateful_session.header.v3 import (
    HeaderBasedSessionState,
)
from envoy_data_plane.envoy.type.http.v3 import Cookie, CookieAttribute
from envoy_data_plane.google.protobuf import Any

from xds_server.api.policy import Session, SessionCookie
from xds_server.translate.check import require

SESSION: Final = "envoy.filters.http.stateful_session"

SESSION_FILTER: Final = HttpFilter(
    name=SESSION, typed_config=Any.pack(StatefulSession()), disabled=True
)

_SOUND: Final = (HealthStatus.UNKNOWN, HealthStatus.HEALTHY, HealthStatus.DEGRADED)


def build_session(section: Session) -> StatefulSessionPerRoute:
    """Return the session state of requests.

    Raises:
        LimitError: Envoy would refuse all routes, or take what no client sends back.
    """
    if section.cookie is not None:
        state = TypedExtensionConfig(
            name="envoy.http.stateful_session.cookie",
            typed_config=Any.pack(_cookie_state(section.cookie)),
        )
    else:
        name = section.header.name if section.header else ""
        require(bool(name), "a session without a cookie or a header, or its name")
        state = TypedExtensionConfig(
            name="envoy.http.stateful_session.header",
            typed_config=Any.pack(HeaderBasedSessionState(name=name)),
        )
    return StatefulSessionPerRoute(
        stateful_session=StatefulSession(session_state=state, strict=section.strict)
    )


def build_override_host_status(section: Session | None) -> HealthStatusSet | None:
    """Return of which health an endpoint must be that a session goes back to.

    None where that is Envoy's own rule: it is well, and does not drain.
    """
    if section is None or not section.keep_draining:
        return None
    return HealthStatusSet(statuses=[*_SOUND, HealthStatus.DRAINING])


def _cookie_state(cookie: SessionCookie) -> CookieBasedSessionState:
    """Return a state in a cookie. With a `ttl` of 0 it is the browser's to forget.

    Whatever is not whole seconds, Envoy cuts off.
    """
    require(bool(cookie.name), "a cookie without a name")
    require(cookie.ttl >= timedelta(0), "a ttl below 0")
    require(not cookie.ttl.microseconds, "a ttl that is not whole seconds")
    require(cookie.path.startswith("/") and ";" not in cookie.path, "a cookie's path")
    same_site = cookie.same_site
    attributes = [("SameSite", same_site.value)] if same_site else []
    attributes += [("Secure", "")] if cookie.secure else []
    return CookieBasedSessionState(
        cookie=Cookie(
            name=cookie.name,
            ttl=cookie.ttl or None,
            path=cookie.path,
            attributes=[CookieAttribute(name=n, value=v) for n, v in attributes],
        )
    )
