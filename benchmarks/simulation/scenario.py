"""The situations that the controller has to master, each with its thresholds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.simulation.figure import (
    Figure,
    Plan,
    Run,
    after,
    errors,
    imbalance,
    late,
    p99,
    settled,
    share,
)
from benchmarks.simulation.method import METHODS, Loop, Method
from benchmarks.simulation.record import Record
from benchmarks.simulation.schedule import round_robin
from benchmarks.simulation.world import SPEEDS, World
from xds_server.control.controller import Controller
from xds_server.control.parameter import Parameters

_PUT: Final = 8
"""The number of the server that things happen to: one of the fastest."""
Happening = Callable[[World, float], None]
"""Puts what happens on the agenda of a world, from the time of the event on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A world, what happens in it, and what has to hold.

    It goes on for at least *length* seconds after the event.
    """

    name: str
    figures: tuple[Figure, ...]
    load: float = 0.6
    happening: Happening = lambda _world, _event: None
    speeds: tuple[float, ...] = SPEEDS
    workers: tuple[int, ...] | None = None
    spare: int = 0
    sidecars: int = 1
    interval: float = 2.0
    loss: float = 0.0
    delay: float = 0.0
    length: float = 0.0
    method: Callable[[], Method] = Loop

    def play(self, method: Method, plan: Plan, seed: int) -> Record:
        """Return the record of a run with *method*."""
        world = World(
            method,
            seed=seed,
            load=self.load,
            speeds=self.speeds,
            workers=self.workers,
            sidecars=self.sidecars,
            interval=self.interval,
            loss=self.loss,
            delay=self.delay,
            spare=self.spare,
        )
        self.happening(world, plan.event)
        return world.run(max(plan.late[1], plan.event + self.length))

    def measure(self, plan: Plan, seed: int) -> dict[Figure, float]:
        """Return what is read off a run."""
        run = Run(
            plan=plan,
            record=self.play(self.method(), plan, seed),
            again=lambda name: self.play(METHODS[name](), plan, seed),
        )
        return {figure: figure.read(run) for figure in self.figures}


def slower(server: int = _PUT, factor: float = 5.0) -> Happening:
    """Let *server* become slower by *factor*."""

    def slow(world: World) -> None:
        world.servers[server].speed /= factor

    return lambda world, event: world.at(event, slow)


def failing(part: float, server: int = _PUT, heal: float | None = None) -> Happening:
    """Let *server* fail the *part* of its requests fast, and heal *heal* s later."""

    def fail(world: World) -> None:
        world.servers[server].failing = part

    def mend(world: World) -> None:
        world.servers[server].failing = 0.0

    def happening(world: World, event: float) -> None:
        world.at(event, fail)
        if heal is not None:
            world.at(event + heal, mend)

    return happening


def _noisy_neighbours(world: World, event: float) -> None:
    slower(5, 2)(world, event)
    slower(_PUT, 2)(world, event)


def _surge(world: World, event: float) -> None:
    def surge(world: World) -> None:
        world.rate = 0.85 * world.capacity

    world.at(event, surge)


def _silence(world: World, event: float) -> None:
    def set_loss(loss: float) -> Callable[[World], None]:
        return lambda world: setattr(world, "loss", loss)

    world.at(event, set_loss(1.0))
    world.at(event + 200, set_loss(0.0))


def _flapping(world: World, event: float) -> None:
    def flap(world: World) -> None:
        server = world.servers[_PUT]
        server.speed = SPEEDS[_PUT] if server.speed < SPEEDS[_PUT] else server.speed / 3
        world.at(world.now + 60, flap)

    world.at(event, flap)


def _restart(world: World, event: float) -> None:
    def restart(world: World) -> None:
        if isinstance(world.method, Loop):
            world.method.restart()

    world.at(event, restart)


def _added(world: World, event: float) -> None:
    world.at(event, lambda world: world.change([*world.present, len(SPEEDS)]))


def _removed(world: World, event: float) -> None:
    world.at(event, lambda world: world.change(world.present[:-1]))


def _push_rate(most: float, window: Callable[[Plan], tuple[float, float]]) -> Figure:
    return Figure(
        what="pushes/min",
        read=lambda run: run.record.push_rate(*window(run.plan)),
        most=most,
        specified="0.6",
    )


def _of_least_request(run: Run) -> float:
    window = late(run.plan)
    alone = run.again("least request").percentile(0.99, *window)
    return run.record.percentile(0.99, *window) / alone


def _spread_of_weights(run: Run) -> float:
    """Return by how much pushed weights ever differed."""
    weights = [w for _, by in run.record.pushes for w in by.values()]
    return max(weights) / min(weights)


SCENARIOS: Final = (
    Scenario(
        name="heterogeneous, 60 % load",
        figures=(
            p99(late, 145, "121"),
            imbalance(late, 1.10, "1.03"),
            errors(),
            _push_rate(2, late),
            Figure(
                what="std of ln w",
                read=lambda run: run.record.jitter(*late(run.plan)),
                most=0.08,
            ),
        ),
    ),
    Scenario(
        name="5x slower",
        happening=slower(),
        figures=(
            p99(after(0, 60), 250, "184", "first minute"),
            errors(after(0, 60)),
            p99(late, 170, "140"),
            imbalance(late, 1.12, "1.05"),
            share(_PUT, late, least=0.035, most=0.060, specified="0.046"),
        ),
    ),
    Scenario(
        name="5x slower, 50 sidecars",
        happening=slower(),
        sidecars=50,
        figures=(p99(late, 200, "158"), imbalance(late, 1.10, "1.03"), errors()),
    ),
    Scenario(
        name="two servers half as fast, 70 % load",
        happening=_noisy_neighbours,
        load=0.7,
        figures=(
            p99(late, 170, "140"),
            imbalance(late, 1.10, "1.03"),
            errors(late),
        ),
    ),
    Scenario(
        name="load 30 % to 85 %",
        happening=_surge,
        load=0.3,
        figures=(p99(after(0), 170, "136"), errors()),
    ),
    Scenario(
        name="fails all, heals after 150 s, 50 % load",
        happening=failing(1.0, heal=150),
        length=300,
        load=0.5,
        figures=(
            share(_PUT, after(0, 30), most=0.16, specified="0.118", when="first 30 s"),
            share(_PUT, after(100, 150), most=0.015, specified="0.006"),
            share(
                _PUT,
                after(250, 300),
                least=0.145,
                most=0.22,
                specified="0.19",
                when="healed",
            ),
        ),
    ),
    Scenario(
        name="two endpoints, one fails all",
        happening=failing(1.0, server=1),
        speeds=(2, 2),
        load=0.4,
        figures=(share(1, after(100), most=0.12, specified="0.063"),),
    ),
    Scenario(
        name="two endpoints, one fails all, round robin underneath",
        happening=failing(1.0, server=1),
        speeds=(2, 2),
        load=0.4,
        method=lambda: Loop(
            scheduling=round_robin,
            controller=Controller(Parameters.for_period(10.0, in_turns=True)),
        ),
        figures=(share(1, after(100), most=0.05, specified="0.020"),),
    ),
    Scenario(
        name="fails 30 %",
        happening=failing(0.3),
        load=0.5,
        figures=(share(_PUT, late, most=0.12, specified="0.098"),),
    ),
    Scenario(
        name="5x slower, reports every 10 s",
        happening=slower(),
        interval=10,
        figures=(
            p99(after(0, 60), 250, "189", "first minute"),
            errors(after(0, 60)),
            p99(late, 170, "144"),
            imbalance(late, 1.12, ""),
            share(_PUT, late, least=0.035, most=0.060),
        ),
    ),
    Scenario(
        name="5x slower, 30 % of reports lost, 5 sidecars",
        happening=slower(),
        sidecars=5,
        loss=0.3,
        figures=(
            p99(after(0), 400, "297"),
            errors(),
            p99(late, 180, "149", "late"),
        ),
    ),
    Scenario(
        name="no reports for 200 s",
        happening=_silence,
        length=200,
        figures=(imbalance(after(100, 200), 1.20, "1.12"), errors(after(100, 200))),
    ),
    Scenario(
        name="a 4x server added",
        happening=_added,
        speeds=(*SPEEDS, 4),
        spare=1,
        figures=(
            p99(after(0), 170, "136"),
            settled(len(SPEEDS), 4 / 26, 150, "90"),
        ),
    ),
    Scenario(
        name="a 4x server removed",
        happening=_removed,
        figures=(p99(after(0), 170, "132"), errors()),
    ),
    Scenario(
        name="95 % load from neutral",
        load=0.95,
        figures=(p99(late, 250, "163"), errors()),
    ),
    Scenario(
        name="95 % load from neutral, 50 sidecars",
        load=0.95,
        sidecars=50,
        figures=(p99(late, 450, "334"), errors()),
    ),
    Scenario(
        name="5x slower, 80 % load",
        happening=slower(),
        load=0.8,
        figures=(p99(late, 250, "178"), errors()),
    ),
    Scenario(
        name="a server slower by 3 every other minute",
        happening=_flapping,
        figures=(p99(after(0), 170, "132"), errors()),
    ),
    Scenario(
        name="restarted without a file, 80 % load, 50 sidecars",
        happening=_restart,
        load=0.8,
        sidecars=50,
        figures=(p99(after(0, 60), 200, "157", "first minute"), errors()),
    ),
    Scenario(
        name="2 requests/s in all",
        load=2 / 2200,
        figures=(
            Figure(
                what="largest/smallest weight",
                read=_spread_of_weights,
                most=1.0,
                specified="1",
            ),
            Figure(
                what="pushes",
                read=lambda run: len(run.record.pushes),
                most=1,
                specified="1",
            ),
        ),
    ),
    Scenario(
        name="two of six servers have 16 workers instead of 4, 85 % load",
        speeds=(2,) * 6,
        workers=(16, 16, 4, 4, 4, 4),
        load=0.85,
        figures=(p99(late, 200), errors(late)),
    ),
    Scenario(
        name="equal servers, 90 % load, 50 sidecars",
        speeds=(2,) * 10,
        load=0.9,
        sidecars=50,
        figures=(
            Figure(
                what="p99 over least request's",
                read=_of_least_request,
                most=1.10,
                specified="1.06",
            ),
        ),
    ),
)
BY_NAME: Final[Mapping[str, Scenario]] = {each.name: each for each in SCENARIOS}
