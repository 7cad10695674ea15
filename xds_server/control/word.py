"""What replicas say to each other of weights: one that computes them, or what is seen.

Whoever computes says what its controllers remember, so that all others have its weights
and any of them can go on from there. The others say what their clients saw since. As a
text, an endpoint takes about 50 characters.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from xds_server.control.observation import EndpointSums, Observation
from xds_server.control.standing import PortKey
from xds_server.control.state import EndpointState, State, Window

_VERSION: Final = 1
_MOST_BYTES: Final = 16 * 1024 * 1024
"""What is larger when it is inflated is no word of a replica."""


class Turn(NamedTuple):
    """Which change of a port's state: a later one is greater.

    `epoch` is one more for each replica that begins to compute, `number` one more for
    each change that it makes, of any port.
    """

    epoch: int = 0
    number: int = 0


class Learned(NamedTuple):
    """What the controller of a port remembers, since `turn`.

    In `due` seconds it takes the next step. There is no `state` before anything is
    known.
    """

    turn: Turn
    due: float
    state: State | None


class Part(NamedTuple):
    """What the clients of one replica saw, of a port with the weights of `turn`."""

    turn: Turn
    seen: Observation


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
    issued: int
    succeeded: int
    failed: int
    answers: int
    load: float
    least_in_progress: float | None
    clients: int
    largest: float
    is_held: bool


class _Part(msgspec.Struct, frozen=True, array_like=True):
    key: PortKey
    turn: Turn
    seconds: float
    clients: int
    endpoints: dict[str, _Sums]


class _Text(msgspec.Struct, frozen=True):
    version: int
    said_at: float
    epoch: int
    speaks: bool
    last: PortKey | None
    learned: list[_Learned]
    parts: list[_Part]


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
    except (binascii.Error, zlib.error, msgspec.MsgspecError, ValueError):
        return Word()
    if told.version != _VERSION:
        return Word()
    return Word(
        said_at=told.said_at,
        epoch=told.epoch,
        speaks=told.speaks,
        last=told.last,
        learned={each.key: _read(each) for each in told.learned},
        parts={each.key: _read_part(each) for each in told.parts},
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
    return Learned(told.turn, told.due, state)


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


def _written_part(key: PortKey, part: Part) -> _Part:
    turn, seen = part
    endpoints = {
        name: msgspec.convert(each, _Sums, from_attributes=True)
        for name, each in seen.endpoints.items()
    }
    return _Part(key, turn, seen.seconds, seen.clients, endpoints)


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
    return Part(told.turn, seen)
