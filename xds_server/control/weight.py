"""From what is known of endpoints to the weights that are pushed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xds_server.control.health import bound_removal
from xds_server.control.parameter import Parameters
from xds_server.control.state import EndpointState

MEAN: Final = 1000
"""Of all pushed weights: a step of 1 is a part in a thousand, and the sum of four
million endpoints still fits in the 32 bits that Envoy has for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights by endpoint, `exact` with the mean `MEAN`, and `rounded` to be pushed.

    `health` has the factors that errors left in them, `floored` who would have less but
    for probing.
    """

    exact: Mapping[str, float]
    rounded: Mapping[str, int]
    health: Mapping[str, float]
    floored: frozenset[str]


def weigh(
    endpoints: Mapping[str, EndpointState],
    bases: Mapping[str, int],
    pushed: Mapping[str, int] | None,
    parameters: Parameters,
) -> Weights:
    """Return the weights for the present state of *endpoints*.

    *pushed* are those that clients have, None where they have none.
    """
    speeds = {n: math.exp(each.log_weight) for n, each in endpoints.items()}
    health = bound_removal(
        {name: each.health for name, each in endpoints.items()},
        {name: speed * bases[name] for name, speed in speeds.items()},
        parameters.most_removed,
    )
    wanted = {name: speed * health[name] for name, speed in speeds.items()}
    weights = {
        name: max(factor, parameters.floor_factor) * bases[name]
        for name, factor in wanted.items()
    }
    total = math.fsum(weights.values())
    shares = _least_shares(endpoints, bases, parameters)
    floored = {name: max(w, shares[name] * total) for name, w in weights.items()}
    mean = math.fsum(floored.values()) / max(len(floored), 1)
    exact = {name: MEAN * weight / mean for name, weight in floored.items()}
    return Weights(
        exact=exact,
        rounded=_round(exact, bases, pushed, parameters),
        health=health,
        floored=frozenset(n for n, w in floored.items() if w > wanted[n] * bases[n]),
    )


def _round(
    exact: Mapping[str, float],
    bases: Mapping[str, int],
    pushed: Mapping[str, int] | None,
    parameters: Parameters,
) -> dict[str, int]:
    """Return what is to be pushed; neutral weights where all are near to them."""
    mean = math.fsum(bases[name] for name in exact) / max(len(exact), 1)
    neutral = {name: MEAN * bases[name] / mean for name in exact}
    plain = _whole(neutral)
    limit = parameters.far if pushed == plain else parameters.near
    is_near = all(abs(math.log(w / neutral[n])) <= limit for n, w in exact.items())
    return plain if is_near else _whole(exact)


def _whole(weights: Mapping[str, float]) -> dict[str, int]:
    return {name: max(1, round(weight)) for name, weight in weights.items()}


def differ(
    before: Mapping[str, int], after: Mapping[str, int], deadband: float
) -> bool:
    """Tell whether a change of weights is worth a push."""
    return before.keys() != after.keys() or any(
        abs(math.log(weight / before[name])) >= deadband
        for name, weight in after.items()
    )


def _least_shares(
    endpoints: Mapping[str, EndpointState],
    bases: Mapping[str, int],
    parameters: Parameters,
) -> dict[str, float]:
    """Return the share that probing asks for each endpoint, 0 before any report."""
    rate = math.fsum(
        each.long.outcomes / each.long.seconds
        for each in endpoints.values()
        if each.long.seconds > 0
    )
    if not any(each.long.seconds > 0 for each in endpoints.values()):
        return dict.fromkeys(endpoints, 0.0)
    total = sum(bases[name] for name in endpoints)
    needed = parameters.floor_answers / parameters.long_memory
    probing = needed / rate if rate > 0 else math.inf
    return {
        name: min(parameters.floor_share * bases[name] / total, probing)
        for name in endpoints
    }
