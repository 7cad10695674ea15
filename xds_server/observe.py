"""What operators see of the server's work in numbers.

In: events on streams, and what can be asked. Out: a registry that `/metrics` prints;
docs/observability.md has it as a table. Log lines are `journal`'s.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import cache
from time import perf_counter
from typing import Final, Protocol, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from xds_server.api.problem import Problem, Severity
from xds_server.engine import (
    ClientStatus,
    Connection,
    Delivery,
    Head,
    Mode,
    Observer,
    Rejection,
    SendTimes,
    Table,
    TypeStatus,
)
from xds_server.xds import SHORT_NAMES

_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15)

M = TypeVar("M", Counter, Histogram)
M_co = TypeVar("M_co", covariant=True)


def _short(type_url: str) -> str:
    return SHORT_NAMES.get(type_url, "other")


class _ConfigSize(Collector):
    """Measures the tables when `/metrics` is read: what there is, by type."""

    def __init__(self, tables: Callable[[], Iterable[Table]]) -> None:
        self._tables = tables

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the number of resources and of their bytes."""
        counts, sizes = Counts[str](), Counts[str]()
        for table in self._tables():
            name = _short(table.type_url)
            counts[name] += len(table)
            sizes[name] += sum(len(resource.delta) for resource in table)
        for suffix, text, found in (
            ("resources", "Resources that are served.", counts),
            ("resource_bytes", "Their encoded size.", sizes),
        ):
            family = GaugeMetricFamily(f"xds_server_{suffix}", text, labels=["type"])
            for name, value in found.items():
                family.add_metric([name], value)
            yield family


class _Problems(Collector):
    """Counts what is wrong when `/metrics` is read, by severity."""

    def __init__(self, problems: Callable[[], Iterable[Problem]]) -> None:
        self._problems = problems

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the number of problems."""
        counts = Counts(each.severity for each in self._problems())
        text = "What is wrong now, as /status tells it."
        family = GaugeMetricFamily("xds_server_problems", text, labels=["severity"])
        for severity in Severity:
            family.add_metric([severity], counts[severity])
        yield family


class _Rejected(Collector):
    """Counts what clients reject when `/metrics` is read, by node.

    It is a state, not an event: a counter's first increment is its first sample, of
    which no rate can be told. Clients are asked only while one of them rejects.
    """

    def __init__(self, clients: Callable[[], Iterable[ClientStatus]]) -> None:
        self._clients = clients
        self._rejecting: set[Connection] = set()

    def hear(self, connection: Connection) -> None:
        """Hear that a client rejected something."""
        self._rejecting.add(connection)

    def forget(self, connection: Connection) -> None:
        """Hear that a client is gone."""
        self._rejecting.discard(connection)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the number of resources that each node rejects, of those that do."""
        rejected: dict[tuple[str, str], set[str]] = {}
        clients = tuple(self._clients()) if self._rejecting else ()
        self._rejecting.clear()
        for client in clients:
            for status in filter(_is_rejected, client.types):
                self._rejecting.add(client.connection)
                key = _short(status.type_url), client.connection.node.id
                found = rejected.setdefault(key, set())
                found.update(*(each.suspects or {""} for each in status.rejections))
        text = "Resources that a client rejects now; 1 where it does not say which."
        family = GaugeMetricFamily(
            "xds_server_rejected_resources", text, labels=["type", "node"]
        )
        for labels, names in rejected.items():
            family.add_metric(labels, len(names))
        yield family


def _is_rejected(status: TypeStatus) -> bool:
    return bool(status.rejections)


class _Find(Protocol[M_co]):
    """Finds the series of a metric that has some labels."""

    def __call__(self, *labels: str) -> M_co: ...


def _by_labels(metric: M) -> _Find[M]:
    """Return what finds the series of *metric*, without the lock of its `labels`."""
    return cache(metric.labels)


class Metrics(Observer):
    """Counts for `/metrics`, in a registry of their own."""

    def __init__(self, tables: Callable[[], Iterable[Table]]) -> None:
        """Count what an observer hears, and measure *tables* when somebody asks."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._clients = Gauge(
            "xds_server_connected_clients",
            "Open streams.",
            ["mode"],
            registry=self.registry,
        )
        for mode in Mode:  # none is a number, too: an alert must see it
            self._clients.labels(mode)
        self._streams: Counts[str] = Counts()
        Gauge(
            "xds_server_connected_nodes",
            "Nodes with an open stream, by their ids.",
            registry=self.registry,
        ).set_function(lambda: len(self._streams))
        self._responses = _by_labels(
            Counter(
                "xds_server_responses",
                "Responses sent.",
                ["type", "mode", "cause"],
                registry=self.registry,
            )
        )
        self._bytes = _by_labels(
            Counter(
                "xds_server_response_bytes",
                "Bytes of the responses sent.",
                ["type"],
                registry=self.registry,
            )
        )
        self._acks = _by_labels(
            Counter(
                "xds_server_acks",
                "Responses accepted.",
                ["type"],
                registry=self.registry,
            )
        )
        self._rejects = Counter(
            "xds_server_rejects",
            "Responses rejected, or not answered in time.",
            ["type", "node"],
            registry=self.registry,
        )
        self._stale = _by_labels(
            Counter(
                "xds_server_stale_requests",
                "Requests that answered no response of theirs, or an older one.",
                ["type"],
                registry=self.registry,
            )
        )
        self._publications = Counter(
            "xds_server_publications",
            "Batches of changes that changed a resource.",
            registry=self.registry,
        )
        self._answer_time = _by_labels(
            Histogram(
                "xds_server_answer_seconds",
                "From a response to its acknowledgement.",
                ["type"],
                buckets=_BUCKETS,
                registry=self.registry,
            )
        )
        self._queue_time = _by_labels(
            Histogram(
                "xds_server_queue_seconds",
                "From a published change to the response that tells it.",
                ["type"],
                buckets=_BUCKETS,
                registry=self.registry,
            )
        )
        self._send_time = _by_labels(
            Histogram(
                "xds_server_send_seconds",
                "How long the network took to take a response.",
                ["type"],
                buckets=_BUCKETS,
                registry=self.registry,
            )
        )
        self._convergence_time = Histogram(
            "xds_server_convergence_seconds",
            "From a published change to the last answer of the clients it concerns.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_ConfigSize(tables))
        self._sent_at: dict[tuple[Connection, str], float] = {}
        self._rejected: _Rejected | None = None

    def show_ready(self, is_ready: Callable[[], bool]) -> None:
        """Show whether there is something to serve, by what *is_ready* says then."""
        Gauge(
            "xds_server_ready",
            "1 if every source has listed and is served, else 0.",
            registry=self.registry,
        ).set_function(is_ready)

    def show_rejected(self, clients: Callable[[], Iterable[ClientStatus]]) -> None:
        """Show what is rejected, by what *clients* says when it is asked."""
        self._rejected = _Rejected(clients)
        self.registry.register(self._rejected)

    def show_problems(self, problems: Callable[[], Iterable[Problem]]) -> None:
        """Show how much is wrong, by what *problems* says when it is asked."""
        self.registry.register(_Problems(problems))

    def show_leader(self, is_leading: Callable[[], bool]) -> None:
        """Show who of several replicas leads, by what each says when it is asked."""
        Gauge(
            "xds_server_leader",
            "1 if this replica writes statuses and computes weights, else 0.",
            registry=self.registry,
        ).set_function(is_leading)

    def count_publication(self, resources: int) -> None:
        """Count a batch that changed *resources* resources."""
        if resources:
            self._publications.inc()

    def on_connect(self, connection: Connection) -> None:
        """Count a stream in."""
        self._clients.labels(connection.mode).inc()
        self._streams[connection.node.id] += 1

    def on_disconnect(self, connection: Connection) -> None:
        """Count a stream out, and forget what it had not answered.

        Nodes come and go under new names: with a node's last stream its series end.
        """
        self._clients.labels(connection.mode).dec()
        if self._rejected is not None:
            self._rejected.forget(connection)
        node = connection.node.id
        self._streams[node] -= 1
        if not self._streams[node]:
            del self._streams[node]
            self._rejects.remove_by_labels({"node": node})
        for type_url in SHORT_NAMES:
            self._sent_at.pop((connection, type_url), None)

    def on_response(self, connection: Connection, delivery: Delivery) -> None:
        """Count a response and start its time."""
        type_url = delivery.response.head.type_url
        name = _short(type_url)
        self._responses(name, connection.mode, delivery.cause).inc()
        self._bytes(name).inc(len(delivery.response.body))
        if type_url in SHORT_NAMES:
            self._sent_at[connection, type_url] = perf_counter()

    def on_sent(
        self, connection: Connection, delivery: Delivery, times: SendTimes
    ) -> None:
        """Take the times of a response."""
        del connection
        name = _short(delivery.response.head.type_url)
        self._send_time(name).observe(times.sent.total_seconds())
        if times.queued is not None:
            self._queue_time(name).observe(times.queued.total_seconds())

    def on_converged(self, duration: timedelta) -> None:
        """Take the time of a change until its last answer."""
        self._convergence_time.observe(duration.total_seconds())

    def on_ack(self, connection: Connection, head: Head) -> None:
        """Count an acknowledgement and take its time."""
        name = _short(head.type_url)
        self._acks(name).inc()
        sent_at = self._sent_at.pop((connection, head.type_url), None)
        if sent_at is not None:
            self._answer_time(name).observe(perf_counter() - sent_at)

    def on_nack(self, connection: Connection, rejection: Rejection) -> None:
        """Count a rejection."""
        name = _short(rejection.head.type_url)
        self._rejects.labels(name, connection.node.id).inc()
        if self._rejected is not None:
            self._rejected.hear(connection)
        self._sent_at.pop((connection, rejection.head.type_url), None)

    def on_stale(self, connection: Connection, type_url: str) -> None:
        """Count a request whose answer is ignored."""
        del connection
        self._stale(_short(type_url)).inc()
