"""May callers choose an endpoint at a port, and who are they?

A section and where it is to be in force in; what speaks against it, and what whoever
wrote it should know, out.
"""

from xds_server.api.policy import OverrideHost
from xds_server.mesh.misfit import Fit, Misfit, Situation, fit_whole
from xds_server.mesh.model import Protocol

_OPEN = Misfit(
    path=("header",),
    message="any caller can send to any endpoint, whatever its weight and health",
    hint="a clientSelector says which clients may",
    is_general=True,
)


def fit_override_host(override: OverrideHost, situation: Situation) -> Fit:
    """Return what speaks against *override*: a connection of TCP has no headers."""
    port = situation.port
    if port.protocol is Protocol.TCP:
        misfit = Misfit(
            path=("header",),
            message=f"port {port.name or port.number} is TCP and has no headers: "
            f"{override.header.name} is never there",
            hint="give the port an HTTP appProtocol if it is HTTP",
        )
        return fit_whole(misfit, situation)
    return Fit(warnings=(_OPEN,) if situation.for_everybody else ())
