"""What was sent for one type on one stream, and what the client said of it.

In: responses that leave, nonces and error details that come back. Out: nonces, what a
request means for the last response, and the state that people are shown. What to send
is decided elsewhere.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from xds_server.serve.response import Head
from xds_server.snapshot.table import Table

_BETWEEN_WORDS: Final = re.compile(r"[\s'\"`,;()\[\]{}]+")


class Verdict(StrEnum):
    """What a request says of the responses before it."""

    ACK = "ack"
    NACK = "nack"
    SILENT = "silent"
    """Nothing: it is about subscriptions alone."""
    STALE = "stale"
    """It was sent before the newest response arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A response that the client did not accept, and why.

    `suspects` are the resources that it is about, as far as that can be told.
    """

    head: Head
    message: str
    suspects: tuple[str, ...]


class Exchange:
    """The responses of one sub-stream. At most one of them waits for its answer."""

    def __init__(self, table: Table) -> None:
        self.sent: Head | None = None
        self.accepted_version: str | None = None
        self.rejection: Rejection | None = None
        self.is_waiting = False
        self._is_overdue = False
        self._table = table
        self._sequence = -1
        self._repetition = 0

    @property
    def next_nonce(self) -> str:
        """The nonce of a response that carries the table as it is now.

        Streams that are brought to the same sequence use the same nonce, so that their
        responses are the same bytes; only a second response for one sequence differs.
        """
        sequence = self._table.sequence
        if sequence != self._sequence:
            return f"{sequence:x}"
        return f"{sequence:x}.{self._repetition + 1}"

    def send(self, head: Head) -> None:
        """Say that the response with `next_nonce` leaves now."""
        repeats = self._sequence == self._table.sequence
        self._repetition = self._repetition + 1 if repeats else 0
        self._sequence = self._table.sequence
        self.sent = head
        self.is_waiting = True
        self._is_overdue = False

    def hear(self, nonce: str, error: str | None) -> Verdict:
        """Return what a request with *nonce* says of the last response.

        *error* is the message of its error detail, None where it has none. A nonce
        before any response is of another stream and means nothing. A request without a
        nonce answers nothing: the client had not seen a response yet.
        """
        if not nonce or self.sent is None:
            return Verdict.SILENT
        if nonce != self.sent.nonce:
            return Verdict.STALE
        is_expected = self.is_waiting or self._is_overdue
        self.is_waiting = self._is_overdue = False
        if error is not None:
            self._reject(self.sent, error)
            return Verdict.NACK
        if not is_expected:
            return Verdict.SILENT
        self.rejection = None
        self.accepted_version = self.sent.version
        return Verdict.ACK

    def give_up(self, message: str) -> bool:
        """Stop waiting for an answer, for the reason *message*; was there one to come?

        An Envoy may hold an answer back until the next response releases it (measured
        on 1.40 with a cluster that fails while it warms), so waiting for ever would
        keep the remedy from it. The answer still counts if it comes after all.
        """
        if self.sent is None or not self.is_waiting:
            return False
        self.is_waiting = False
        self._is_overdue = True
        self._reject(self.sent, message)
        return True

    def _reject(self, head: Head, message: str) -> None:
        self.rejection = Rejection(
            head=head, message=message, suspects=self._suspects(head, message)
        )

    def _suspects(self, head: Head, message: str) -> tuple[str, ...]:
        """Return the resources that *message* names, or the only one there was.

        The message may be about a resource of an earlier response: an answer that Envoy
        held back comes with the nonce of the next response.
        """
        sent = frozenset(head.names)
        words = (word.strip(".:") for word in _BETWEEN_WORDS.split(message))
        named = {
            word: None
            for word in words
            if word in sent or self._table.get(word) is not None
        }
        if not named and len(head.names) == 1:
            return head.names
        return tuple(named)
