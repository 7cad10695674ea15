"""What replicas say to each other of weights: one that computes them, or what is seen.

Whoever computes says what its controllers remember, so that all others have its weights
and any of them can go on from there. The others say what their clients saw since. As a
text, an endpoint takes about 70 characters.
"""

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from xds_server.control.observation import EndpointSums, Observation
from xds_server.control.standing import PortKey
from xds_server.control.state import EndpointState, State, Window
from xds_server.control.tally import MOST_CLIENTS

_VERSION: Final = 1
_MOST_BYTES: Final = 16 * 1024 * 1024
"""What is larger when it is inflated is no word of a replica."""
_LONGEST_DUE: Final = 3600.0
"""Seconds; who is told of a later step looks again by then."""

_Ordinal = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
"""No period has more, nor a greater load; `Window` believes as much."""
_Load = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
_Clients = Annotated[int, msgspec.Meta(ge=0, le=MOST_CLIENTS)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Turn(NamedTuple):
    """Which change of a port's state: a later one is greater.

    `epoch` is one more for each replica that begins to compute, `number` one more for
    each change that it makes, of any port.
    """

    epoch: _Ordinal = 0
    number: _Ordinal = 0


class Learned(NamedTuple):
    """What the controller of a port remembers, since `turn`.

    In `due` seconds it takes the next step. There is no `state` before anything is
    known.
    """

    turn: Turn
    due: float
    state: State | None


class Part(NamedTuple):
    """What the clients of one replica saw, of a port with the weights of `turn`.

    Their load is that of `metrics`; `is_kept` where some of them go on with the weights
    of a server before.
    """

    turn: Turn
    seen: Observation
    metrics: tuple[str, ...] = ()
    is_kept: bool = False


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """All that one replica says.

    `said_at` is a time of day, in seconds. `epoch` is that of the weights that it
    serves, 0 before it has any. Where it `speaks` for these, `learned` has the ports
    that it weighs for all; those whose keys are greater than `last` each replica weighs
    for itself. Else `parts` has the ports that another weighs.
    """

    said_at: float = 0.0
    epoch: int = 0
    speaks: bool = False
    learned: Mapping[PortKey, Learned] = {}
    last: PortKey | None = None
    parts: Mapping[PortKey, Part] = {}


class _Window(Window, frozen=True, kw_only=True, array_like=True):
    """The same without the names of its numbers, as all that follow."""


class _Endpoint(EndpointState, frozen=True, kw_only=True, array_like=True):
    short: _Window = _Window()
    middle: _Window = _Window()
    long: _Window = _Window()


class _State(msgspec.Struct, frozen=True, array_like=True):
    bases: dict[str, int]
    pushed: dict[str, int] | None
    endpoints: dict[str, _Endpoint]
    absent: dict[str, _Endpoint]


class _Learned(msgspec.Struct, frozen=True, array_like=True):
    key: PortKey
    turn: Turn
    due: float
    state: _State | None


class _Sums(msgspec.Struct, frozen=True, array_like=True):
    issued: _Count
    succeeded: _Count
    failed: _Count
    answers: _Count
    load: _Load
    least_in_progress: _Load | None
    clients: _Clients
    largest: _Share
    is_held: bool


class _Part(msgspec.Struct, frozen=True, array_like=True):
    key: PortKey
    turn: Turn
    seconds: _Load
    clients: _Clients
    endpoints: dict[str, _Sums]
    metrics: tuple[str, ...]
    is_kept: bool


class _Text(msgspec.Struct, frozen=True):
    version: int
    said_at: float
    epoch: _Ordinal
    speaks: bool
    last: PortKey | None
    learned: list[_Learned]
    parts: list[msgspec.Raw]
    """Each a `_Part`; of one that cannot be the others are as good."""


def without_absent(word: Word) -> Word:
    """Return *word* without what is remembered of endpoints that went."""
    learned = {
        key: each._replace(state=each.state and replace(each.state, absent={}))
        for key, each in word.learned.items()
    }
    return replace(word, learned=learned)


def encode(word: Word) -> str:
    """Return *word* as a text."""
    text = _Text(
        _VERSION,
        word.said_at,
        word.epoch,
        word.speaks,
        word.last,
        [_written(*each) for each in word.learned.items()],
        [_written_part(*each) for each in word.parts.items()],
    )
    return base64.b64encode(zlib.compress(msgspec.json.encode(text))).decode()


def decode(text: str) -> Word:
    """Return the word in *text*; an empty one where another release wrote it."""
    try:
        data = base64.b64decode(text, validate=True)
        body = zlib.decompressobj().decompress(data, _MOST_BYTES)
        told = msgspec.json.decode(body, type=_Text)
        parts = dict(_read_parts(told.parts))
    except (zlib.error, msgspec.MsgspecError, ValueError, RecursionError):
        return Word()
    if told.version != _VERSION:
        return Word()
    return Word(
        said_at=told.said_at,
        epoch=told.epoch,
        speaks=told.speaks,
        last=told.last,
        learned={each.key: _read(each) for each in told.learned},
        parts=parts,
    )


def _written(key: PortKey, learned: Learned) -> _Learned:
    turn, due, state = learned
    return _Learned(key, turn, due, None if state is None else _written_state(state))


def _written_state(state: State) -> _State:
    endpoints, absent = (
        {
            name: msgspec.convert(each, _Endpoint, from_attributes=True)
            for name, each in group.items()
        }
        for group in (state.endpoints, state.absent)
    )
    pushed = None if state.pushed is None else dict(state.pushed)
    return _State(dict(state.bases), pushed, endpoints, absent)


def _read(told: _Learned) -> Learned:
    state = None if told.state is None else _read_state(told.state)
    return Learned(told.turn, min(max(told.due, 0.0), _LONGEST_DUE), state)


def _read_state(told: _State) -> State:
    endpoints, absent = (
        {
            name: msgspec.convert(each, EndpointState, from_attributes=True)
            for name, each in group.items()
        }
        for group in (told.endpoints, told.absent)
    )
    return State(
        bases=told.bases, endpoints=endpoints, pushed=told.pushed, absent=absent
    )


def _written_part(key: PortKey, part: Part) -> msgspec.Raw:
    seen = part.seen
    numbers = attrgetter(*_Sums.__struct_fields__)
    endpoints = {name: _Sums(*numbers(each)) for name, each in seen.endpoints.items()}
    told = _Part(
        key,
        part.turn,
        seen.seconds,
        seen.clients,
        endpoints,
        part.metrics,
        part.is_kept,
    )
    return msgspec.Raw(msgspec.json.encode(told))


def _read_parts(parts: Iterable[msgspec.Raw]) -> Iterator[tuple[PortKey, Part]]:
    """Yield what was seen of each port, but for numbers that nobody can have seen."""
    for each in parts:
        with suppress(msgspec.ValidationError):
            told = msgspec.json.decode(each, type=_Part)
            yield told.key, _read_part(told)


def _read_part(told: _Part) -> Part:
    endpoints = {
        name: msgspec.convert(each, EndpointSums, from_attributes=True)
        for name, each in told.endpoints.items()
    }
    seen = Observation(
        now=0.0,
        seconds=told.seconds,
        bases={},
        endpoints=endpoints,
        clients=told.clients,
    )
    return Part(told.turn, seen, told.metrics, told.is_kept)
