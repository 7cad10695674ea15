"""What operators read of the server's work: one canonical log line for each event.

In: events on streams, and new weights. Out: structlog lines. What is counted is in
`observe`.
"""

from collections.abc import Set as AbstractSet
from datetime import timedelta
from math import log
from typing import Final

import structlog

from xds_server.control.standing import Push
from xds_server.engine import (
    Cause,
    Connection,
    Delivery,
    Head,
    Observer,
    Rejection,
    Subscription,
)
from xds_server.xds import SHORT_NAMES

_MOST_NAMED: Final = 10
"""A line names so many endpoints whose weights changed; it counts the others."""
_SINGULAR: Final = frozenset({Cause.REQUEST, Cause.REJECTION})
"""What one client has of its own; the other causes are shared by many."""

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

    def on_kept(
        self, connection: Connection, type_url: str, names: AbstractSet[str]
    ) -> None:
        """Log that a client goes on with weights of before."""
        logger.info(
            "kept", node=connection.node.id, type=_short(type_url), names=len(names)
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

    def on_push(self, push: Push) -> None:
        """Log new weights: which are the most others than before, and why."""
        before = push.before
        changed = {
            address: weight / before[address]
            for address, weight in push.weights.items()
            if before.get(address, weight) != weight
        }
        furthest = sorted(changed, key=lambda each: -abs(log(changed[each])))
        logger.info(
            "weighed",
            service=f"{push.namespace}/{push.service}:{push.port}",
            cause=push.cause,
            endpoints=len(push.weights),
            changed=len(changed),
            weights={
                each: f"{before[each]} -> {push.weights[each]}"
                + (f" ({push.reasons[each]})" if each in push.reasons else "")
                for each in furthest[:_MOST_NAMED]
            },
        )
