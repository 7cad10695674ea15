"""What operators see of the server's work: one log line a response, and metrics.

In: events on streams. Out: structlog lines, and a registry that `/metrics` prints.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import cache
from time import perf_counter
from typing import Final, Protocol, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from xds_server.api.problem import Problem, Severity
from xds_server.engine import (
    Cause,
    Connection,
    Delivery,
    Head,
    Observer,
    Rejection,
    SendTimes,
    Subscription,
    Table,
)
from xds_server.xds import SHORT_NAMES

_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15)

_SINGULAR: Final = frozenset({Cause.REQUEST, Cause.REJECTION})
"""What one client has of its own; the other causes are shared by many."""

M = TypeVar("M", Counter, Histogram)
M_co = TypeVar("M_co", covariant=True)

logger = structlog.get_logger(__name__)


def _short(type_url: str) -> str:
    return SHORT_NAMES.get(type_url, "other")


class Journal(Observer):
    """Writes the canonical log line of each connection, response and rejection."""

    def on_connect(self, connection: Connection) -> None:
        """Log a new stream."""
        node = connection.node
        logger.info(
            "connected",
            node=node.id,
            mode=connection.mode,
            peer=connection.peer,
            user_agent=node.user_agent,
        )

    def on_disconnect(self, connection: Connection) -> None:
        """Log the end of a stream."""
        logger.info("disconnected", node=connection.node.id, peer=connection.peer)

    def on_subscribe(
        self, connection: Connection, type_url: str, subscription: Subscription
    ) -> None:
        """Log what a client wants."""
        logger.debug(
            "subscribed",
            node=connection.node.id,
            type=_short(type_url),
            wildcard=subscription.is_wildcard,
            names=len(subscription.names),
        )

    def on_response(self, connection: Connection, delivery: Delivery) -> None:
        """Log a response.

        One change is many responses: its line is that of the publication, which names
        the same version, and these are for whoever looks for details.
        """
        head = delivery.response.head
        write = logger.info if delivery.cause in _SINGULAR else logger.debug
        write(
            "response",
            node=connection.node.id,
            type=_short(head.type_url),
            version=head.version,
            nonce=head.nonce,
            resources=len(head.names),
            removed=len(head.removed),
            bytes=len(delivery.response.body),
            cause=delivery.cause,
        )

    def on_converged(self, duration: timedelta) -> None:
        """Log that all whom a publication concerns have answered it."""
        logger.info("converged", seconds=round(duration.total_seconds(), 3))

    def on_ack(self, connection: Connection, head: Head) -> None:
        """Log an acknowledgement."""
        logger.debug(
            "ack",
            node=connection.node.id,
            type=_short(head.type_url),
            version=head.version,
            nonce=head.nonce,
        )

    def on_nack(self, connection: Connection, rejection: Rejection) -> None:
        """Log a rejection: the last accepted version stays in force."""
        logger.error(
            "nack",
            node=connection.node.id,
            type=_short(rejection.head.type_url),
            version=rejection.head.version,
            nonce=rejection.head.nonce,
            resources=rejection.suspects,
            owners=rejection.owners,
            message=rejection.message,
        )


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
        self._clients = Gauge(
            "xds_server_connected_clients",
            "Open streams.",
            ["mode"],
            registry=self.registry,
        )
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
        self._streams: Counts[str] = Counts()

    def show_problems(self, problems: Callable[[], Iterable[Problem]]) -> None:
        """Show how much is wrong, by what *problems* says when it is asked."""
        self.registry.register(_Problems(problems))

    def show_leader(self, is_leading: Callable[[], bool]) -> None:
        """Show who of several replicas leads, by what each says when it is asked."""
        Gauge(
            "xds_server_leader",
            "1 if this replica writes the statuses of policies, else 0.",
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
        self._sent_at.pop((connection, rejection.head.type_url), None)

    def on_stale(self, connection: Connection, type_url: str) -> None:
        """Count a request whose answer is ignored."""
        del connection
        self._stale(_short(type_url)).inc()
