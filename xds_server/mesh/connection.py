"""What of a connection's settings means nothing at a port, and what does it speak?

A connection's settings and where they are to be in force in; what Envoy would ignore
there, and the port as its endpoints are spoken with, out.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from xds_server.api.policy import Connection, SpokenProtocol
from xds_server.mesh.misfit import Fit, Misfit, Situation, fit_in_part
from xds_server.mesh.model import Port, Protocol, Role

_OF_HTTP: Final = {
    "protocol": "protocol",
    "idle_timeout": "idleTimeout",
    "max_connection_duration": "maxConnectionDuration",
    "max_requests_per_connection": "maxRequestsPerConnection",
    "http2": "http2",
}
_SPOKEN: Final = {
    SpokenProtocol.HTTP1: Protocol.HTTP1,
    SpokenProtocol.HTTP2: Protocol.HTTP2,
}
_EITHER: Final = (SpokenProtocol.SAME, SpokenProtocol.AUTO)
_NOT_OFFERED: Final = Misfit(
    path=("protocol",),
    message="Auto needs TLS, in whose handshake an endpoint says what it speaks",
    hint="give the port a policy with tls, or write HTTP1, HTTP2 or Same",
)
_OF_THE_POD: Final = Misfit(
    path=("proxyProtocol",),
    message="behind a sidecar endpoints are told the address of the application's "
    "connection to it: that of loopback",
    hint="end users' addresses are seen only by a gateway in front of the servers",
    role=Role.SIDECAR,
)


def fit_connection(connection: Connection, situation: Situation) -> Fit:
    """Return which settings of *connection* have no effect; the others work.

    Without encryption there is nothing to choose a protocol by, and Envoy refuses it.
    """
    is_http = situation.port.protocol is not Protocol.TCP
    is_auto = connection.protocol is SpokenProtocol.AUTO
    if is_http and is_auto and not situation.is_encrypted:
        return Fit(errors=(_NOT_OFFERED,))
    fit = fit_in_part(_idle(connection, situation.port), situation)
    if connection.proxy_protocol is None:
        return fit
    return replace(fit, warnings=(*fit.warnings, _OF_THE_POD))


def spoken(port: Port, connection: Connection | None) -> Port:
    """Return *port* with the protocol that its endpoints are spoken with.

    A port of TCP stays one: it has no routes.
    """
    protocol = connection.protocol if connection else None
    if protocol is None or port.protocol is Protocol.TCP:
        return port
    return replace(port, protocol=_SPOKEN.get(protocol, port.protocol))


def _idle(connection: Connection, port: Port) -> Iterator[Misfit]:
    name = port.name or port.number
    if port.protocol is Protocol.TCP:
        for field, written in _OF_HTTP.items():
            if getattr(connection, field) is not None:
                yield Misfit(
                    path=(written,),
                    message=f"has no effect: port {name} is TCP, not HTTP",
                    hint="give the port an HTTP appProtocol if it is HTTP",
                )
        return
    is_http1 = spoken(port, connection).protocol is Protocol.HTTP1
    if connection.http2 is not None and is_http1 and connection.protocol not in _EITHER:
        yield Misfit(
            path=("http2",),
            message=f"has no effect: the endpoints of port {name} speak HTTP/1",
            hint="write protocol: HTTP2, or give the port appProtocol: http2",
        )
