"""A report to render: one policy that holds, one that does not, one unmeasured."""

import pytest

from xds_server.lab.trial import EndpointResult, Outcome, Trial, TrialReport
from xds_server.lab.verdict import check_affinity, check_chi_square

COUNTS = (1020, 480, 500)


@pytest.fixture
def report() -> TrialReport:
    endpoints = tuple(
        EndpointResult(
            address=f"10.0.0.{number}:8080",
            weight=1,
            expected=1 / 3,
            measured=count / 2000,
            requests=count,
        )
        for number, count in enumerate(COUNTS, 1)
    )
    fair = tuple(
        EndpointResult(
            address=f"10.0.1.{number}:8080",
            weight=1,
            expected=0.5,
            measured=0.5,
            requests=100,
        )
        for number in (1, 2)
    )
    return TrialReport(
        trials=(
            Trial(
                service="shop/cart:80",
                algorithm="Maglev",
                policies=("TrafficPolicy shop/cart",),
                outcome=Outcome.HOLDS,
                promise="same key, same endpoint",
                endpoints=fair,
                checks=(check_affinity((0, 1), (0, 1)),),
            ),
            Trial(
                service="shop/search:80",
                algorithm="Random",
                policies=("TrafficPolicy shop/search",),
                outcome=Outcome.DOES_NOT_HOLD,
                promise="1/n each, by chance",
                endpoints=endpoints,
                checks=(check_chi_square(COUNTS, (1 / 3,) * 3),),
                repeated=True,
            ),
            Trial(
                service="shop/empty:80",
                algorithm="RoundRobin",
                policies=(),
                outcome=Outcome.NOT_MEASURED,
                reason="no endpoint may get requests",
            ),
        ),
        concurrency=1,
        seed=1,
    )
