"""What was sent for one type on one stream, and what the client said of it.

In: responses that leave, nonces and error details that come back. Out: nonces, what a
request means for the last response, and the state that people are shown. What to send
is decided elsewhere.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from xds_server.serve.quarantine import Quarantine, Rejection
from xds_server.serve.response import Head
from xds_server.snapshot.table import Table
from xds_server.xds import NOWHERE, Place

_BETWEEN_WORDS: Final = re.compile(r"[\s'\"`,;()\[\]{}]+")


class Verdict(StrEnum):
    """What a request says of the responses before it."""

    ACK = "ack"
    NACK = "nack"
    SILENT = "silent"
    """Nothing: it is about subscriptions alone."""
    STALE = "stale"
    """It was sent before the newest response arrived."""


class Exchange:
    """The responses of one sub-stream. At most one of them waits for its answer."""

    def __init__(self, table: Table, place: Place = NOWHERE) -> None:
        self.sent: Head | None = None
        self.accepted_version: str | None = None
        self.newest_rejection: Rejection | None = None
        self.quarantine = Quarantine(table)
        self.is_waiting = False
        self.sent_sequence = -1
        self.accepted_sequence = -1
        self.answered_sequence = -1
        self.is_overdue = False
        self._table = table
        self._place = place
        self._repetition = 0
        self._about: tuple[str, ...] = ()
        self._unexplained: Rejection | None = None  # for want of a name, or an answer

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """What the client has rejected and not accepted since, oldest first."""
        found = dict.fromkeys(self.quarantine.rejections.values())
        if self._unexplained is not None:
            found[self._unexplained] = None
        return tuple(found)

    @property
    def unanswered(self) -> tuple[str, ...]:
        """What the last response brought news of, until the client answers it."""
        return self._about if self.is_waiting or self.is_overdue else ()

    @property
    def next_nonce(self) -> str:
        """The nonce of a response that carries the table as it is now.

        Streams that are brought to the same sequence use the same nonce, so that their
        responses are the same bytes; only a second response for one sequence differs.
        """
        sequence = self._table.sequence
        if sequence != self.sent_sequence:
            return f"{sequence:x}"
        return f"{sequence:x}.{self._repetition + 1}"

    def send(self, head: Head, about: tuple[str, ...]) -> None:
        """Say that the response with `next_nonce` leaves now.

        It brings news *about* these names; the rest of it the client holds already.
        """
        repeats = self.sent_sequence == self._table.sequence
        self._repetition = self._repetition + 1 if repeats else 0
        self.sent_sequence = self._table.sequence
        self.sent = head
        self._about = about
        self.quarantine.pass_by(about)
        self.is_waiting = True
        self.is_overdue = False

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
        is_expected = self.is_waiting or self.is_overdue
        self.is_waiting = self.is_overdue = False
        self.answered_sequence = self.sent_sequence
        if error is not None:
            if not is_expected:
                return Verdict.SILENT
            self._reject(self.sent, error)
            return Verdict.NACK
        if not is_expected:
            return Verdict.SILENT
        self.quarantine.accept(self._about)
        if not self.quarantine.is_searching:
            self._unexplained = None
        self.accept(self.sent.version)
        return Verdict.ACK

    def accept(self, version: str) -> None:
        """Say that the client holds what was sent last, or *version* without that."""
        self.accepted_version = version
        self.accepted_sequence = self.answered_sequence = self.sent_sequence

    def give_up(self, message: str) -> Rejection | None:
        """Stop waiting for an answer, for the reason *message*; None if none is due.

        An Envoy may hold an answer back until the next response releases it (measured
        on 1.40 with a cluster that fails while it warms), so waiting for ever would
        keep the remedy from it. The answer still counts if it comes after all.
        """
        if self.sent is None or not self.is_waiting:
            return None
        self.is_waiting = False
        self.is_overdue = True
        self._unexplained = Rejection(head=self.sent, message=message)
        return self._unexplained

    def _reject(self, head: Head, message: str) -> None:
        suspects = self._suspects(head, message)
        rejection = Rejection(
            head=head,
            message=message,
            suspects=suspects,
            owners=self._owners(suspects),
        )
        self.quarantine.reject(rejection, self._about, self.sent_sequence)
        self._unexplained = None if suspects else rejection
        self.newest_rejection = rejection

    def _owners(self, names: Iterable[str]) -> tuple[str, ...]:
        resources = filter(None, map(self._table.get, names))
        owners = (o for each in resources for o in each.owners_at(self._place))
        return tuple(dict.fromkeys(owners))

    def _suspects(self, head: Head, message: str) -> tuple[str, ...]:
        """Return the resources that *message* names, or the only one there was.

        The message may be about a resource of an earlier response: an answer that Envoy
        held back comes with the nonce of the next response.

        Envoy and gRPC write `NAME: what is wrong with it`. What is wrong with it is
        said in words that may be names too, of resources that are good.
        """
        sent = frozenset(head.names)

        def known(words: Iterable[str]) -> tuple[str, ...]:
            names = (word.strip(".:") for word in words)
            found = (n for n in names if n in sent or self._table.get(n) is not None)
            return tuple(dict.fromkeys(found))

        words = _BETWEEN_WORDS.split(message)
        named = known(word for word in words if word.endswith(":")) or known(words)
        return named if named or len(self._about) > 1 else self._about
