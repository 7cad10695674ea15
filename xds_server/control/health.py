"""How much weight errors leave an endpoint: ratios of success in, factors out.

An endpoint is compared with the fleet, so what fails everywhere is nobody's fault.
"""

import math
from collections.abc import Mapping

from xds_server.control.parameter import Parameters
from xds_server.control.state import EndpointState, Window


def judge(
    endpoints: Mapping[str, EndpointState], parameters: Parameters
) -> dict[str, float]:
    """Return the error factor of each endpoint with enough answers to be judged."""
    windows = {
        name: endpoint.middle
        for name, endpoint in endpoints.items()
        if endpoint.long.outcomes >= parameters.least_answers
    }
    if not windows:
        return {}
    # The upper median: with two endpoints the other one would be the failing one.
    ratios = sorted(window.success for window in windows.values())
    fleet = ratios[len(ratios) // 2]
    return {
        name: error_factor(window, fleet, parameters)
        for name, window in windows.items()
    }


def error_factor(window: Window, fleet: float, parameters: Parameters) -> float:
    """Return the factor, 0 to 1, for the errors in *window* where *fleet* is usual."""
    if fleet <= parameters.failing_fleet:
        return 1.0
    prior = parameters.prior_answers
    ratio = (window.succeeded + prior * fleet) / (window.outcomes + prior)
    excess = max(0.0, 1 - ratio / fleet - parameters.tolerance)
    return float((1 - excess) ** parameters.severity)


def bound_removal(
    health: Mapping[str, float], weights: Mapping[str, float], most: float
) -> dict[str, float]:
    """Return *health* so that it takes at most the part *most* of all *weights* away.

    What each endpoint loses shrinks by one factor, so who fails more still loses more.
    """
    removed = math.fsum(weights[name] * (1 - health[name]) for name in health)
    allowed = most * math.fsum(weights.values())
    if removed <= allowed:
        return dict(health)
    shrink = allowed / removed
    return {name: 1 - (1 - factor) * shrink for name, factor in health.items()}
