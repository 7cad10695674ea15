"""A simulated sidecar, and what reports of all of them add up to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from benchmarks.simulation.schedule import Schedule, Turns
from benchmarks.simulation.server import SUCCEEDED, UNANSWERED
from xds_server.control.observation import EndpointSums, Observation


@dataclass(slots=True)
class Counts:
    """Requests to one endpoint: whole numbers, and the seconds that answers took."""

    issued: int = 0
    succeeded: int = 0
    failed: int = 0
    answers: int = 0
    load: float = 0.0


@dataclass(slots=True, kw_only=True)
class Sidecar:
    """One client: its requests in progress, and its counts since its last report.

    Both have an entry for each endpoint there may ever be, by its number.
    """

    number: int
    active: list[int]
    counts: list[Counts]
    schedule: Schedule
    reported: float = 0.0

    @classmethod
    def start(cls, number: int, endpoints: int, random: Random) -> "Sidecar":
        """Return a client that takes turns, until it is told otherwise."""
        return cls(
            number=number,
            active=[0] * endpoints,
            counts=[Counts() for _ in range(endpoints)],
            schedule=Turns(dict.fromkeys(range(endpoints), 1.0), random),
        )

    def end(self, endpoint: int, seconds: float, outcome: int) -> None:
        """Count a request that ended after *seconds*."""
        self.active[endpoint] -= 1
        counts = self.counts[endpoint]
        if outcome == SUCCEEDED:
            counts.succeeded += 1
        else:
            counts.failed += 1
        if outcome != UNANSWERED:
            counts.answers += 1
            counts.load += seconds

    def report(self, now: float) -> "Report":
        """Return what was counted since the last report, and count from zero."""
        report = Report(
            sidecar=self.number,
            seconds=now - self.reported,
            counts=self.counts,
            in_progress=tuple(self.active),
        )
        self.reported = now
        self.counts = [Counts() for _ in self.active]
        return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one sidecar says, as a load report of Envoy does."""

    sidecar: int
    seconds: float
    counts: Sequence[Counts]
    in_progress: Sequence[int]


@dataclass(slots=True, kw_only=True)
class Period:
    """The reports of all sidecars in one period, and the newest gauges of each."""

    sidecars: int
    gauges: dict[int, Sequence[int]] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    least: dict[int, int] = field(default_factory=dict)
    _sums: list[int] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """Take *report* in."""
        self.reports.append(report)
        old = self.gauges.get(report.sidecar, [0] * len(report.in_progress))
        self.gauges[report.sidecar] = report.in_progress
        if not self._sums:
            self._sums = [0] * len(report.in_progress)
        for endpoint, count in enumerate(report.in_progress):
            total = self._sums[endpoint] + count - old[endpoint]
            self._sums[endpoint] = total
            self.least[endpoint] = min(self.least.get(endpoint, total), total)

    def close(self, now: float, names: Mapping[int, str]) -> Observation:
        """Return what the period was, of the endpoints *names*, and begin another."""
        has_gauges = len(self.reports) >= 3 * self.sidecars
        sums = {
            name: self._sum(endpoint, has_gauges=has_gauges)
            for endpoint, name in names.items()
        }
        seconds = sum(report.seconds for report in self.reports) / self.sidecars
        self.reports, self.least = [], {}
        return Observation(
            now=now,
            seconds=seconds,
            bases=dict.fromkeys(names.values(), 1),
            endpoints={n: s for n, s in sums.items() if s.issued or s.answers}
            if seconds
            else {},
        )

    def _sum(self, endpoint: int, *, has_gauges: bool) -> EndpointSums:
        counts = [report.counts[endpoint] for report in self.reports]
        return EndpointSums(
            issued=sum(each.issued for each in counts),
            succeeded=sum(each.succeeded for each in counts),
            failed=sum(each.failed for each in counts),
            answers=sum(each.answers for each in counts),
            load=sum(each.load for each in counts),
            least_in_progress=self.least.get(endpoint) if has_gauges else None,
        )
