"""What of a load assignment's own settings means nothing at a port?

They travel with the endpoints, and an Envoy whose endpoints are names gets none from
here: it finds them by DNS. Envoy drops requests, and of TCP there are none.
"""

from typing import Final

from xds_server.api.policy import Overload, StaleEndpoints
from xds_server.mesh.misfit import Fit, Misfit, Situation, fit_whole
from xds_server.mesh.model import Discovery, Protocol

_BY_NAME: Final = Fit(
    errors=(
        Misfit(
            path=(),
            message="has no effect: the endpoints are names, which each Envoy resolves "
            "by itself",
            hint="leave it out, or give the Service EndpointSlices with IP addresses",
        ),
    )
)


def fit_overload(overload: Overload, situation: Situation) -> Fit:
    """Return whether requests can be turned away at the port."""
    del overload
    if situation.discovery is Discovery.DNS:
        return _BY_NAME
    port, misfit = situation.port, None
    if port.protocol is Protocol.TCP:
        misfit = Misfit(
            path=(),
            message=f"has no effect: port {port.name or port.number} is TCP, and only "
            "requests are turned away",
            hint="give the port an HTTP appProtocol if it is HTTP",
        )
    return fit_whole(misfit, situation)


def fit_stale_endpoints(stale_endpoints: StaleEndpoints, situation: Situation) -> Fit:
    """Return whether endpoints at the port can go stale."""
    del stale_endpoints
    return _BY_NAME if situation.discovery is Discovery.DNS else Fit()
