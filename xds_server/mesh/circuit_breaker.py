"""Which limits of a circuit breaker mean nothing at a port?

A circuit breaker and where it is to be in force in; what Envoy would ignore there out.
"""

from collections.abc import Iterator

from xds_server.api.policy import CircuitBreaker
from xds_server.mesh.misfit import Fit, Misfit, Situation, fit_in_part
from xds_server.mesh.model import Protocol

_OF_REQUESTS = {
    "max_requests": "maxRequests",
    "max_retries": "maxRetries",
    "retry_budget": "retryBudget",
}


def fit_circuit_breaker(breaker: CircuitBreaker, situation: Situation) -> Fit:
    """Return which limits of *breaker* have no effect; the others work."""
    return fit_in_part(_idle(breaker, situation), situation)


def _idle(breaker: CircuitBreaker, situation: Situation) -> Iterator[Misfit]:
    port = situation.port
    if port.protocol is not Protocol.TCP:
        return
    for name, written in _OF_REQUESTS.items():
        if name in breaker.model_fields_set:
            yield Misfit(
                path=(written,),
                message=f"has no effect: port {port.name or port.number} is TCP and "
                "has no requests",
                hint="use maxConnections, or give the port an HTTP appProtocol",
            )
