"""Performance-based weights on a real Envoy, beside turns and least request.

Four plain HTTP servers of speeds 1, 1, 2 and 4, and three Services that have such four
each, asked 90 times a second each, all at the same time. The fastest becomes four times
slower for a while; later the third fails everything, at once. What is compared comes
from the same stretch of the same run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.result import Result
from xds_server.lab.contest import Contender, Contest, Server, Stretch, run_contest
from xds_server.lab.envoy import find_envoy
from xds_server.lab.pace import Pace

SPEEDS: Final = (1, 1, 2, 4)
RATE: Final = 90.0
SERVICE_TIME: Final = 0.08
"""Seconds that a request takes a server of speed 1."""
LOOP, TURNS, FEWEST = "performance-based", "round-robin", "least-request"
_FAILING, _FASTEST = 2, 3
_SLOWER: Final = 4

Standings = Mapping[str, Stretch]
"""How each contender did in one stretch, by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stretch of the course, of so many *seconds*; *is_kept* where it is reported."""

    name: str
    seconds: float
    is_kept: bool = True


COURSE: Final = (
    Step(name="settling", seconds=40, is_kept=False),
    Step(name="settled", seconds=80),
    Step(name="slow at first", seconds=20),
    Step(name="slow meanwhile", seconds=20, is_kept=False),
    Step(name="slow", seconds=80),
    Step(name="healed", seconds=40, is_kept=False),
    Step(name="failing at first", seconds=20),
    Step(name="failing meanwhile", seconds=10, is_kept=False),
    Step(name="failing", seconds=30),
)
"""A queue at 90 % of what its server can do forgets in about 30 s: where quantiles are
compared, a stretch is longer than that."""


async def run_course(*, scale: float = 1.0, seed: int = 1) -> Mapping[str, Standings]:
    """Run the course, 340 s times *scale*; return the standings of what is kept.

    On a smaller scale everything is so much quicker: requests, servers, and the loop.

    Raises:
        LabError: Something does not start.
    """
    servers = [
        Server(service_time=scale * SERVICE_TIME / speed, workers=2) for speed in SPEEDS
    ]
    standings = {}
    async with run_contest(
        tuple(_contenders(scale)),
        servers,
        rate=RATE / scale,
        seed=seed,
        envoy=find_envoy(None),
    ) as contest:
        for step in COURSE:
            _prepare(contest, step.name)
            stretches = await contest.run(step.seconds * scale)
            if step.is_kept:
                standings[step.name] = stretches
    return standings


def _contenders(scale: float) -> Iterator[Contender]:
    performance = {"updatePeriod": f"{round(10_000 * scale)}ms"}
    for name, load_balancer in (
        (LOOP, {"type": "PerformanceBased", "performanceBased": performance}),
        (TURNS, {"type": "RoundRobin"}),
        (FEWEST, {"type": "LeastRequest"}),
    ):
        yield Contender(name=name, spec={"loadBalancer": load_balancer})


def _prepare(contest: Contest, step: str) -> None:
    """Do what happens at the beginning of a step."""

    def slow_down(pace: Pace) -> None:
        pace.service_time *= _SLOWER

    def speed_up(pace: Pace) -> None:
        pace.service_time /= _SLOWER

    def fail(pace: Pace) -> None:
        pace.error_share = 1.0

    if step == "slow at first":
        contest.change(_FASTEST, slow_down)
    elif step == "healed":
        contest.change(_FASTEST, speed_up)
    elif step == "failing at first":
        contest.change(_FAILING, fail)


async def measure() -> list[Result]:
    """Run the course once, and compare."""
    return list(results_of(await run_course()))


def results_of(standings: Mapping[str, Standings]) -> Iterator[Result]:
    """Yield the rows of the table of the whole course."""
    settled, slow = standings["settled"], standings["slow"]
    yield _latency("settled, p99", settled, TURNS, 0.55)
    yield _latency("settled, p99", settled, FEWEST, 1.1)
    yield Result(
        what="settled, share of the fastest",
        measured=f"{settled[LOOP].shares[_FASTEST]:.1%}",
        aim=">= 37 %",
        baseline=f"{max(SPEEDS) / sum(SPEEDS):.1%} is p/sum(p)",
    )
    yield _latency("fastest 4x slower, first 20 s, p99", standings["slow at first"])
    yield _latency("fastest 4x slower, p99", slow, TURNS, 0.4)
    yield _latency("fastest 4x slower, p99", slow, FEWEST)
    for name in ("slow at first", "slow"):
        yield _errors(f"fastest {name}, errors", standings[name], 0.0)
    yield _errors("one fails fast, first 20 s", standings["failing at first"], 0.06)
    yield _errors("one fails fast, settled", standings["failing"], 0.05)


def _latency(
    what: str, standings: Standings, other: str = TURNS, aim: float | None = None
) -> Result:
    ours, theirs = standings[LOOP].figures.p99, standings[other].figures.p99
    return Result(
        what=what,
        measured=f"{ours * 1e3:.0f} ms",
        aim="" if aim is None else f"<= {aim:g} x",
        baseline=f"{theirs * 1e3:.0f} ms, {other}",
        ratio=ours / theirs,
    )


def _errors(what: str, standings: Standings, aim: float) -> Result:
    shares = {name: each.figures.error_share for name, each in standings.items()}
    others = ", ".join(f"{shares[name]:.1%} {name}" for name in (TURNS, FEWEST))
    return Result(
        what=what,
        measured=f"{shares[LOOP]:.1%}",
        aim=f"<= {aim:.0%}" if aim else "none",
        baseline=others,
    )
