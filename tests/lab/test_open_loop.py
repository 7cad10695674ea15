"""A steady rate through no Envoy, and servers that take their time."""

import random
from itertools import pairwise

import pytest

from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.error import LabError
from xds_server.lab.open_loop import Answer, figures_of, send_steadily
from xds_server.lab.pace import FAILURE_TIME, Pace
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import Target
from xds_server.mesh.model import Protocol


def seeded() -> random.Random:
    return random.Random(1)  # noqa: S311 - reproducible


def pace(workers: int = 1, error_share: float = 0.0) -> Pace:
    return Pace(
        randomness=seeded(),
        service_time=0.02,
        workers=workers,
        error_share=error_share,
    )


def straight_to(server: Backend) -> Target:
    return Target(listener=server.address, authority="shop", protocol=server.protocol)


def backend(its: Pace) -> Backend:
    address = Address("127.1.255.1", free_port())
    return Backend(address=address, protocol=Protocol.HTTP1, pace=its)


def test_one_worker_takes_one_after_the_other() -> None:
    ends = [pace_.serve(0.0)[0] for pace_ in [pace()] for _ in range(100)]

    assert ends == sorted(ends)
    assert all(later > earlier for earlier, later in pairwise(ends))


def test_with_as_many_workers_as_requests_none_waits() -> None:
    """The mean of 1,000 exponential times: 10 standard errors are 32 %."""
    its = pace(workers=1000)
    ends = [its.serve(5.0)[0] for _ in range(1000)]

    assert sum(ends) / 1000 - 5.0 == pytest.approx(0.02, rel=0.32)


def test_a_worker_that_was_idle_begins_at_once() -> None:
    its = pace()
    its.serve(0.0)

    assert its.serve(1000.0)[0] > 1000.0


def test_who_fails_fails_at_once_though_others_wait() -> None:
    its = pace()
    for _ in range(10):
        its.serve(0.0)
    its.error_share = 1.0

    assert its.serve(0.0) == (FAILURE_TIME, 500)


async def test_answers_tell_how_long_they_took_and_from_whom() -> None:
    server = backend(pace(workers=10))
    async with serve_backends([server]):
        answers = await send_steadily(straight_to(server), 400, 0.5, seeded())

    figures = figures_of(answers)
    assert figures.error_share == 0.0
    assert figures.shares == {str(server.address): 1.0}
    assert 0.0 < figures.median < figures.p99
    assert answers[0].headers >= {"x-lab-endpoint", "content-length"}


async def test_failures_are_counted() -> None:
    server = backend(pace(error_share=1.0))
    async with serve_backends([server]):
        answers = await send_steadily(straight_to(server), 400, 0.2, seeded())

    assert {answer.status for answer in answers} == {500}
    assert figures_of(answers).error_share == 1.0


async def test_nobody_listening_is_said() -> None:
    with pytest.raises(LabError, match="does not listen"):
        await send_steadily(straight_to(backend(pace())), 400, 0.2, seeded())


def test_quantiles_are_of_all_answers() -> None:
    answers = [
        Answer(due=0.0, seconds=float(number), status=200 if number % 2 else 503)
        for number in range(100)
    ]

    figures = figures_of(answers)

    assert (figures.median, figures.p99, figures.error_share) == (50.0, 99.0, 0.5)
    assert figures.shares == {}
