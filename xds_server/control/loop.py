"""All loops of a server: which ports have one, and when each is due.

What the mesh is and what clients report in; events of new weights out. It has no task
and no clock: `source` gives it both. One task owns it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Final

import structlog

from xds_server.control.audit import Dropped
from xds_server.control.controller import Reason
from xds_server.control.demand import Demand, demand_of
from xds_server.control.joint import join
from xds_server.control.member import Member
from xds_server.control.port_loop import PortLoop, Terms
from xds_server.control.standing import (
    Cause,
    PortKey,
    PortStanding,
    Push,
    PushObserver,
    standing_of,
)
from xds_server.control.state import State
from xds_server.control.team import Team
from xds_server.control.word import Learned, Part, Word
from xds_server.load import LoadReport, PodUsage
from xds_server.mesh.event import Weighed
from xds_server.mesh.learned_weight import weighed_upstream
from xds_server.mesh.model import Service, Upstream
from xds_server.mesh.service import ServiceName
from xds_server.translate.name import cluster_name

logger = structlog.get_logger(__name__)

LEAST_REPORTS: Final = 2
"""A period is at least so many intervals of reports: a step must see what the weights
of the one before did."""
MOST_AT_ONCE: Final = 200
"""Endpoints, after whose steps all else that waits for the processor has its turn."""
ROUND: Final = 10.0
"""Seconds, of which periods are multiples where several replicas tell each other what
they saw: all ports in one write."""
HASTE: Final = 2.0
"""So many seconds before a step the others say what they saw, to be heard in time."""
MOST_SHARED: Final = 2_500
"""Endpoints of which replicas tell each other; each has about 70 characters."""
_NONE: Final = ("", "", 0)
"""Before the key of any port."""


class ControlLoop:
    """The loops of all ports whose policy wants the control plane to weigh them."""

    def __init__(
        self,
        *,
        report_interval: Callable[[], float],
        observers: Iterable[PushObserver] = (),
        team: Team | None = None,
    ) -> None:
        """Begin with no ports.

        *report_interval* says every how many seconds clients report at that moment;
        *team* knows the other replicas, None where there are none.
        """
        self._team = team
        self._report_interval = report_interval
        self._saved: dict[PortKey, State] = {}
        self._observers = tuple(observers)
        self._members: dict[str, Member] = {}
        self._demand: Demand | None = None
        self._clusters: dict[ServiceName, frozenset[str]] = {}
        self.dropped: Counter[Dropped] = Counter()
        """What of reports did not count, by reason."""
        self.reports = 0
        """How many reports came, one a client and cluster."""
        self.changes = 0
        """How often there was something new to be said to other replicas."""
        self.is_ready = False
        """Whether all ports are known: before, there is nothing to be said."""

    @property
    def demand(self) -> Demand:
        """The reports that are wanted now; the same object until it is another."""
        if self._demand is None:
            loops = {name: each.loop for name, each in self._members.items()}
            self._demand = demand_of(loops)
        return self._demand

    @property
    def due(self) -> float | None:
        """When the next step is, None if there is nothing to do."""
        return min((each.due for each in self._members.values()), default=None)

    def heed(
        self, services: Mapping[ServiceName, Service | None], now: float
    ) -> tuple[Weighed, ...]:
        """Take in what *services* are now, None where they are gone.

        Weights for endpoints that came or went are returned, to be pushed at once.
        """
        events: list[Weighed] = []
        for name, service in services.items():
            found = dict(_weighed_ports(service)) if service else {}
            gone = self._clusters.get(name, frozenset()) - found.keys()
            if gone:
                self._demand = None
            events += (_event(self._members.pop(each).key, {}) for each in gone)
            for cluster, upstream in found.items():
                events += self._heed_port(cluster, upstream, now)
            self._clusters[name] = frozenset(found)
            if not found:
                del self._clusters[name]
        return tuple(events)

    def restore(self, saved: Mapping[PortKey, State]) -> None:
        """Let ports that are to come go on from what was *saved* of them."""
        self._saved = dict(saved)

    def settle(self) -> None:
        """Forget what was saved of ports that did not come: all are known now."""
        self._saved.clear()
        self.is_ready = True

    def submit(self, report: LoadReport, now: float) -> None:
        """Take in what a client reports; never raises for what is in it."""
        for load in report.clusters:
            self.reports += 1
            member = self._members.get(load.cluster)
            if member is None:
                self.dropped[Dropped.UNKNOWN_CLUSTER] += 1
            else:
                member.loop.take(report.node_id, load, now)

    def keep(self, clusters: Iterable[str]) -> None:
        """Take in that a client goes on with weights of before, of *clusters*.

        They show in the traffic, so loops that know nothing yet begin there.
        """
        for cluster in clusters:
            if (member := self._members.get(cluster)) is not None:
                member.loop.is_kept = True

    def take(self, usages: Iterable[PodUsage], now: float) -> None:
        """Take in what Pods used, as it was read at *now*."""
        by_name = {(each.namespace, each.name): each for each in usages}
        for member in self._members.values():
            member.loop.pods.take(by_name, now)

    def tick(self, now: float) -> tuple[Weighed, ...]:
        """Take steps that are due; return the weights to be pushed.

        Where there are many, some stay due: to take all would be a stop of the server.
        """
        self.look(now)
        events: list[Weighed] = []
        endpoints = 0
        for member in self._members.values():
            if member.due > now:
                continue
            if endpoints >= MOST_AT_ONCE:
                break
            endpoints += len(member.loop.bases)
            late = now - member.due
            period = self._period(member.loop.terms)
            member.loop.pace(period)
            member.due = self._even(now + (period - late if late < period else period))
            before, is_first = member.loop.weights, not member.loop.is_settled
            if self._step(member, now):
                is_kept = is_first and member.loop.is_kept
                cause = Cause.KEPT if is_kept else Cause.REPORTS
                events.append(self._push(member, cause, before, now))
        return tuple(events)

    def look(self, now: float) -> None:
        """Look whether it is this replica's turn to compute.

        What the others saw until then does not count, so a first step waits for them.
        """
        if self._team is not None and self._team.look():
            logger.info("weighing for all replicas", epoch=self._team.epoch)
            for member in self._members.values():
                member.due = self._even(max(member.due, now + ROUND))
                self._settle(member)

    def hear(self, words: Mapping[str, Word] | None, now: float) -> tuple[Weighed, ...]:
        """Take in what all others say, or that they cannot be heard.

        Returns the weights to be pushed.
        """
        if self._team is None or not self._team.hear(words):
            return ()
        events: list[Weighed] = []
        for member in self._members.values():
            learned = self._team.learned(member.key)
            if learned is None or learned.turn <= member.turn:
                continue
            before = member.loop.weights
            if self._adopt(member, learned, now):
                events.append(self._push(member, Cause.LEADER, before, now))
        return tuple(events)

    def word(self, now: float, most: int = MOST_SHARED) -> Word:
        """Return what the other replicas have to know, of so many endpoints at most."""
        team = self._team
        if team is None:
            return Word()
        members = sorted(self._members.values(), key=lambda each: each.key)
        sums = accumulate(len(each.loop.bases) for each in members)
        shared = [
            each for each, sum_ in zip(members, sums, strict=True) if sum_ <= most
        ]
        if not team.is_speaker:
            return Word(epoch=team.epoch, parts=dict(_parts(shared, team)))
        team.last = None
        if len(shared) < len(members):
            team.last = shared[-1].key if shared else _NONE
        return Word(
            epoch=team.epoch,
            speaks=True,
            last=team.last,
            learned={each.key: each.learned(now) for each in shared},
        )

    def save(self) -> Mapping[PortKey, State]:
        """Return what the next process has to know."""
        return {
            each.key: each.loop.save()
            for each in self._members.values()
            if each.loop.is_settled
        }

    def standings(self, now: float) -> Iterator[PortStanding]:
        """Yield how every port stands, in order of name and number."""
        for member in sorted(self._members.values(), key=lambda each: each.key):
            yield standing_of(
                member.loop,
                member.key,
                pushes=member.pushes,
                pushed_at=member.pushed_at,
                now=now,
            )

    def _heed_port(
        self, cluster: str, upstream: Upstream, now: float
    ) -> Iterator[Weighed]:
        terms, cause = Terms.of(upstream), Cause.ENDPOINTS
        period, team = self._period(terms), self._team
        member = self._members.get(cluster)
        is_new = member is None
        if member is None or member.loop.terms != terms:
            self._demand = None
        if member is None:
            key = (upstream.namespace, upstream.service, upstream.port.number)
            state, learned = self._saved.pop(key, None), None
            if team is not None and (learned := team.learned(key)) is not None:
                state = learned.state or state
            loop, cause = self._begin(key, terms, period, state)
            member = Member(key=key, loop=loop, due=self._even(now + period))
            if learned is not None:
                member.turn, cause = learned.turn, Cause.LEADER
            self._members[cluster] = member
        before, pods = member.loop.weights, member.loop.pods.namespaces
        is_changed = member.loop.heed(upstream, terms, period)
        if is_changed or is_new:
            self._settle(member)
        if is_changed:
            yield self._push(member, cause, before, now)
        if member.loop.pods.namespaces != pods:
            self._demand = None
        member.due = min(member.due, now + period)

    def _step(self, member: Member, now: float) -> bool:
        """Take the step of a port, where it is ours; return whether weights changed."""
        seen, team = member.loop.observe(now), self._team
        if team is None:
            return member.loop.step(seen)
        if not team.weighs(member.key):
            member.note(seen)
            self.changes += 1
            return False
        parts = tuple(team.parts(member.key, member.loop.terms.metrics))
        member.loop.is_kept |= any(each.is_kept for each in parts)
        is_changed = member.loop.step(join(seen, [each.seen for each in parts]))
        self._settle(member)
        return is_changed

    def _settle(self, member: Member) -> None:
        """Let the state of a port be one that others can have."""
        if self._team is not None:
            member.loop.round()
            if self._team.is_leading:
                member.turn, member.part = self._team.next_turn(), None
                self.changes += 1

    def _adopt(self, member: Member, learned: Learned, now: float) -> bool:
        """Go on from what the leader remembers; return whether weights changed."""
        member.turn = learned.turn
        ahead = learned.due - HASTE
        member.due = now + (ahead if ahead > 0 else ahead + member.loop.period)
        if learned.state is None:
            return False
        try:
            return member.loop.adopt(learned.state)
        except ValueError as error:
            _complain("weights of the leader not usable", member.key, error)
            return False

    def _even(self, due: float) -> float:
        """Return when a step that is *due* is taken: all at once, where others hear."""
        is_told = self._team is not None and self._team.is_leading
        return round(due / ROUND) * ROUND if is_told else due

    def _period(self, terms: Terms) -> float:
        period = max(terms.period, LEAST_REPORTS * self._report_interval())
        return period if self._team is None else math.ceil(period / ROUND) * ROUND

    def _begin(
        self, key: PortKey, terms: Terms, period: float, state: State | None
    ) -> tuple[PortLoop, Cause]:
        """Return a new loop: from what was saved, or from neutral."""
        if state is not None:
            try:
                return PortLoop(terms, period, self.dropped, state), Cause.SAVED
            except ValueError as error:
                _complain("weights not usable, starting without", key, error)
        return PortLoop(terms, period, self.dropped), Cause.ENDPOINTS

    def _push(
        self, member: Member, cause: Cause, before: Mapping[str, int], now: float
    ) -> Weighed:
        weights = dict(member.loop.weights)
        member.pushes += 1
        member.pushed_at = now
        namespace, service, port = member.key
        push = Push(
            namespace=namespace,
            service=service,
            port=port,
            cause=cause,
            before=before,
            weights=weights,
            reasons=_reasons(member.loop, before) if cause is Cause.REPORTS else {},
        )
        for observer in self._observers:
            observer.on_push(push)
        return _event(member.key, weights)


def _weighed_ports(service: Service) -> Iterator[tuple[str, Upstream]]:
    """Yield the ports to be weighed, by the names of their clusters."""
    for each in service.upstreams:
        if (upstream := weighed_upstream(each)) is not None:
            yield cluster_name(upstream), upstream


def _event(key: PortKey, weights: Mapping[str, int]) -> Weighed:
    return Weighed(service=key[:2], port=key[2], weights=weights)


def _parts(members: Iterable[Member], team: Team) -> Iterator[tuple[PortKey, Part]]:
    """Yield what was seen here of the ports that another weighs."""
    for member in members:
        if member.part is not None and not team.weighs(member.key):
            yield member.key, member.part


def _complain(message: str, key: PortKey, error: ValueError) -> None:
    service, port = "/".join(key[:2]), key[2]
    logger.warning(message, service=service, port=port, reason=str(error))


def _reasons(loop: PortLoop, before: Mapping[str, int]) -> Mapping[str, Reason]:
    return {
        address: standing.reason
        for address, weight in loop.weights.items()
        if weight != before.get(address)
        and (standing := loop.standing_of(address)) is not None
    }
