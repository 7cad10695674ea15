"""Load balancers side by side, on a real Envoy."""

import pytest

from xds_server.lab.contest import Contender, Server, Stretch, run_contest
from xds_server.lab.envoy import find_envoy

pytestmark = pytest.mark.envoy

CONTENDERS = tuple(
    Contender(name=name, spec={"loadBalancer": {"type": kind}})
    for name, kind in (("in-turn", "RoundRobin"), ("fewest", "LeastRequest"))
)


def failures(stretch: Stretch) -> int:
    return sum(not answer.is_ok for answer in stretch.answers)


async def test_who_asks_the_less_busy_waits_less() -> None:
    """Servers of 50 and 500 requests a second; 160 a second come.

    Taking turns gives the slow one 80, more than it can do: its queue grows by 30 a
    second, to 180 requests, which is 3.6 s; its standard deviation is 28 requests. Who
    sees what is in flight sends it far fewer: 0.2 to 0.6 s in 8 runs.
    """
    servers = [Server(service_time=0.02), Server(service_time=0.002)]
    async with run_contest(
        CONTENDERS, servers, rate=160, seed=1, envoy=find_envoy(None)
    ) as contest:
        before = await contest.run(6)
        contest.change(0, lambda pace: setattr(pace, "error_share", 1.0))
        after = await contest.run(2)

    assert sum(map(failures, before.values())) == 0
    assert before["fewest"].figures.p99 < before["in-turn"].figures.p99 / 2
    assert before["fewest"].shares[1] > before["in-turn"].shares[1]
    assert failures(after["in-turn"]) > 0
