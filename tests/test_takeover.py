"""Who is known to go on with the weights of a server before this one."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from tests.control.mesh import CLUSTER, UNEQUAL, World, mesh, report
from xds_server.control.source import ControlSource
from xds_server.engine import ENDPOINT, Connection, LoadReport, Mode, Node
from xds_server.takeover import Takeover


class Heard(ControlSource):
    """A control loop that only notes what it is told."""

    def __init__(self) -> None:
        super().__init__(World(*mesh(1, 2, 3)).loop)
        self.kept: list[str] = []
        self.reports: list[LoadReport] = []

    def keep(self, clusters: Iterable[str]) -> None:
        self.kept += clusters

    def submit(self, report: LoadReport) -> None:
        self.reports.append(report)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def stream(node: str = "one") -> Connection:
    now = datetime.now(UTC)
    return Connection(
        node=Node(id=node), mode=Mode.DELTA, peer="127.0.0.1:1", connected_at=now
    )


def test_a_client_that_is_left_with_what_it_has_does(heard: Heard) -> None:
    Takeover(heard).on_kept(stream(), ENDPOINT, frozenset([CLUSTER]))

    assert heard.kept == [CLUSTER]


def test_a_client_that_only_reports_here_may_have_its_stream_elsewhere(
    heard: Heard,
) -> None:
    takeover = Takeover(heard, is_alone=False)
    takeover.submit(report(UNEQUAL))
    assert heard.kept == []
    assert len(heard.reports) == 1
    takeover.on_kept(stream(), ENDPOINT, frozenset([CLUSTER]))

    assert heard.kept == [CLUSTER]


def test_a_client_that_reports_before_it_is_told_anything_does(heard: Heard) -> None:
    """And one that is connected has what it was sent; two of its streams are one."""
    takeover = Takeover(heard)
    takeover.submit(report(UNEQUAL))
    before = list(heard.kept)
    first, second = stream(), stream()
    for each in (first, second, stream("other")):
        takeover.on_connect(each)
    takeover.on_disconnect(first)
    takeover.submit(report(UNEQUAL))
    connected = list(heard.kept)
    takeover.on_disconnect(second)
    takeover.submit(report(UNEQUAL))

    assert before == connected == [CLUSTER]
    assert heard.kept == [CLUSTER, CLUSTER]
    assert len(heard.reports) == 3
