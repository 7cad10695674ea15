"""What several replicas saw of one cluster in a period, as if one had seen it all.

Each has held its clients to each other already (`influence`), where enough of them
reported to it. Where they did not, all that it saw of an endpoint is held here to what
the other replicas saw, by the same rule: as if one client had said it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from xds_server.control.influence import LEAST_ANSWERS, LEAST_OTHERS, most_of
from xds_server.control.observation import EndpointSums, Observation

_Measure = Callable[[EndpointSums], float]


def join(own: Observation, others: Sequence[Observation]) -> Observation:
    """Return *own* with what *others* saw in about the same time.

    It is about the median of the seconds that all clients cover, as for one replica.
    """
    if not others:
        return own
    parts = [each.endpoints for each in (own, *others)]
    totals = {
        address: _Total([part[address] for part in parts if address in part])
        for address in own.bases
    }
    factors = [_factor(part, totals) for part in parts]
    return replace(
        own,
        seconds=_median(
            (each.seconds, max(each.clients, 1))
            for each in (own, *others)
            if each.seconds > 0
        ),
        clients=sum(each.clients for each in (own, *others)),
        endpoints={
            address: total.sums(
                (part[address], factor)
                for part, factor in zip(parts, factors, strict=True)
                if address in part
            )
            for address, total in totals.items()
            if total.parts
        },
    )


def _median(counted: Iterable[tuple[float, int]]) -> float:
    """Return the median of numbers that are there so many times each, 0 of none."""
    ordered = sorted(counted)
    half, passed, lower = sum(count for _, count in ordered) / 2, 0, 0.0
    for number, count in ordered:
        if passed == half:
            return (lower + number) / 2
        passed += count
        lower = number
        if passed > half:
            break
    return lower


def _factor(part: Mapping[str, EndpointSums], totals: Mapping[str, "_Total"]) -> float:
    """Return what to take those sums of a replica times that nobody there held.

    One factor, so that it still tells endpoints apart.
    """
    return min(
        (
            totals[address].factor(sums)
            for address, sums in part.items()
            if address in totals and not sums.is_held
        ),
        default=1.0,
    )


class _Total:
    """What all replicas together saw of one endpoint."""

    def __init__(self, parts: Sequence[EndpointSums]) -> None:
        self.parts = parts
        self._clients = sum(each.clients for each in parts)
        self._answers = sum(each.answers for each in parts)

    def factor(self, part: EndpointSums) -> float:
        """Return what to take *part* times, at most 1, where it is one client's."""
        if not self._has_witnesses(part):
            return 1.0
        measures = (each for each in (_load, _number) if each(part) > 0)
        factors = (self._most(each, part) / each(part) for each in measures)
        return min((1.0, *factors))

    def sums(self, parts: Iterator[tuple[EndpointSums, float]]) -> EndpointSums:
        """Return the sum of *parts*, each times its factor where it was not held."""
        every = [
            each if each.is_held else self._held(each, factor) for each, factor in parts
        ]
        least = [
            each.least_in_progress
            for each in every
            if each.least_in_progress is not None
        ]
        return EndpointSums(
            issued=sum(each.issued for each in every),
            succeeded=sum(each.succeeded for each in every),
            failed=sum(each.failed for each in every),
            answers=sum(each.answers for each in every),
            load=sum(each.load for each in every),
            least_in_progress=sum(least) if least else None,
            clients=self._clients,
            is_held=True,
        )

    def _held(self, part: EndpointSums, factor: float) -> EndpointSums:
        least = part.least_in_progress
        if least and self._has_witnesses(part):
            least = min(least, self._most(_least, part))
        return replace(
            part,
            issued=round(part.issued * factor),
            succeeded=round(part.succeeded * factor),
            failed=round(part.failed * factor),
            answers=round(part.answers * factor),
            load=part.load * factor,
            least_in_progress=least,
        )

    def _most(self, measure: _Measure, part: EndpointSums) -> float:
        """Return what *part* may count for, by some *measure*."""
        others = [each for each in self.parts if each is not part]
        total = sum(map(measure, self.parts))
        second = max((measure(each) * each.largest for each in others), default=0.0)
        return most_of(total, measure(part), second)

    def _has_witnesses(self, part: EndpointSums) -> bool:
        return (
            self._clients - part.clients >= LEAST_OTHERS
            and self._answers - part.answers >= LEAST_ANSWERS
        )


def _load(sums: EndpointSums) -> float:
    return sums.load


def _number(sums: EndpointSums) -> float:
    """Return how many requests, by whichever number says the most."""
    return float(max(sums.issued, sums.succeeded + sums.failed, sums.answers))


def _least(sums: EndpointSums) -> float:
    return sums.least_in_progress or 0.0
