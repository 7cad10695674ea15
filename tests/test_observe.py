"""What `/metrics` says of clients that reject."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from xds_server.api.problem import Place, Problem
from xds_server.observe import Metrics
from xds_server.serve.client import ClientStatus, Connection, TypeStatus
from xds_server.serve.node import Node
from xds_server.serve.quarantine import Rejection
from xds_server.serve.response import Head, Mode
from xds_server.serve.subscription import Subscription
from xds_server.xds import CLUSTER, ENDPOINT

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


def client(connection: Connection, *rejections: Rejection) -> ClientStatus:
    """Return a client that rejects clusters, and no endpoints."""
    types = tuple(
        TypeStatus(
            type_url=type_url,
            subscription=Subscription(),
            sent=None,
            is_waiting=False,
            accepted_version=None,
            rejections=rejected,
        )
        for type_url, rejected in ((CLUSTER, rejections), (ENDPOINT, ()))
    )
    return ClientStatus(connection=connection, types=types)


def rejected(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Return what `xds_server_rejected_resources` says, by type and node."""
    return {
        (sample.labels["type"], sample.labels["node"]): sample.value
        for family in metrics.registry.collect()
        if family.name == "xds_server_rejected_resources"
        for sample in family.samples
    }


def test_what_is_rejected_now_is_a_number_of_resources() -> None:
    """One that two streams of a node reject is one; words that name none are one."""
    metrics, clients = Metrics(tables=lambda: ()), list[ClientStatus]()
    metrics.show_rejected(lambda: clients)
    first, second, other = map(connection, ("a", "a", "b"))
    both = replace(REJECTION, suspects=("a", "b"))
    clients[:] = [
        client(first, REJECTION, both),
        client(second, both),
        client(other, replace(REJECTION, suspects=())),
    ]
    before = rejected(metrics)
    for each in (first, second, other):
        metrics.on_connect(each)
        metrics.on_nack(each, REJECTION)

    assert before == {}
    assert rejected(metrics) == {("cluster", "a"): 2, ("cluster", "b"): 1}
    clients[:] = [client(first), client(second, both)]
    assert rejected(metrics) == {("cluster", "a"): 2}
    clients[:] = [client(first), client(second)]
    assert rejected(metrics) == {}


def test_clients_are_asked_only_while_one_rejects() -> None:
    """With thousands of streams, that is most of what reading metrics would cost."""
    asked, clients, metrics = list[int](), list[ClientStatus](), Metrics(lambda: ())

    def ask() -> Iterable[ClientStatus]:
        asked.append(len(clients))
        return clients

    def number() -> int:
        asked.clear()
        rejected(metrics)
        return len(asked)

    metrics.show_rejected(ask)
    node = connection("a")
    clients.append(client(node, REJECTION))
    metrics.on_connect(node)
    healthy = number()
    metrics.on_nack(node, REJECTION)
    rejecting = [number(), number()]
    clients[:] = [client(node)]
    mended = [number(), number()]
    metrics.on_nack(node, REJECTION)
    metrics.on_disconnect(node)

    assert healthy == 0
    assert rejecting == [1, 1]
    assert mended == [1, 0]
    assert number() == 0


def test_nobody_is_a_number_too() -> None:
    """An alert that nobody is connected any more needs a series without clients."""
    metrics = Metrics(tables=lambda: ())

    def nodes() -> float | None:
        return metrics.registry.get_sample_value("xds_server_connected_nodes")

    def streams(mode: Mode) -> float | None:
        name, labels = "xds_server_connected_clients", {"mode": mode.value}
        return metrics.registry.get_sample_value(name, labels)

    assert [nodes(), *map(streams, Mode)] == [0, 0, 0]
    first, second = connection("a"), connection("a")
    metrics.on_connect(first)
    metrics.on_connect(second)

    assert (nodes(), streams(Mode.DELTA), streams(Mode.SOTW)) == (1, 2, 0)
    metrics.on_disconnect(first)
    metrics.on_disconnect(second)
    assert (nodes(), streams(Mode.DELTA)) == (0, 0)


def test_whether_it_is_ready_is_asked_each_time() -> None:
    metrics, answers = Metrics(tables=lambda: ()), [False, True]
    metrics.show_ready(lambda: answers.pop(0))
    found = [metrics.registry.get_sample_value("xds_server_ready") for _ in range(2)]

    assert found == [0, 1]
