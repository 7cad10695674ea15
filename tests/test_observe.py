"""What `/metrics` says of clients that reject."""

from datetime import UTC, datetime

from xds_server.api.problem import Place, Problem
from xds_server.observe import Metrics
from xds_server.serve.client import Connection
from xds_server.serve.node import Node
from xds_server.serve.quarantine import Rejection
from xds_server.serve.response import Head, Mode
from xds_server.xds import CLUSTER

REJECTION = Rejection(
    head=Head(type_url=CLUSTER, version="1", nonce="1", names=("a",), removed=()),
    message="bad",
    suspects=("a",),
)


def connection(node: str) -> Connection:
    return Connection(
        node=Node(id=node),
        mode=Mode.DELTA,
        peer="here",
        connected_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def rejects(metrics: Metrics, node: str) -> float | None:
    labels = {"type": "cluster", "node": node}
    return metrics.registry.get_sample_value("xds_server_rejects_total", labels)


def test_a_nodes_rejections_are_counted_until_its_last_stream_ends() -> None:
    """Nodes of a mesh have new names every day: series without end would be kept."""
    metrics = Metrics(tables=lambda: ())
    first, second, other = map(connection, ("a", "a", "b"))
    for each in (first, second, other):
        metrics.on_connect(each)
        metrics.on_nack(each, REJECTION)
    metrics.on_disconnect(first)
    metrics.on_disconnect(other)
    counted, gone = rejects(metrics, "a"), rejects(metrics, "b")
    metrics.on_disconnect(second)

    assert (counted, gone) == (2, None)
    assert rejects(metrics, "a") is None


def test_what_is_wrong_is_counted_when_somebody_asks() -> None:
    """Of each severity, also where there is nothing: a series that comes and goes
    alarms nobody."""
    metrics = Metrics(tables=lambda: ())
    problems = [Problem(place=Place("a"), message="no")]
    metrics.show_problems(lambda: problems)

    def count(severity: str) -> float | None:
        labels = {"severity": severity}
        return metrics.registry.get_sample_value("xds_server_problems", labels)

    assert (count("error"), count("warning"), count("notice")) == (1, 0, 0)
    problems.clear()
    assert count("error") == 0
