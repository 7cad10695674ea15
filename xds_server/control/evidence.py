"""How loaded each endpoint is, and how sure that is: sums in, loads and errors out."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from xds_server.control.observation import EndpointSums
from xds_server.control.parameter import Parameters, Signal
from xds_server.control.state import EndpointState, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The load of an endpoint, and of how many answers it was found.

    In requests in progress, or in units of a level, for each unit of base weight.
    """

    value: float
    answers: float


def measure(
    endpoints: Mapping[str, EndpointState],
    seen: Mapping[str, EndpointSums],
    *,
    bases: Mapping[str, int],
    shares: Mapping[str, float],
    parameters: Parameters,
) -> dict[str, Load]:
    """Return the load of each endpoint of which there is evidence, and new evidence.

    *shares* are what the present weights ask for. What was not seen in this period is
    no evidence: a step would go by what one before it went by.
    """
    total = math.fsum(answer_rate(endpoint.short) for endpoint in endpoints.values())
    loads: dict[str, Load] = {}
    for name, sums in seen.items():
        if (endpoint := endpoints.get(name)) is None or endpoint.is_new:
            continue
        load = _load(
            endpoint, rate=total * shares.get(name, 0.0), parameters=parameters
        )
        unfinished = _unfinished(sums, parameters)
        answers = max(load.answers, unfinished)
        is_fresh = sums.answers > 0 or unfinished >= parameters.least_answers
        if is_fresh and answers >= parameters.least_answers:
            value = max(load.value, unfinished) / bases[name]
            loads[name] = Load(value=value, answers=answers)
    return loads


def answer_rate(window: Window) -> float:
    """Return answers a second."""
    return window.answers / window.seconds if window.seconds > 0 else 0.0


def compare(
    loads: Mapping[str, Load], health: Mapping[str, float], parameters: Parameters
) -> dict[str, float]:
    """Return by how much each endpoint should gain: ln(median / load), bounded.

    What may be noise is taken off, and a failing endpoint never gains. Empty where too
    few have loads.
    """
    if len(loads) < parameters.least_endpoints:
        return {}
    sound = [n for n in loads if health[n] >= parameters.failing_below]
    middle = statistics.median(loads[name].value for name in sound or loads)
    errors: dict[str, float] = {}
    for name, load in loads.items():
        error = _log_ratio(middle, load.value, parameters.most_loss + parameters.noise)
        noise = parameters.noise / math.sqrt(load.answers)
        error = math.copysign(max(0.0, abs(error) - noise), error)
        error = min(max(error, -parameters.most_loss), parameters.most_gain)
        is_failing = health[name] < parameters.failing_below
        errors[name] = min(error, 0.0) if is_failing else error
    return errors


def _load(endpoint: EndpointState, *, rate: float, parameters: Parameters) -> Load:
    """Return the load: of the short memory, or with little traffic of the long one.

    *rate* is how many requests a second the present weight asks for. By Little's law,
    times the mean time of an answer that is requests in progress.
    """
    window = endpoint.short
    is_enough = window.answers >= parameters.enough_answers
    if not is_enough:
        window = endpoint.long
    mean = window.load / window.answers if window.answers > 0 else 0.0
    if parameters.signal is not Signal.TIME:
        return Load(value=mean, answers=window.answers)
    value = window.load / window.seconds if is_enough else mean * rate
    return Load(value=value, answers=window.answers)


def _unfinished(seen: EndpointSums, parameters: Parameters) -> float:
    """Return how many requests were in progress all the time.

    Those that never end have no answers, and would not count otherwise.
    """
    least = seen.least_in_progress
    if (
        least is None
        or parameters.signal is not Signal.TIME
        or not 0 < least < math.inf
    ):
        return 0.0
    return least


def _log_ratio(middle: float, value: float, most: float) -> float:
    """Return ln(*middle* / *value*) within +-*most*, for zeros too."""
    if middle <= 0 or value <= 0:
        return most * ((middle > 0) - (value > 0))
    return min(max(math.log(middle) - math.log(value), -most), most)
