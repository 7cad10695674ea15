"""Reports of many clients on one cluster in; what was seen in a period out.

Sums are kept as reports come, so the end of a period costs what there are endpoints,
however many clients reported. What single clients said is kept beside, for the rule of
`influence`. A client is an Envoy, by its node id.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from math import ceil
from statistics import median
from typing import Final

from xds_server.control.audit import Dropped, Seen, believe, is_believable_time
from xds_server.control.influence import LEAST_ANSWERS, LEAST_OTHERS, Parts, most_of
from xds_server.control.observation import EndpointSums, Observation
from xds_server.load import UPSTREAM_TIME, ClusterLoad

MOST_CLIENTS: Final = 20_000
"""Of one cluster; what more say is dropped."""
_LEAST_ROUNDS: Final = 3
"""The least of fewer samples of a gauge says nothing."""
_PATIENCE: Final = 3
"""A client that misses so many reports is gone, with what it had in progress."""
_SHORTEST_PATIENCE: Final = 5.0
_SHORTEST_ROUND: Final = 0.2
"""Seconds between samples of the gauges, however often somebody reports."""
_MICRO: Final = 1e-6

_ISSUED, _SUCCEEDED, _FAILED, _ANSWERS, _LOAD, _NUMBER = range(6)
_WIDTH: Final = 6
"""What a client saw of an endpoint; the last is how many requests, by whichever number
says the most."""


class Tally:
    """What clients reported of one cluster since `observe` was last called."""

    def __init__(
        self, metrics: tuple[str, ...] = (), dropped: Counter[Dropped] | None = None
    ) -> None:
        """Sum the largest of *metrics*; without any the times that Envoys measured."""
        self._metrics = metrics or (UPSTREAM_TIME,)
        self._unit = 1.0 if metrics else _MICRO
        self.dropped = Counter[Dropped]() if dropped is None else dropped
        self._columns: dict[str, _Column] = {}
        self._clients: dict[str, _Client] = {}
        self._round: set[str] = set()
        self._sampled = float("-inf")
        self._used = 0
        self.last_report: float | None = None
        """When one was last taken in."""

    def expect(self, addresses: Collection[str]) -> None:
        """Take reports on endpoints at *addresses* from now on, and on no others.

        What was seen of one that is gone is forgotten, if it comes back, too.
        """
        for address in self._columns.keys() - set(addresses):
            del self._columns[address]
        for address in addresses:
            if address not in self._columns:
                self._columns[address] = _Column(self._used)
                self._used += 1

    @property
    def reporters(self) -> int:
        """How many clients have reported lately."""
        return len(self._clients)

    def take(self, client: str, load: ClusterLoad, now: float) -> None:
        """Take in what *client* reports at *now*, in seconds of a monotonic clock."""
        if not is_believable_time(load):
            self.dropped[Dropped.ABSURD] += 1
            return
        row = self._clients.get(client)
        if row is None:
            if len(self._clients) >= MOST_CLIENTS:
                self.dropped[Dropped.TOO_MANY_CLIENTS] += 1
                return
            row = self._clients[client] = _Client(now)
        if not row.is_due(now, load.seconds):
            self.dropped[Dropped.REPEATED] += 1
            return
        # Before a round ends, which forgets who was silent for long.
        row.begin(now, load.seconds, self._used)
        if client in self._round and now - self._sampled >= _SHORTEST_ROUND:
            self._end_round(now)
        self._round.add(client)
        self.last_report = now
        in_progress: dict[str, int] = {}
        for each in load.endpoints:
            column = self._columns.get(each.address)
            if column is None:
                self.dropped[Dropped.UNKNOWN_ENDPOINT] += 1
            elif (seen := believe(each, load.seconds, self._metrics)) is None:
                self.dropped[Dropped.ABSURD] += 1
            else:
                column.add(client, row, seen, seen.load * self._unit)
                if seen.in_progress:
                    in_progress[each.address] = seen.in_progress
        self._hold(client, row, in_progress)

    def observe(self, bases: Mapping[str, int], now: float) -> Observation:
        """Return what was seen of the endpoints of *bases*, and begin a new period."""
        lies = dict(self._lies())
        endpoints = {
            address: self._sums(column, lies)
            for address, column in self._columns.items()
            if address in bases and (column.clients or column.gauges)
        }
        covered = [each.seconds for each in self._clients.values() if each.seconds > 0]
        self._reset(now)
        return Observation(
            now=now,
            seconds=median(covered) if covered else 0.0,
            bases=bases,
            endpoints=endpoints,
            clients=len(covered),
        )

    def _lies(self) -> Iterator[tuple[str, float]]:
        """Yield clients that say too much, with what to take their reports times.

        All that one says is taken times the same, so that a client which has much more
        to tell than others still tells endpoints apart.
        """
        factors: dict[str, float] = {}
        for column in self._columns.values():
            sums = (column.loads, column.load), (column.numbers, column.number)
            for parts, total in sums:
                factor, owner = parts.factor(total), parts.owner
                if owner is None or factor >= factors.get(owner, 1.0):
                    continue
                if self._has_witnesses(column, owner):
                    factors[owner] = factor
        yield from factors.items()

    def _has_witnesses(self, column: "_Column", client: str) -> bool:
        """Return whether others saw enough of an endpoint to hold *client* to it."""
        if column.clients <= LEAST_OTHERS:
            return False
        row = self._clients.get(client)
        own = row.answers(column.position) if row else 0.0
        return column.answers - own >= LEAST_ANSWERS

    def _sums(self, column: "_Column", factors: Mapping[str, float]) -> EndpointSums:
        sums = [column.issued, column.succeeded, column.failed, column.answers]
        excess = [0.0] * _WIDTH
        for client, factor in factors.items():
            row, start = self._clients[client].row, column.position * _WIDTH
            for kind, number in enumerate(row[start : start + _WIDTH]):
                excess[kind] += (1 - factor) * number
        issued, succeeded, failed, answers = (
            round(whole - less) for whole, less in zip(sums, excess, strict=False)
        )
        return EndpointSums(
            issued=issued,
            succeeded=succeeded,
            failed=failed,
            answers=answers,
            load=max(0.0, column.load - excess[_LOAD]),
            least_in_progress=column.least if column.rounds >= _LEAST_ROUNDS else None,
            clients=column.clients,
            largest=max(
                _share(column.loads, column.load, factors),
                _share(column.numbers, column.number, factors),
            ),
            is_held=self._is_held(column),
        )

    def _is_held(self, column: "_Column") -> bool:
        """Return whether others saw enough to hold whoever says the most to it."""
        owners = column.loads.owner, column.numbers.owner
        return all(
            owner is not None and self._has_witnesses(column, owner) for owner in owners
        )

    def _end_round(self, now: float) -> None:
        """Sample the gauges: everybody who reports has had the time to do so."""
        self._round.clear()
        self._sampled = now
        self._expire(now)
        for column in self._columns.values():
            column.sample(self._has_witnesses)

    def _hold(self, client: str, row: "_Client", held: Mapping[str, int]) -> None:
        """Note what *client* has in progress now: at most endpoints nothing."""
        for address in row.held - held.keys():
            if (column := self._columns.get(address)) is not None:
                column.gauges.pop(client, None)
        for address, number in held.items():
            self._columns[address].gauges[client] = number
        row.held = held.keys()

    def _expire(self, now: float) -> None:
        """Forget the clients that do not report any more."""
        gone = [name for name, each in self._clients.items() if each.is_gone(now)]
        for name in gone:
            self._hold(name, self._clients[name], {})
            if self._clients[name].seconds <= 0:
                del self._clients[name]

    def _reset(self, now: float) -> None:
        self._expire(now)
        for position, column in enumerate(self._columns.values()):
            column.reset(position)
        self._used = len(self._columns)
        for row in self._clients.values():
            row.reset()


def _share(parts: Parts, total: float, factors: Mapping[str, float]) -> float:
    """Return the part of *total* that the client has who says the most, 0 to 1.

    Rounded up, so that it is no reason to hold anybody to less.
    """
    factor = factors.get(parts.owner, 1.0) if parts.owner is not None else 1.0
    own, others = parts.greatest * factor, max(0.0, total - parts.greatest)
    share = own / (own + others) if own > 0 else 0.0
    return min(1.0, ceil(1000 * share) / 1000)


class _Client:
    """One client: what it reported of each endpoint in the period, by position."""

    __slots__ = ("_due", "_heard", "_interval", "held", "row", "seconds")

    def __init__(self, now: float) -> None:
        self.row = array("d")
        self.seconds = 0.0
        """How long its reports of the period were about."""
        self.held: Collection[str] = frozenset()
        self._due = now
        self._heard = now
        self._interval = 0.0

    def is_due(self, now: float, seconds: float) -> bool:
        """Return whether *seconds* may be new; `begin` says that they are.

        Reports of a client are about times that follow each other. One that is about
        more than has passed has been there already. Those that were late come together,
        so it may be ahead by half of itself.
        """
        is_first = not self._interval
        return is_first or self._due + seconds <= now + seconds / 2

    def begin(self, now: float, seconds: float, width: int) -> None:
        """Take in that a report is about *seconds*."""
        ahead = self._due + seconds if self._interval else now
        self._due = max(ahead, now - seconds)
        self._heard, self._interval = now, seconds
        self.seconds += seconds
        missing = width * _WIDTH - len(self.row)
        if missing > 0:
            self.row.frombytes(bytes(missing * self.row.itemsize))

    def answers(self, position: int) -> float:
        """Return how many answers it reported of an endpoint."""
        place = position * _WIDTH + _ANSWERS
        return self.row[place] if place < len(self.row) else 0.0

    def is_gone(self, now: float) -> bool:
        """Return whether it has missed some reports in turn."""
        patience = max(_PATIENCE * self._interval, _SHORTEST_PATIENCE)
        return now - self._heard > patience

    def reset(self) -> None:
        """Begin a new period."""
        self.seconds = 0.0
        self.row = array("d")


class _Column:
    """One endpoint: the sums of all clients, and whose parts of them are greatest."""

    __slots__ = (
        *("position", "clients", "gauges", "rounds", "least"),
        *("issued", "succeeded", "failed", "answers", "load", "number"),
        *("loads", "numbers"),
    )

    def __init__(self, position: int) -> None:
        self.gauges: dict[str, int] = {}
        """What clients have in progress; those that have nothing are not in it."""
        self.reset(position)

    def reset(self, position: int) -> None:
        """Begin a new period; what is in progress stays so."""
        self.position = position
        self.clients = 0
        """How many have reported on it."""
        self.issued = self.succeeded = self.failed = self.answers = 0
        self.load = self.number = 0.0
        self.loads, self.numbers = Parts(), Parts()
        self.rounds, self.least = 0, float("inf")

    def add(self, client: str, row: _Client, seen: Seen, load: float) -> None:
        """Add what *client* has seen to the sums, and to its own in *row*.

        Written out, since it is done for each endpoint of each report.
        """
        issued, succeeded, failed, _, answers, _ = seen
        self.issued += issued
        self.succeeded += succeeded
        self.failed += failed
        self.answers += answers
        self.load += load
        own, start = row.row, self.position * _WIDTH
        before = own[start + _NUMBER]
        own[start + _ISSUED] += issued
        own[start + _SUCCEEDED] += succeeded
        own[start + _FAILED] += failed
        own[start + _ANSWERS] += answers
        own[start + _LOAD] += load
        ended = own[start + _SUCCEEDED] + own[start + _FAILED]
        number = max(own[start + _ISSUED], ended, own[start + _ANSWERS])
        own[start + _NUMBER] = number
        if number and not before:
            self.clients += 1
        self.number += number - before
        self.numbers.grow(client, number)
        self.loads.grow(client, own[start + _LOAD])

    def sample(self, has_witnesses: Callable[["_Column", str], bool]) -> None:
        """Take the sum of what is in progress now, if it is the least so far."""
        self.rounds += 1
        total = float(sum(self.gauges.values()))
        if total and self.clients > LEAST_OTHERS:
            owner = max(self.gauges, key=self.gauges.__getitem__)
            greatest, *others = sorted(self.gauges.values(), reverse=True)
            most = most_of(total, greatest, others[0] if others else 0)
            if greatest > most and has_witnesses(self, owner):
                total += most - greatest
        self.least = min(self.least, total)
