"""Requests as no client would send them: valid ones, broken in every way.

A source of randomness in, the bytes of a request out. Most are still valid messages
that mean something else; the rest are not.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
)
from google.protobuf.json_format import ParseDict
from google.rpc.status_pb2 import Status

from tests.serve.setting import NODE
from xds_server.xds import EXTENSION, PUSH_ORDER, SECRET, VIRTUAL_HOST

TYPES: Final = (*PUSH_ORDER, EXTENSION, SECRET, VIRTUAL_HOST, "", "unknown", "*")
NAMES: Final = (
    *(
        "a",
        "b",
        "*",
        "",
        "missing",
        "a|1",
        "alias",
        "\0",
        "ä",
        "\U0001f41b",
        "x" * 5000,
    ),
    *("xdstp:", "xdstp://", "xdstp://*", "xdstp:///*", "xdstp://a/t/web/*", "/*?"),
    *("xdstp://a/t/web/one?a=1&b=2", "xdstp://a/t/web/one?b=2&a=1", "xdstp:?&&=", "?"),
)
NONCES: Final = ("", "1", "2", "3.1", "ffffffff", "nonsense", "1" * 3000)
MOST_NAMES: Final = 6
RICH_NODE: Final = ParseDict(
    {
        "id": "sidecar-1",
        "cluster": "web",
        "metadata": {"a": 1.5, "b": ["x", None, {"c": True}], "d": {}},
        "locality": {"region": "eu", "zone": "eu-1"},
        "user_agent_name": "envoy",
        "user_agent_build_version": {"version": {"major_number": 1}},
        "client_features": ["feature"],
    },
    NodeMessage(),
)


class Mutator:
    """Makes requests; equal seeds make equal ones."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - tests, not secrets
        self._ways: Sequence[Callable[[bytes], bytes]] = (
            self._flip_bits,
            self._cut,
            self._double,
            self._insert,
            self._splice,
        )

    def sotw(self, nonces: Sequence[str]) -> bytes:
        """Return a DiscoveryRequest, perhaps; *nonces* are some that were sent."""
        request = DiscoveryRequest(
            node=NODE if self.random.random() < 0.1 else None,
            type_url=self._type(),
            version_info=self.random.choice(NONCES),
            resource_names=self._names(),
            response_nonce=self._nonce(nonces),
            error_detail=self._error(),
        )
        return self._mutated(request.SerializeToString())

    def delta(self, nonces: Sequence[str]) -> bytes:
        """Return a DeltaDiscoveryRequest, perhaps."""
        request = DeltaDiscoveryRequest(
            node=NODE if self.random.random() < 0.1 else None,
            type_url=self._type(),
            resource_names_subscribe=self._names(),
            resource_names_unsubscribe=self._names(),
            initial_resource_versions=dict.fromkeys(self._names(), self._nonce(())),
            response_nonce=self._nonce(nonces),
            error_detail=self._error(),
        )
        return self._mutated(request.SerializeToString())

    def node(self) -> bytes:
        """Return a Node, perhaps."""
        return self._mutated(RICH_NODE.SerializeToString())

    def _mutated(self, data: bytes) -> bytes:
        for _ in range(self.random.choice((0, 0, 0, 0, 0, 1, 1, 2, 4))):
            data = self.random.choice(self._ways)(data)
        return data

    def _type(self) -> str:
        return self.random.choice(TYPES if self.random.random() < 0.3 else PUSH_ORDER)

    def _names(self) -> list[str]:
        number = self.random.choice((0, 0, 1, 1, 2, MOST_NAMES))
        return [self._name() for _ in range(number)]

    def _name(self) -> str:
        if self.random.random() < 0.9:
            return self.random.choice(NAMES)
        letters = self.random.choices(range(0xD7FF), k=self.random.randint(1, 20))
        return "".join(map(chr, letters))

    def _nonce(self, nonces: Sequence[str]) -> str:
        if nonces and self.random.random() < 0.7:
            return self.random.choice(nonces)
        return self.random.choice(NONCES)

    def _error(self) -> Status | None:
        if self.random.random() < 0.8:
            return None
        return Status(code=self.random.randint(-1, 20), message=self._name())

    def _position(self, data: bytes) -> int:
        return self.random.randint(0, len(data))

    def _flip_bits(self, data: bytes) -> bytes:
        flipped = bytearray(data or b"\0")
        for _ in range(self.random.randint(1, 4)):
            flipped[self.random.randrange(len(flipped))] ^= 1 << self.random.randrange(
                8
            )
        return bytes(flipped)

    def _cut(self, data: bytes) -> bytes:
        return data[: self._position(data)]

    def _double(self, data: bytes) -> bytes:
        """Repeat it all: fields that may come once come twice, lists grow."""
        return data * self.random.randint(2, 4)

    def _insert(self, data: bytes) -> bytes:
        position = self._position(data)
        noise = self.random.randbytes(self.random.randint(1, 8))
        return data[:position] + noise + data[position:]

    def _splice(self, data: bytes) -> bytes:
        """Put a part of it somewhere else."""
        start, end = sorted((self._position(data), self._position(data)))
        position = self._position(data)
        return data[:position] + data[start:end] + data[position:]
