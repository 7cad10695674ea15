"""Why a stream ends although its client would go on; the gRPC status says it."""

from typing import ClassVar


class StreamEndError(Exception):
    """A stream must end; the message tells the client why.

    `status` is the name of the gRPC status code.
    """

    status: ClassVar[str] = "INTERNAL"


class ClientGoneError(Exception):
    """Nothing can be sent any more; whoever reads will hear of the end."""


class RequestError(StreamEndError):
    """The client sent what cannot be answered."""

    status: ClassVar[str] = "INVALID_ARGUMENT"


class TooLargeError(StreamEndError):
    """There is more to answer than one message should hold."""

    status: ClassVar[str] = "RESOURCE_EXHAUSTED"


class LaggingError(StreamEndError):
    """The client has not answered for so long that removals it missed are forgotten."""

    status: ClassVar[str] = "ABORTED"


class NotReadyError(StreamEndError):
    """Not everything has been published yet."""

    status: ClassVar[str] = "UNAVAILABLE"


class StoppingError(StreamEndError):
    """The server stops."""

    status: ClassVar[str] = "UNAVAILABLE"
