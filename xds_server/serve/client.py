"""Who is connected and what each client holds, for people: `/status`, logs, metrics.

In: connections that open and close, and the streams' own state. Out: frozen values, and
the port of whoever wants to hear of every response and its answer.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from xds_server.serve.exchange import Exchange
from xds_server.serve.node import Node
from xds_server.serve.quarantine import Rejection
from xds_server.serve.response import Delivery, Head, Mode
from xds_server.serve.subscription import Subscription
from xds_server.snapshot.table import Table
from xds_server.xds import Place


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Connection:
    """One open stream; `peer` is the other end as gRPC names it."""

    node: Node
    mode: Mode
    peer: str
    connected_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTimes:
    """How long a response took inside the server.

    `queued` is from the change that it is due to until it was made, where it is due to
    a change; `sent` is how long the network took to take it.
    """

    queued: timedelta | None
    sent: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeStatus:
    """What one client holds of one resource type.

    `accepted_version` is the last one that it acknowledged, and `accepted_sequence`
    what its table was at then (-1 before). `rejections` are what it did not accept and
    has not accepted since; `withheld` are the names that are not sent again for that.
    `unanswered` are those of a response whose answer is awaited, or overdue.
    """

    type_url: str
    subscription: Subscription
    sent: Head | None
    is_waiting: bool
    accepted_version: str | None
    rejections: tuple[Rejection, ...]
    accepted_sequence: int = -1
    is_overdue: bool = False
    unanswered: tuple[str, ...] = ()
    withheld: frozenset[str] = frozenset()

    @property
    def is_wildcard(self) -> bool:
        """Whether the client wants everything."""
        return self.subscription.is_wildcard

    @property
    def names(self) -> int:
        """How many names it asked for."""
        return len(self.subscription.names)

    def has_accepted(self, name: str, sequence: int) -> bool:
        """Whether the client holds *name* as it is since *sequence*.

        The sequence is `Table.sequence_of(name)` of the table that the client sees.
        """
        is_open = name in self.withheld or name in self.unanswered
        return sequence <= self.accepted_sequence and not is_open


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """One connected client: who it is, and what it holds, in push order."""

    connection: Connection
    types: tuple[TypeStatus, ...]


class Observer:
    """Hears what happens on streams, of what it overrides; quick, and never raises."""

    def on_connect(self, connection: Connection) -> None:
        """Hear of a new stream."""

    def on_disconnect(self, connection: Connection) -> None:
        """Hear that a stream has ended."""

    def on_subscribe(
        self, connection: Connection, type_url: str, subscription: Subscription
    ) -> None:
        """Hear what the client wants of a type from now on."""

    def on_kept(
        self, connection: Connection, type_url: str, names: AbstractSet[str]
    ) -> None:
        """Hear that a client came back with others of *names*, and goes on with them.

        They are of its kin (`Resource.yields`).
        """

    def on_response(self, connection: Connection, delivery: Delivery) -> None:
        """Hear that a response is on its way."""

    def on_sent(
        self, connection: Connection, delivery: Delivery, times: SendTimes
    ) -> None:
        """Hear that a response was handed to the network."""

    def on_ack(self, connection: Connection, head: Head) -> None:
        """Hear that the client accepted a response."""

    def on_nack(self, connection: Connection, rejection: Rejection) -> None:
        """Hear that the client rejected a response, or never answered it."""

    def on_stale(self, connection: Connection, type_url: str) -> None:
        """Hear of a request that answers no response, or an older one."""

    def on_converged(self, duration: timedelta) -> None:
        """Hear that all whom a publication concerned have answered it."""


class FollowedType(Protocol):
    """The part of a sub-stream that people are shown."""

    @property
    def table(self) -> Table:
        """What there is."""
        ...

    @property
    def place(self) -> Place:
        """From where it is seen."""
        ...

    @property
    def exchange(self) -> Exchange:
        """What was sent and what the client said of it."""
        ...

    @property
    def subscription(self) -> Subscription:
        """What the client asked for."""
        ...


def type_status(followed: FollowedType) -> TypeStatus:
    """Return the state of one type as a value."""
    exchange = followed.exchange
    return TypeStatus(
        type_url=followed.table.type_url,
        subscription=followed.subscription,
        sent=exchange.sent,
        is_waiting=exchange.is_waiting,
        accepted_version=exchange.accepted_version,
        rejections=exchange.rejections,
        accepted_sequence=exchange.accepted_sequence,
        is_overdue=exchange.is_overdue,
        unanswered=exchange.unanswered,
        withheld=exchange.quarantine.withheld,
    )
