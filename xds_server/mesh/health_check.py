"""Does a health check fit the port whose endpoints it is to check?

A health check and where it is to be in force in; what makes it unusable there out.
"""

from typing import Final

from xds_server.api.policy import HealthCheck, HealthCheckType
from xds_server.mesh.misfit import Fit, Misfit, Situation, fit_whole
from xds_server.mesh.model import Port, Protocol

_CONNECT: Final = "use type: TCP, which connects"


def fit_health_check(check: HealthCheck, situation: Situation) -> Fit:
    """Return what speaks against *check*. Where it cannot work, there is none."""
    return fit_whole(_misfit(check, situation.port), situation)


def _misfit(check: HealthCheck, port: Port) -> Misfit | None:
    name = port.name or port.number
    match check.type:
        case HealthCheckType.GRPC if port.protocol is not Protocol.HTTP2:
            return Misfit(
                path=("type",),
                message=f"port {name} does not speak HTTP/2, without which Envoy "
                "refuses GRPC checks: it is not checked",
                hint=f"give the port appProtocol: grpc if it is gRPC; else {_CONNECT}",
            )
        case HealthCheckType.HTTP if (
            port.protocol is Protocol.TCP and check.port is None
        ):
            return Misfit(
                path=("type",),
                message=f"port {name} is TCP and answers no HTTP: it is not checked",
                hint=f"name the endpoints' port that does by port; else {_CONNECT}",
            )
        case _:
            return None
